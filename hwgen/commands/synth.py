"""``hwgen synth``: size and speed of a machine on an FPGA."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hwgen.commands.files import check_target, write_json
from hwgen.commands.options import ConfigFile, Json, Preset, chosen_config
from hwgen.commands.output import busy, print_table
from hwgen.errors import HwgenError
from hwgen.tables import new_table


class Target(StrEnum):
    """FPGA family."""

    ecp5 = "ecp5"
    ice40 = "ice40"
    xilinx = "xilinx"


def synth(
    preset: Preset = None,
    config: ConfigFile = None,
    target: Annotated[Target, typer.Option("--target", help="FPGA family.")] = Target.ecp5,
    pnr: Annotated[bool, typer.Option("--pnr", help="Also place and route (ecp5: LFE5U-85F, speed grade 6).")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the placer.")] = 1,
    json: Json = None,
) -> None:
    """Synthesise a machine, count its cells and, with --pnr, measure its clock."""
    check_target(json)
    machine = chosen_config(preset, config)
    from hwgen.synth import SynthResult, synthesise
    from hwgen.synth.tools import ToolError

    with busy(f"synthesising {machine.name}") as follow:
        try:
            result: SynthResult = synthesise(machine, target.value, pnr=pnr, seed=seed, follow=follow)
        except ToolError as error:
            raise HwgenError(str(error), where=f"{machine.name} on {target.value}") from error
    write_json(json, result.to_json())
    title = f"{machine.name} ({result.multipliers} multipliers) on {target.value}"
    table = new_table(title, ("what",), ("how many",))
    names = {
        "luts": "LUTs" + (" (LUT4, carry cells count two)" if target is Target.ecp5 else ""),
        "dsp_blocks": "multiplier blocks",
        "block_rams": "block RAMs",
        "flipflops": "flip-flops",
        "distributed_ram_cells": "distributed RAM cells",
        "carry_cells": "carry cells",
    }
    for key, text in names.items():
        table.add_row(text, str(getattr(result, key)))
    if result.fmax_mhz is not None:
        table.add_row("MHz, placed and routed", f"{result.fmax_mhz:.1f}")
        if result.critical_path:
            table.add_row("longest path", " to ".join(result.critical_path))
        for name, (used, available) in result.device_usage.items():
            table.add_row(f"device: {name}", f"{used} of {available}")
    table.add_row("seconds, synthesis", f"{result.synth_s:.0f}")
    if pnr:
        table.add_row("seconds, place and route", f"{result.pnr_s:.0f}")
    print_table(table)
