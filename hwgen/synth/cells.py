"""What the cells of an FPGA family are, and how many of each kind a netlist has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """Cells of one family by kind, as regular expressions on the whole name.

    ``lut_weight`` holds what a cell costs in look-up tables where that is not one.
    """

    flow: str
    """The Yosys command that maps to it."""
    lut: str
    dsp: str
    bram: str
    flipflop: str
    distributed: str
    carry: str
    lut_weight: Mapping[str, int]


FAMILIES: dict[str, Family] = {
    "ecp5": Family(
        # Multiplexers of more than four inputs from look-up tables: fewer of these (`tiny`: 11,075 instead of 12,222).
        "synth_ecp5 -nowidelut",
        lut="LUT4|CCU2C",
        dsp="MULT18X18D|MULT9X9D|ALU54B",
        bram="DP16KD|PDPW16KD",
        flipflop="TRELLIS_FF",
        distributed="TRELLIS_DPR16X4|DPR16X4C",
        carry="CCU2C",
        lut_weight={"CCU2C": 2},
    ),
    # A carry shares its logic cell with a look-up table.
    "ice40": Family(
        "synth_ice40 -dsp",
        lut="SB_LUT4",
        dsp="SB_MAC16",
        bram=r"SB_RAM40_4K\w*|SB_SPRAM256KA",
        flipflop=r"SB_DFF\w*",
        distributed="(?!)",
        carry="SB_CARRY",
        lut_weight={},
    ),
    "xilinx": Family(
        "synth_xilinx -family xc7",
        lut="LUT[1-6]",
        dsp="DSP48E1",
        bram="RAMB36E1|RAMB18E1",
        flipflop="FD[RSCP]E",
        distributed=r"RAM\d+(X1)?[SDMQ]\w*|SRL\w+",
        carry="CARRY4",
        lut_weight={},
    ),
}


def count(family: Family, cells: Mapping[str, int]) -> dict[str, int]:
    """Return how many cells of each kind there are; look-up tables weighted by what a cell takes.

    Parameters
    ----------
    family : Family
    cells : mapping of str to int
        Cell type -> how many.
    """

    def total(pattern: str, weight: Mapping[str, int] | None = None) -> int:
        return sum(n * (weight or {}).get(name, 1) for name, n in cells.items() if re.fullmatch(pattern, name))

    return {
        "luts": total(family.lut, family.lut_weight),
        "dsp_blocks": total(family.dsp),
        "block_rams": total(family.bram),
        "flipflops": total(family.flipflop),
        "distributed_ram_cells": total(family.distributed),
        "carry_cells": total(family.carry),
    }
