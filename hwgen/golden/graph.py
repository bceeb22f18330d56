"""Run a network: the reference that the compiler's command stream and the RTL are checked against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.chunks import in_chunks
from hwgen.golden.operators import execute
from hwgen.model.graph import Graph

_CHUNK_BYTES = 1 << 19
"""Bytes of the largest int8 map of one chunk of images: what one layer writes, the next still finds in the cache."""


@dataclass(frozen=True)
class GraphResult:
    """What a run gives.

    ``output`` is the int8 batch of ``graph.output``, shape (N, H, W, C); ``tensors`` holds every map by name, the
    input included, when asked for.
    """

    output: NDArray[np.int8]
    tensors: dict[str, NDArray[np.int8]] = field(default_factory=dict)


def run(graph: Graph, x: NDArray[np.int8], *, keep: bool = False,
        progress: Callable[[int, int], None] | None = None, workers: int | None = None) -> GraphResult:
    """Run the device operators on a batch.

    Parameters
    ----------
    graph : Graph
    x : int8 array, shape (N, H, W, C)
        Quantised already, see `hwgen.golden.inputs.quantize_input`.
    keep : bool
        Return every tensor, not only the output.
    progress : callable, optional
        Called with (images done, images in all) after each chunk.
    workers : int, optional
        Chunks that run at the same time, one for each processor by default.

    Raises
    ------
    HwgenError
        When ``x`` is not an int8 batch of the graph's input shape.
    """
    shape = graph.tensors[graph.input].shape[1:]
    if x.dtype != np.int8 or x.ndim != 4 or x.shape[1:] != shape or not len(x):
        raise HwgenError(f"the input must be an int8 batch (N, {', '.join(map(str, shape))}) with N >= 1, "
                         f"not {x.dtype} {x.shape}", where=graph.name)
    largest = max(int(np.prod(tensor.shape)) for tensor in graph.tensors.values())
    output: NDArray[np.int8] = np.empty((len(x), *graph.tensors[graph.output].shape[1:]), np.int8)
    kept: dict[str, list[NDArray[np.int8]]] = {}

    def one(part: NDArray[np.int8]) -> dict[str, NDArray[np.int8]]:
        return _run_chunk(graph, part, keep)

    for block, values in in_chunks(one, x, max(1, _CHUNK_BYTES // largest), progress=progress, workers=workers):
        output[block] = values[graph.output]
        if keep:
            for name, value in values.items():
                kept.setdefault(name, []).append(value)
    return GraphResult(output, {name: np.concatenate(parts) for name, parts in kept.items()})


def _run_chunk(graph: Graph, x: NDArray[np.int8], keep: bool) -> dict[str, NDArray[np.int8]]:
    """Run all layers on a few images and return every map, or the output alone."""
    ops = graph.device_ops
    last_use = {name: i for i, op in enumerate(ops) for name in op.inputs}
    values = {graph.input: x}
    for i, op in enumerate(ops):
        values[op.output] = execute(op, [values[name] for name in op.inputs], graph.tensors)
        if not keep:
            for name in set(op.inputs):
                if last_use[name] == i and name != graph.output:
                    del values[name]
    return values if keep else {graph.output: values[graph.output]}
