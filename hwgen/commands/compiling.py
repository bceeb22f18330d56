"""``hwgen compile``: memory image, commands, layout and plan of a network on a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwgen.commands.files import check_target, write_folder
from hwgen.commands.options import ConfigFile, Model, Preset, Profile, WeightFormat, chosen_config
from hwgen.commands.output import busy, console
from hwgen.config import SMALLEST


def compile_(
    model: Model,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the files.")],
    preset: Preset = None,
    config: ConfigFile = None,
    profile: Profile = None,
    weight_format: WeightFormat = SMALLEST,
) -> None:
    """Compile a network: memory image, command stream, layout and a plan per layer."""
    check_target(output, folder=True)
    machine = chosen_config(preset, config)
    from hwgen.compiler import compile_graph
    from hwgen.compiler.files import program_files
    from hwgen.model import load_model
    from hwgen.samples import samples
    from hwgen.verify.inputs import image_maps

    with busy(f"compiling {model} for {machine.name}"):
        graph = load_model(model)
        maps = None if profile is None else samples(graph, machine, image_maps(graph, profile))
        program = compile_graph(graph, machine, samples=maps, weight_format=weight_format)
        files = program_files(program)
    write_folder(output, files)
    cycles = sum(layer.predicted for layer in program.layers)
    console().print(
        f"{program.graph.name} on {machine.name}: {len(program.layers)} layers, {program.command_count} commands, "
        f"{program.bytes} bytes of memory, {cycles} cycles predicted, in {output}",
        soft_wrap=True,
    )
