"""Run a recipe: fit and apply each step, and measure what it did."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.compress.accuracy import Accuracy, Progress, float_accuracy, integer_accuracy
from hwgen.compress.annotate import annotated, metadata
from hwgen.compress.count import Counts, count
from hwgen.compress.data import Data
from hwgen.compress.execute import fake_weights
from hwgen.compress.graph import FloatGraph
from hwgen.compress.lower import SchemeError, lower
from hwgen.compress.onnx_save_float import float_onnx
from hwgen.compress.plan import Plan
from hwgen.compress.recipe import Recipe
from hwgen.compress.technique import Surroundings
from hwgen.errors import HwgenError
from hwgen.model.onnx_reader import read_onnx
from hwgen.model.onnx_writer import write_onnx


@dataclass(frozen=True)
class Row:
    """The network after a step (``number`` 0: as it was given).

    ``accuracy`` is None without labels; ``integer`` says that it is the integer golden model's, of the very integers
    that are written once this is the last step.
    """

    number: int
    name: str
    family: str
    counts: Counts
    accuracy: Accuracy | None
    integer: bool
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"step": self.number, "name": self.name, "family": self.family, **asdict(self.counts),
                "mac_density": self.counts.mac_density,
                "accuracy": None if self.accuracy is None else self.accuracy.to_json(), "integer": self.integer,
                "seconds": self.seconds}


@dataclass(frozen=True)
class Compressed:
    """What a recipe made: the network with its quantizers, as ONNX file content, the plans and the table."""

    graph: FloatGraph
    onnx: bytes
    plans: list[Plan]
    rows: list[Row]


def compress(graph: FloatGraph, recipe: Recipe, fit: Data, test: Data, *, follow: Callable[[str], None] | None = None,
             progress: Progress | None = None, checkpoints: Path | None = None, annotate: bool = False) -> Compressed:
    """Compress a network.

    Parameters
    ----------
    graph : FloatGraph
    recipe : Recipe
        Must quantise: the result is a network for the machine.
    fit : Data
        What the steps are fitted on.
    test : Data
        What accuracy is measured on.
    follow : callable, optional
        Called with what is going on.
    progress : callable, optional
        Called with (inputs done, inputs in all) while accuracy is measured.
    checkpoints : Path, optional
        Folder for what long steps leave behind, to go on from when the same run is started again.
    annotate : bool
        Make a file also where the machine has no such scheme: of real numbers, the scheme in its metadata.

    Raises
    ------
    HwgenError
        Naming step, layer and rule.
    """
    if not recipe.quantizes:
        raise HwgenError("a recipe must quantise the network", where=recipe.name,
                         remedy='add [[step]] with name = "quantize"')
    for number, step in enumerate(recipe.steps, 1):
        with recipe.at(number):
            step.check_installed()
            if step.trains and fit is test:
                raise HwgenError("training must not see the data that accuracy is measured on",
                                 remedy="give training data: --train FILE.npz")
    say = follow or (lambda text: None)
    check_finite(graph)
    original = graph
    plans: list[Plan] = []
    made: list[tuple[FloatGraph, bytes, float]] = [(graph, b"", 0.0)]
    content = b""
    # All steps first: what is wrong with the last one should not take the time of measuring the others.
    for number, step in enumerate(recipe.steps, 1):
        say(f"step {number} of {len(recipe.steps)}, {step.name}")
        start = time.perf_counter()
        with recipe.at(number):
            plan = step.fit_in(graph, fit, Surroundings(original, number, checkpoints, say))
            graph = step.apply(graph, plan)
            check_finite(graph)
            plans.append(plan)
            if graph.maps:
                content = _integers(graph, annotate=annotate)
        made.append((graph, content, time.perf_counter() - start))
    with recipe.at(len(recipe.steps)):
        whole = annotated(content or float_onnx(fake_weights(graph)), metadata(graph, plans, real=not content))
    rows = []
    for number, (network, file, seconds) in enumerate(made):
        name, family = (network.name, "") if not number else (recipe.steps[number - 1].name,
                                                              recipe.steps[number - 1].family)
        say(f"accuracy after {number} of {len(recipe.steps)} steps")
        accuracy = onnx_accuracy(file, test, progress) if file else float_accuracy(network, test, progress)
        rows.append(Row(number, name, family, count(network), accuracy, bool(file), seconds))
    return Compressed(graph, whole, plans, rows)


def check_finite(graph: FloatGraph) -> None:
    """Raise `HwgenError` naming the layer whose weights or bias hold NaN or infinity."""
    for op in graph.convs:
        for what, values in (("weights", op.weight), ("bias", op.bias)):
            if not np.isfinite(values).all():
                raise HwgenError(f"its {what} must be finite, but hold NaN or infinity", where=op.name)


def _integers(graph: FloatGraph, *, annotate: bool) -> bytes:
    """The file of a network with quantizers; nothing when it cannot be one of integers and need not be."""
    try:
        return to_onnx(graph)
    except SchemeError:
        if not annotate:
            raise
        return b""


def to_onnx(graph: FloatGraph) -> bytes:
    """Content of the ONNX QDQ file of a network with quantizers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{graph.name}.onnx"
        write_onnx(lower(graph), path)
        return path.read_bytes()


def onnx_accuracy(content: bytes, data: Data, progress: Progress | None = None) -> Accuracy | None:
    """Accuracy of the integer golden model of a file, read back as everyone else reads it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        path.write_bytes(content)
        return integer_accuracy(read_onnx(path), data, progress)
