"""AFETCH with its activation buffer, against NumPy and the golden machine."""

from __future__ import annotations

import json

import pytest

from hwgen.config import Config
from hwgen.hardware.verilog import convert
from hwgen.sim.memory_top import ActFetchTop
from hwgen.sim.runner import run_bench

SMALL = Config(name="afetch", act_kib=4, amem_words=128)
CONFIGS = {
    "base": SMALL,
    "one": SMALL.replace(rows=1, columns=1, banks=1, mappings=("channel",), operators=()),
    "narrow": SMALL.replace(act_bits=5, columns=4, post_width=16),
    "wide": SMALL.replace(rows=8, columns=8, banks=8, axi_bits=256, post_width=32, amem_words=64),
    "vector16": SMALL.replace(vector=16, post_width=16, act_kib=8),
    "vector2": SMALL.replace(vector=2, mappings=("channel", "depthwise"), post_width=4, banks=8),
    "odd": SMALL.replace(act_kib=3, rows=2, axi_bits=32),
}


def run_afetch(config: Config, simulator: str) -> int:
    return run_bench("afetch", convert(ActFetchTop(config), "afetch"), "hwgen.sim.bench_afetch",
                     simulator=simulator, env={"HWGEN_CONFIG": json.dumps(config.to_dict())}).tests


@pytest.mark.parametrize("name", CONFIGS)
def test_afetch_icarus(name: str) -> None:
    assert run_afetch(CONFIGS[name], "icarus") == 5


def test_afetch_verilator() -> None:
    assert run_afetch(CONFIGS["base"], "verilator") == 5
