"""Read a file, and hold the golden model against ONNX Runtime on the file itself."""

from __future__ import annotations

from pathlib import Path

from hwgen.golden.inputs import random_inputs
from hwgen.model import load_model
from hwgen.model.graph import Graph
from hwgen.reference.runtime import ONNX_RUNTIME, Runtime
from hwgen.verify.reference import Comparison, compare, keys


def judged(path: Path, *, images: int = 3, seed: int = 1, runtime: Runtime = ONNX_RUNTIME) -> tuple[Graph, Comparison]:
    """The graph, and how it compares on random inputs that reach every integer."""
    graph = load_model(path)
    given = random_inputs(graph, images, seed)
    return graph, compare(graph, given, [(runtime, runtime.run(path, given, keys(graph)))])


def exact(path: Path, *, maps: int, images: int = 3, seed: int = 1, runtime: Runtime = ONNX_RUNTIME) -> Graph:
    """The graph of a file that comes out right, of which at least ``maps`` maps are in the file."""
    graph, found = judged(path, images=images, seed=seed, runtime=runtime)
    assert found.equal, f"{path}, seed {seed}: {found.summary}\n" + "\n".join(found.examples)
    assert found.maps >= maps, f"{path}: {found.maps} maps compared, not {maps}"
    return graph
