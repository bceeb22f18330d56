"""Cells by kind, on statistics as Yosys writes them."""

from __future__ import annotations

import json

import pytest

from hwgen.errors import HwgenError
from hwgen.presets import preset
from hwgen.synth.cells import FAMILIES, count
from hwgen.synth.flow import read_report, read_stat, synthesise

CELLS = {
    "ecp5": (
        {
            "LUT4": 100,
            "CCU2C": 10,
            "PFUMX": 7,
            "L6MUX21": 3,
            "TRELLIS_FF": 50,
            "MULT18X18D": 4,
            "DP16KD": 6,
            "TRELLIS_DPR16X4": 5,
        },
        (120, 4, 6, 50, 5, 10),
    ),
    "ice40": (
        {
            "SB_LUT4": 90,
            "SB_CARRY": 20,
            "SB_DFF": 3,
            "SB_DFFESR": 4,
            "SB_MAC16": 2,
            "SB_RAM40_4K": 5,
            "SB_RAM40_4KNR": 1,
        },
        (90, 2, 6, 7, 0, 20),
    ),
    "xilinx": (
        {
            "LUT1": 1,
            "LUT6": 2,
            "CARRY4": 3,
            "FDRE": 4,
            "FDSE": 5,
            "DSP48E1": 6,
            "RAMB36E1": 7,
            "RAMB18E1": 8,
            "RAM32M": 9,
            "RAM64X1D": 1,
            "BUFG": 1,
            "MUXF7": 1,
        },
        (3, 6, 15, 9, 10, 3),
    ),
}


@pytest.mark.parametrize("target", list(FAMILIES))
def test_count(target: str) -> None:
    cells, expected = CELLS[target]
    assert tuple(count(FAMILIES[target], cells).values()) == expected


def test_read_stat_takes_the_whole_design() -> None:
    text = """
12. Printing statistics.
{ "creator": "Yosys", "modules": {"\\\\a": {"num_cells_by_type": {"LUT4": 1}}},
  "design": { "num_cells": 5, "num_cells_by_type": { "LUT4": 3, "CCU2C": 2 } } }"""
    assert read_stat(text) == {"CCU2C": 2, "LUT4": 3}


def test_read_report_takes_the_slowest_clock_its_path_and_what_is_used() -> None:
    def path(clock: str, *cells: tuple[str, float]) -> dict[str, object]:
        steps = [{"delay": ns, "from": {"cell": cell}, "to": {"cell": cell}} for cell, ns in cells]
        return {"from": clock, "to": "posedge b", "path": steps}

    report = {
        "fmax": {"a": {"achieved": 91.5, "constraint": 120}, "b": {"achieved": 80.25, "constraint": 120}},
        "critical_paths": [
            path("<async>", ("pin", 50), ("c", 49)),
            path("posedge b", ("c", 0.5), ("d", 0.5)),
            path("posedge b", ("a.q", 0.5), ("b.d", 9)),
        ],
        "utilization": {"DP16KD": {"used": 5, "available": 208}, "DCCA": {"used": 0, "available": 56}},
    }
    assert read_report(json.dumps(report)) == (80.25, ("a.q", "b.d"), {"DP16KD": (5, 208)})


@pytest.mark.parametrize(
    ("target", "pnr", "text"),
    [
        ("gowin", False, "target must be one of ecp5, ice40, xilinx, not 'gowin'"),
        ("ice40", True, "place and route is for ecp5, not ice40"),
    ],
)
def test_refused(target: str, pnr: bool, text: str) -> None:
    with pytest.raises(HwgenError, match=text):
        synthesise(preset("tiny"), target, pnr=pnr)
