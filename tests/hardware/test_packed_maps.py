"""The units that pack and unpack maps, at every width of a DMA word."""

from __future__ import annotations

import json

import pytest

from hwgen.config import Config
from hwgen.hardware.map_decoder import MapDecoder
from hwgen.hardware.map_encoder import MapEncoder
from hwgen.hardware.verilog import convert
from hwgen.sim.runner import run_bench

TESTS = {"map_encoder": 3, "map_decoder": 5}


def run_unit(unit: str, width: int, simulator: str) -> int:
    component = {"map_encoder": MapEncoder, "map_decoder": MapDecoder}[unit](width)
    return run_bench(unit, convert(component, unit), f"hwgen.sim.bench_{unit}", simulator=simulator,
                     env={"HWGEN_CONFIG": json.dumps(Config(axi_bits=8 * width).to_dict())}).tests


@pytest.mark.parametrize("width", [8, 16, 32])
@pytest.mark.parametrize("unit", TESTS)
def test_packing_icarus(unit: str, width: int) -> None:
    assert run_unit(unit, width, "icarus") == TESTS[unit]


@pytest.mark.parametrize("unit", TESTS)
def test_packing_verilator(unit: str) -> None:
    assert run_unit(unit, 8, "verilator") == TESTS[unit]
