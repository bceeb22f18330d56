"""The comparison with a network's runtime, in this process: tests make many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.golden.inputs import from_maps
from hwgen.model.graph import Graph
from hwgen.reference.runtime import RUNTIMES, Answers, RefusalError, Runtime
from hwgen.verify.reference import Comparison, compare, keys


def compared(path: Path, graph: Graph, x: NDArray[np.int8]) -> Comparison:
    """Compare a network of one input on quantised images (N, H, W, C) with the first runtime of its format."""
    runtime = RUNTIMES[graph.source][0]
    given = from_maps(graph, {graph.input: x})
    return compare(graph, given, [(runtime, runtime.run(path, given, keys(graph)))])


def answers(path: Path, graph: Graph, x: NDArray[np.int8]) -> Answers:
    """What that runtime answers."""
    return RUNTIMES[graph.source][0].run(path, from_maps(graph, {graph.input: x}), keys(graph))


def all_answers(path: Path, graph: Graph, given: Sequence[NDArray[Any]]) -> list[tuple[Runtime, Answers]]:
    """What every runtime that is installed and runs the file answers; RefusalError where there is none."""
    found, refusals = [], []
    for runtime in RUNTIMES[graph.source]:
        if runtime.installed is None:
            refusals.append(f"{runtime.name} is not installed (hwgen[reference])")
            continue
        try:
            found.append((runtime, runtime.run(path, given, keys(graph))))
        except RefusalError as error:
            refusals.append(f"{runtime.name}: {error}")
    if not found:
        raise RefusalError("; ".join(refusals))
    return found
