"""``hwgen sensitivity``: what a network loses when one layer at a time is compressed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hwgen.commands.files import check_target, write_file
from hwgen.commands.output import busy, console, counted, print_table
from hwgen.errors import HwgenError
from hwgen.tables import new_table


def sensitivity(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Trained float network, .tflite or .onnx.")],
    data: Annotated[
        Path, typer.Option("--data", metavar="DATA.npz", help="x: inputs, real, NHWC; y: labels, to measure accuracy.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="OUT.json", help="The curves.")],
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.svg", help="Also draw them, as .svg or .png.")
    ] = None,
    error: Annotated[
        bool, typer.Option("--error", help="Draw the error of the outputs, not top-1.")
    ] = False,
    curves: Annotated[
        str, typer.Option("--curves", metavar="LIST", help="bits, rank, and grains of the step prune, with commas.")
    ] = "bits,element,vector,rank",
    samples: Annotated[int, typer.Option("--samples", min=1, help="Inputs, stratified by class.")] = 512,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the sample.")] = 0,
) -> None:
    """Compress one layer at a time, by bits, sparsity and rank, and write what the float network then loses."""
    if plot is not None and plot.suffix.lower() not in (".svg", ".png"):
        raise HwgenError("the picture must be an .svg or .png file", where=str(plot))
    for target in (output, plot):
        check_target(target)
    from hwgen.compress.data import load_data
    from hwgen.compress.load import load_float_model
    from hwgen.compress.sensitivity import sensitivity as measure

    if plot is not None:
        from hwgen.report.sensitivity import sensitivity_picture  # what is missing for it is said before measuring
    with busy(f"reading {model}"):
        graph = load_float_model(model)
        given = load_data(graph, data, seed)
    wanted = tuple(name.strip() for name in curves.split(","))
    with counted("inputs") as progress:
        study = measure(graph, given, wanted, samples=samples, progress=progress)
    report = {"model": model.name, "data": data.name, "seed": seed, **study.to_json()}
    picture = None if plot is None else sensitivity_picture(report, plot.suffix.lower()[1:], error=error)
    write_file(output, json.dumps(report, indent=2) + "\n")
    if plot is not None and picture is not None:
        write_file(plot, picture)
    title = f"{graph.name}, {study.inputs} inputs" + ("" if study.top1 is None else f", {100 * study.top1:.1f} %")
    shown = new_table(title, ("layer", "curve", "top-1, % (error) by setting"))
    for curve in study.curves:
        values = curve.error if curve.top1 is None else [100 * v for v in curve.top1]
        shown.add_row(
            curve.layer, curve.curve, "  ".join(f"{s:g}: {v:.3g}" for s, v in zip(curve.settings, values, strict=True))
        )
    print_table(shown)
    for note in study.notes:
        console().print(note, soft_wrap=True)
    console().print(f"{output}" + ("" if plot is None else f" and {plot}"), soft_wrap=True)
