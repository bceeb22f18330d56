"""LOAD, STORE and the read master at every bus width."""

from __future__ import annotations

import json

import pytest

from hwgen.config import Config
from hwgen.hardware.verilog import convert
from hwgen.sim.dma_top import DmaTop
from hwgen.sim.runner import run_bench

SMALL = Config(name="dma", act_kib=2, weight_kib=2, param_kib=1, columns=1)
WIDTHS = {
    "axi32": SMALL.replace(axi_bits=32),
    "axi32-vector16": SMALL.replace(axi_bits=32, vector=16, post_width=16),
    "axi64": SMALL,
    "axi128": SMALL.replace(axi_bits=128, outstanding=1),
    "axi256": SMALL.replace(axi_bits=256, outstanding=8),
}
PACKED = {name: c.replace(compress_maps=True) for name, c in WIDTHS.items()}
CONFIGS = WIDTHS | {"packed": PACKED["axi64"]}


def run_dma(config: Config, simulator: str, bench: str = "dma") -> int:
    return run_bench(
        "dma",
        convert(DmaTop(config), "dma"),
        f"hwgen.sim.bench_{bench}",
        simulator=simulator,
        env={"HWGEN_CONFIG": json.dumps(config.to_dict())},
    ).tests


@pytest.mark.parametrize("name", CONFIGS)
def test_dma_icarus(name: str) -> None:
    assert run_dma(CONFIGS[name], "icarus") == 5


def test_dma_verilator() -> None:
    assert run_dma(CONFIGS["axi32"], "verilator") == 5


@pytest.mark.parametrize("name", PACKED)
def test_packed_maps_icarus(name: str) -> None:
    assert run_dma(PACKED[name], "icarus", "packed_dma") == 3


def test_packed_maps_verilator() -> None:
    assert run_dma(PACKED["axi32"], "verilator", "packed_dma") == 3
