"""``hwgen run``: the golden model alone, on any number of inputs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from hwgen.commands.files import check_target, write_file, write_json
from hwgen.commands.options import Json, Limit, Model
from hwgen.commands.output import busy, console, counted, warn

DENSITY_INPUTS = 16
"""Whose maps are looked at for the share of zeros: all maps of all of them are in memory at once."""


def run(
    model: Model,
    inputs: Annotated[
        Path, typer.Option("--inputs", metavar="FILE.npz", help="x: inputs, batch first; y: labels (optional).")
    ],
    limit: Limit = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="OUT.npz", help="Write the outputs as the file defines them, by name."),
    ] = None,
    json: Json = None,
) -> None:
    """Run the golden model; print the top-1 accuracy when labels are given."""
    check_target(output)
    check_target(json)
    from hwgen.golden.densities import densities
    from hwgen.golden.graph import run as run_graph
    from hwgen.golden.host import file_outputs
    from hwgen.golden.inputs import to_maps
    from hwgen.golden.top1 import top1
    from hwgen.inputs import read_inputs
    from hwgen.model import load_model
    from hwgen.outputs import npz

    with busy(f"reading {model}"):
        graph = load_model(model)
        given = read_inputs(graph, inputs, limit)
    warn(given.warnings)
    start = time.perf_counter()
    with counted("inputs") as progress:
        maps = to_maps(graph, given.values)
        found = file_outputs(graph, run_graph(graph, maps, progress=progress).tensors)
    seconds = time.perf_counter() - start
    count = len(found[0])
    report: dict[str, Any] = {
        "model": str(model),
        "inputs": count,
        "seconds": seconds,
        "inputs_per_s": count / seconds,
        "saturated": given.saturated,
    }
    if json is not None:
        report["layers"] = densities(graph, {name: values[:DENSITY_INPUTS] for name, values in maps.items()})
    if given.labels is not None:
        report["top1"] = top1(found[0], given.labels)
    if output is not None:
        write_file(output, npz(graph, found))
    write_json(json, report)
    text = f", top-1 accuracy {100 * report['top1']:.2f} %" if given.labels is not None else ""
    console().print(
        f"{graph.name}: {count} inputs in {seconds:.2f} s ({report['inputs_per_s']:.0f}/s){text}", soft_wrap=True
    )
