"""``hwgen compare``: where published skip schemes and this machine stand on a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hwgen.commands.files import check_target, write_json
from hwgen.commands.options import Json, Limit, Model, OptionalConfigFile, OptionalPreset, chosen_config
from hwgen.commands.output import busy, console, print_table

DEFAULT = "base-sparse"


def compare(
    model: Model,
    preset: OptionalPreset = None,
    config: OptionalConfigFile = None,
    inputs: Annotated[Path | None, typer.Option("--inputs", metavar="FILE.npz", help="x: inputs, batch first.")] = None,
    limit: Limit = None,
    random: Annotated[
        int | None,
        typer.Option("--random", min=1, metavar="N", help="That many random inputs (default: 1, without --inputs)."),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, metavar="S", help="Seed of random inputs, and of samples of large layers.")
    ] = 1,
    json: Json = None,
) -> None:
    """Count a network's cycles by the rules of published skip schemes, and on a machine (default: base-sparse)."""
    check_target(json)
    machine = chosen_config(preset or (DEFAULT if config is None else None), config)
    from hwgen.schemes.compare import compare as compare_model

    with busy(f"reading {model}") as progress:
        result = compare_model(model, machine, inputs=inputs, limit=limit, random=random, seed=seed,
                               progress=progress)
    write_json(json, result.to_json())
    target = console()
    print_table(result.layer_table())
    print_table(result.scheme_table())
    for line in result.notes():
        target.print(line, soft_wrap=True)
