"""The comparison with a network's runtime, in this process: tests make many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.golden.inputs import from_maps
from hwgen.model.graph import Graph
from hwgen.reference.runtime import RUNTIMES, Answers
from hwgen.verify.reference import Comparison, compare, keys


def compared(path: Path, graph: Graph, x: NDArray[np.int8]) -> Comparison:
    """Compare a network of one input on quantised images (N, H, W, C) with the first runtime of its format."""
    runtime = RUNTIMES[graph.source][0]
    given = from_maps(graph, {graph.input: x})
    return compare(graph, given, [(runtime, runtime.run(path, given, keys(graph)))])


def answers(path: Path, graph: Graph, x: NDArray[np.int8]) -> Answers:
    """What that runtime answers."""
    return RUNTIMES[graph.source][0].run(path, from_maps(graph, {graph.input: x}), keys(graph))
