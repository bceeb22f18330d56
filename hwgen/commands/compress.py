"""``hwgen compress``: from a trained float network and a recipe to a quantised network."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwgen.commands.files import check_target, write_file, write_json
from hwgen.commands.options import Json, OptionalConfigFile, OptionalPreset, chosen_config
from hwgen.commands.output import busy, console, print_table
from hwgen.errors import HwgenError
from hwgen.tables import new_table

if TYPE_CHECKING:
    from rich.table import Table

    from hwgen.compress.accuracy import Accuracy
    from hwgen.compress.data import Data
    from hwgen.compress.pipeline import Compressed, Row
    from hwgen.compress.recipe import Recipe
    from hwgen.config import Config


def compress(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Trained float network, .tflite or .onnx.")],
    recipe: Annotated[
        str,
        typer.Option("--recipe", metavar="RECIPE", help="What to do, step by step: a TOML file, or a shipped name."),
    ],
    data: Annotated[
        Path, typer.Option("--data", metavar="DATA.npz", help="x: inputs, real, NHWC; y: labels, to measure accuracy.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="OUT.onnx", help="Quantised network; OUT.plan.json beside it.")
    ],
    train: Annotated[
        Path | None,
        typer.Option("--train", metavar="FILE.npz", help="Fit on these x and y; without it, on a sample of --data."),
    ] = None,
    fit_on: Annotated[
        int | None,
        typer.Option("--fit", metavar="N", help="Fit on N inputs of --data alone, and measure on all others."),
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option("--checkpoints", metavar="DIR", help="Keep training's state here; the same run goes on from it."),
    ] = None,
    annotate: Annotated[
        bool,
        typer.Option("--annotate", help="Write also what the machine lacks: real numbers, the scheme in metadata."),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of samples.")] = 0,
    preset: OptionalPreset = None,
    config: OptionalConfigFile = None,
    json: Json = None,
) -> None:
    """Compress a float network and print what each step did; accuracy of the result is the integer golden model's.

    With a machine, also what the weights take in its memory.
    """
    machine = chosen_config(preset, config) if preset is not None or config is not None else None
    plan = output.with_suffix(".plan.json")
    if output.suffix.lower() != ".onnx":
        raise HwgenError("the output must be an .onnx file", where=str(output))
    if train is not None and fit_on is not None:
        raise HwgenError("give --train or --fit, not both")
    for target in (output, plan, json):
        check_target(target)
    check_target(checkpoints, folder=True)
    from hwgen.compress.data import load_data
    from hwgen.compress.load import load_float_model
    from hwgen.compress.pipeline import compress as run_recipe
    from hwgen.compress.recipe import load_recipe
    from hwgen.compress.shipped import find_recipe, recipe_name

    recipe_file = find_recipe(recipe)
    steps = load_recipe(recipe_file)
    with busy(f"reading {model}") as follow:
        graph = load_float_model(model)
        test = load_data(graph, data, seed)
        fit = test if train is None else load_data(graph, train, seed)
        if fit_on is not None:
            fit, test = test.split(fit_on)
        result = run_recipe(graph, steps, fit, test, follow=follow, checkpoints=checkpoints, annotate=annotate)
        stored = None if machine is None or not result.rows[-1].integer else stored_weights(result.onnx, machine)
    write_file(output, result.onnx)
    write_json(plan, plan_json(result, model, recipe_file, seed))
    report = {"output": str(output), "plan": str(plan), "fitted_on": (train or data).name, "machine": stored}
    write_json(json, report_json(result, steps, model, recipe_file, fit, test) | report)
    show(f"{graph.name}, {recipe_name(recipe_file)} ({steps.family})", result)
    if not result.rows[-1].integer:
        console().print("the machine has no such scheme: the file holds real numbers", soft_wrap=True)
    if stored is not None:
        console().print(f"weights on {stored['config']}: {stored['weight_bytes']:,} bytes", soft_wrap=True)
    console().print(f"{output} and {plan}", soft_wrap=True)


def stored_weights(onnx: bytes, machine: Config) -> dict[str, Any]:
    """Return what the weights of an ONNX network take in a machine's memory, as its compiler stores them."""
    from hwgen.compiler import compile_graph
    from hwgen.model.onnx_reader import read_onnx

    with tempfile.TemporaryDirectory(prefix="hwgen-compress-") as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(onnx)
        program = compile_graph(read_onnx(path), machine)
    return {"config": machine.name, "weight_bytes": program.weight_bytes,
            "layers": {layer.name: layer.weight_bytes for layer in program.layers if layer.weight_bytes}}


def plan_json(result: Compressed, model: Path, recipe: Path, seed: int) -> dict[str, Any]:
    """Return the plans of a run and what they belong to (docs/interfaces.md)."""
    return {"model": model.name, "recipe": recipe.name, "seed": seed, "steps": [p.to_json() for p in result.plans]}


def report_json(result: Compressed, steps: Recipe, model: Path, recipe: Path, fit: Data, test: Data) -> dict[str, Any]:
    """Return what a run measured (docs/interfaces.md), but for the files around it."""
    return {
        "model": model.name,
        "recipe": recipe.name,
        "family": steps.family,
        "seed": test.seed,
        "fit_inputs": len(fit),
        "test_inputs": len(test),
        "rows": [row.to_json() for row in result.rows],
    }


def show(title: str, result: Compressed) -> None:
    """Print the table of a run and what its steps left out."""
    print_table(table(title, result.rows))
    for made in result.plans:
        for note in made.notes:
            console().print(f"{made.technique}: {note}", soft_wrap=True)


def table(title: str, rows: list[Row]) -> Table:
    """Return the table of a run: each step, and the ratio of bytes to the first row."""
    right = ("parameters", "weights not 0", "MACs", "by weights not 0", "bytes", "smaller", "top-1 (95 %)", "s")
    shown = new_table(title, ("step",), right)
    first = rows[0].counts.bytes
    for row in rows:
        c = row.counts
        shown.add_row(
            f"{row.number} {row.name}" if row.number else row.name,
            f"{c.parameters:,}",
            f"{c.nonzero:,}",
            f"{c.macs:,}",
            f"{100 * c.mac_density:.1f} %",
            f"{c.bytes:,}",
            f"{first / c.bytes:.2f}x",
            accuracy_text(row.accuracy, row.integer),
            f"{row.seconds:.1f}",
        )
    return shown


def accuracy_text(accuracy: Accuracy | None, integer: bool) -> str:
    """Return an accuracy as the table has it."""
    if accuracy is None:
        return "no labels"
    kind = "int" if integer else "float"
    return f"{100 * accuracy.top1:.2f} ({100 * accuracy.low:.2f}-{100 * accuracy.high:.2f}) {kind}"
