"""WSTREAM and CODEBOOK with their weight buffer, against the golden machine."""

from __future__ import annotations

import json

import pytest

from hwgen.config import WEIGHT_FORMATS, Config
from hwgen.hardware.verilog import convert
from hwgen.sim.memory_top import WeightFetchTop
from hwgen.sim.runner import run_bench

SMALL = Config(name="wstream", weight_kib=2, wmem_words=64, weight_formats=WEIGHT_FORMATS, codebook=256)
CONFIGS = {
    "base": SMALL,
    "sparse": SMALL.replace(skip="both"),
    "sparse_fine": SMALL.replace(skip="weight", vector=1, post_width=1, mappings=("channel", "depthwise")),
    "sparse_block": SMALL.replace(skip="both", vector=16, post_width=16, rows=2, columns=4, weight_kib=3),
    "sparse_buses": SMALL.replace(skip="both", rows=8, columns=4, axi_bits=128),
    "packed": SMALL.replace(weight_formats=("packed",), codebook=0),
    "bitmap": SMALL.replace(weight_formats=("packed", "bitmap"), codebook=16, rows=1, columns=1),
    "two_buses": SMALL.replace(rows=8, columns=4, axi_bits=128),
    "narrow": SMALL.replace(weight_bits=3, rows=8, columns=1, axi_bits=64, codebook=4),
    "zero_point": SMALL.replace(weight_bits=9, skip="both"),
    "zero_point_packed": SMALL.replace(weight_bits=9, weight_formats=("packed",), codebook=0, axi_bits=128),
    "vector16": SMALL.replace(vector=16, post_width=16, axi_bits=32, weight_kib=3, rows=2, columns=4),
    "wide": SMALL.replace(rows=8, columns=8, axi_bits=256, weight_kib=8),
}


def run_wstream(config: Config, simulator: str) -> int:
    return run_bench("wstream", convert(WeightFetchTop(config), "wstream"), "hwgen.sim.bench_wstream",
                     simulator=simulator, env={"HWGEN_CONFIG": json.dumps(config.to_dict())}).tests


@pytest.mark.parametrize("name", CONFIGS)
def test_wstream_icarus(name: str) -> None:
    assert run_wstream(CONFIGS[name], "icarus") == 4


@pytest.mark.parametrize("name", ["sparse", "sparse_buses", "zero_point"])
def test_wstream_verilator(name: str) -> None:
    assert run_wstream(CONFIGS[name], "verilator") == 4
