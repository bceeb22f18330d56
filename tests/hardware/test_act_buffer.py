"""The activation buffer under random traffic."""

from __future__ import annotations

import json

import pytest

from hwgen.config import Config
from hwgen.hardware.act_buffer import ActBuffer
from hwgen.hardware.verilog import convert
from hwgen.sim.runner import run_bench

SMALL = Config(name="act", act_kib=1)
CONFIGS = {
    "base": SMALL,
    "one-bank": SMALL.replace(banks=1, columns=1),
    "wide": SMALL.replace(axi_bits=256, banks=8, columns=4, post_width=16),
    "all-banks-wide": SMALL.replace(axi_bits=256, banks=4, columns=4, post_width=32),
    "vector16": SMALL.replace(vector=16, post_width=32, banks=2, axi_bits=256),
    "odd-depth": SMALL.replace(act_kib=3, banks=16),
    "vector2": SMALL.replace(vector=2, mappings=("channel",), operators=(), post_width=2),
}


def run_act_buffer(config: Config, simulator: str) -> int:
    return run_bench("act_buffer", convert(ActBuffer(config), "act_buffer"), "hwgen.sim.bench_act_buffer",
                     simulator=simulator, env={"HWGEN_CONFIG": json.dumps(config.to_dict())}).tests


@pytest.mark.parametrize("name", CONFIGS)
def test_act_buffer_icarus(name: str) -> None:
    assert run_act_buffer(CONFIGS[name], "icarus") == 3


def test_act_buffer_verilator() -> None:
    assert run_act_buffer(CONFIGS["wide"], "verilator") == 3
