"""The register slave on both simulators."""

from __future__ import annotations

import json

import pytest

from hwgen.hardware.registers import Registers
from hwgen.hardware.verilog import convert
from hwgen.presets import preset
from hwgen.sim.runner import run_bench


@pytest.mark.parametrize(("name", "simulator"), [("tiny", "icarus"), ("huge", "icarus"), ("base", "verilator")])
def test_registers(name: str, simulator: str) -> None:
    config = preset(name)
    result = run_bench(
        "registers",
        convert(Registers(config), "registers"),
        "hwgen.sim.bench_registers",
        simulator=simulator,
        env={"HWGEN_CONFIG": json.dumps(config.to_dict())},
    )
    assert result.tests == 5
