"""``hwgen run``: the golden model alone, on any number of inputs."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from hwgen.commands.files import check_target, write_file, write_json
from hwgen.commands.options import Json, Model
from hwgen.commands.output import busy, console, counted
from hwgen.errors import HwgenError

DENSITY_INPUTS = 16
"""Whose maps are looked at for the share of zeros: all maps of all of them are in memory at once."""


def run(
    model: Model,
    inputs: Annotated[
        Path, typer.Option("--inputs", metavar="FILE.npz", help="x: inputs, batch first; y: labels (optional).")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="OUT.npz", help="Write y (int8 outputs) and real (what the host makes of them)."
        ),
    ] = None,
    json: Json = None,
) -> None:
    """Run the golden model; print the top-1 accuracy when labels are given."""
    check_target(output)
    check_target(json)
    from hwgen.golden.densities import densities
    from hwgen.golden.graph import run as run_graph
    from hwgen.golden.host import file_outputs
    from hwgen.golden.inputs import quantize_input
    from hwgen.inputs import load_inputs
    from hwgen.model import load_model

    with busy(f"reading {model}"):
        graph = load_model(model)
        x, labels = load_inputs(inputs)
        quantised = quantize_input(graph, x)
    start = time.perf_counter()
    with counted("inputs") as progress:
        ran = run_graph(graph, quantised, progress=progress)
    result = ran.output
    seconds = time.perf_counter() - start
    y = result.reshape(len(result), -1) if result.shape[1:3] == (1, 1) else result
    report: dict[str, Any] = {
        "model": str(model),
        "inputs": len(y),
        "seconds": seconds,
        "inputs_per_s": len(y) / seconds,
    }
    if json is not None:
        report["layers"] = densities(graph, quantised[:DENSITY_INPUTS])
    if labels is not None:
        report["top1"] = top1(y, labels, str(inputs))
    if output is not None:
        real = file_outputs(graph, ran.tensors)[0].reshape(y.shape)
        content = io.BytesIO()  # given a path, NumPy would choose its suffix
        np.savez_compressed(content, y=y, real=real)
        write_file(output, content.getvalue())
    write_json(json, report)
    text = f", top-1 accuracy {100 * report['top1']:.2f} %" if labels is not None else ""
    console().print(
        f"{graph.name}: {len(y)} inputs in {seconds:.2f} s ({report['inputs_per_s']:.0f}/s){text}", soft_wrap=True
    )


def top1(y: NDArray[np.int8], labels: NDArray[np.int64], where: str) -> float:
    """Return the share of outputs (N, classes) whose largest value, the first of equal ones, is at the label.

    Raises
    ------
    HwgenError
        When a label is not a class of the network, or the outputs are not one vector each.
    """
    if y.ndim != 2:
        raise HwgenError(
            f"labels need outputs that are class scores, not maps of shape {y.shape[1:]}",
            where=where,
            remedy="leave y out",
        )
    if len(labels) != len(y):
        raise HwgenError(f"the labels y must be one for each of the {len(y)} inputs, not {len(labels)}", where=where)
    if labels.min() < 0 or labels.max() >= y.shape[1]:
        raise HwgenError(
            f"the labels y must be in 0..{y.shape[1] - 1}, not {labels.min()}..{labels.max()}", where=where
        )
    return float((y.argmax(axis=1) == labels).mean())
