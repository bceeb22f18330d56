"""``hwgen generate``: Verilog, manifest and interface description of a machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from hwgen.commands.files import check_target, write_folder
from hwgen.commands.options import ConfigFile, Preset, chosen_config
from hwgen.commands.output import busy, console


def generate(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the files.")],
    preset: Preset = None,
    config: ConfigFile = None,
) -> None:
    """Write the Verilog of a machine, its manifest, register and command map, C header and documentation."""
    check_target(output, folder=True)
    machine = chosen_config(preset, config)
    from hwgen.emit import generate as emit

    start = time.perf_counter()
    with busy(f"generating {machine.name}"):
        files = emit(machine)
    write_folder(output, files)
    console().print(
        f"{machine.name}: {len(files)} files, {sum(map(len, files.values())) / 1e6:.2f} MB, in {output} "
        f"({time.perf_counter() - start:.1f} s)",
        soft_wrap=True,
    )
