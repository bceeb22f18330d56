"""WFETCH with its weight buffer, against the golden machine."""

from __future__ import annotations

import json

import pytest

from hwgen.config import Config
from hwgen.hardware.verilog import convert
from hwgen.sim.memory_top import WeightFetchTop
from hwgen.sim.runner import run_bench

SMALL = Config(name="wfetch", weight_kib=1, wmem_words=64)
CONFIGS = {
    "base": SMALL,
    "one": SMALL.replace(rows=1, columns=1),
    "wide": SMALL.replace(rows=16, columns=8, axi_bits=256),
    "narrow": SMALL.replace(weight_bits=3, rows=8, columns=1, axi_bits=128),
    "zero_point": SMALL.replace(weight_bits=9),
    "zero_point_buses": SMALL.replace(weight_bits=9, rows=8, columns=4, axi_bits=256),
    "vector16": SMALL.replace(vector=16, post_width=16, axi_bits=32, weight_kib=3, rows=2, columns=4),
}


def run_wfetch(config: Config, simulator: str) -> int:
    return run_bench("wfetch", convert(WeightFetchTop(config), "wfetch"), "hwgen.sim.bench_wfetch",
                     simulator=simulator, env={"HWGEN_CONFIG": json.dumps(config.to_dict())}).tests


@pytest.mark.parametrize("name", CONFIGS)
def test_wfetch_icarus(name: str) -> None:
    assert run_wfetch(CONFIGS[name], "icarus") == 3


@pytest.mark.parametrize("name", ["wide", "zero_point_buses"])
def test_wfetch_verilator(name: str) -> None:
    assert run_wfetch(CONFIGS[name], "verilator") == 3
