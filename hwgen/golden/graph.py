"""Run a network: the reference that the compiler's command stream and the RTL are checked against."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

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

    ``output`` is the int8 batch of the first output's map, shape (N, H, W, C); ``tensors`` holds the maps of all
    outputs by name, and every map, the inputs included, when asked for.
    """

    output: NDArray[np.int8]
    tensors: dict[str, NDArray[np.int8]]


Maps = Mapping[str, NDArray[np.int8]]
"""Quantised images by the names of their maps, (N, H, W, C) each."""

Batch = NDArray[np.int8] | Maps
"""Quantised images: of the one input's map, or of every input's map by its name."""


def run(graph: Graph, x: Batch, *, keep: bool = False,
        progress: Callable[[int, int], None] | None = None, workers: int | None = None) -> GraphResult:
    """Run the device operators on a batch.

    Parameters
    ----------
    graph : Graph
    x : int8 array, shape (N, H, W, C), or mapping of map names to such arrays
        Quantised already, see `hwgen.golden.inputs.quantize_input`.
    keep : bool
        Return every tensor, not only the outputs.
    progress : callable, optional
        Called with (images done, images in all) after each chunk.
    workers : int, optional
        Chunks that run at the same time, one for each processor by default.

    Raises
    ------
    HwgenError
        When ``x`` is not an int8 batch of the graph's input shapes.
    """
    given = batch_of(graph, x)
    largest = max(int(np.prod(tensor.shape)) for tensor in graph.tensors.values())
    wanted = list(graph.tensors) if keep else list(graph.output_maps)
    count = len(given[graph.input])
    results: dict[str, NDArray[np.int8]] = {}

    def one(block: slice) -> dict[str, NDArray[np.int8]]:
        return _run_chunk(graph, {name: np.ascontiguousarray(values[block]) for name, values in given.items()}, wanted)

    for block, values in in_chunks(one, count, max(1, _CHUNK_BYTES // largest), progress=progress, workers=workers):
        for name, value in values.items():
            if name not in results:
                results[name] = np.empty((count, *value.shape[1:]), np.int8)
            results[name][block] = value
    return GraphResult(results[graph.output], results)


def batch_of(graph: Graph, x: Batch) -> dict[str, NDArray[np.int8]]:
    """The images of every input's map, checked.

    Raises
    ------
    HwgenError
        When a map is missing, has another shape or type, or the numbers of images differ.
    """
    given = dict(x) if isinstance(x, Mapping) else {graph.input: x}
    missing = [name for name in graph.input_maps if name not in given]
    if missing:
        raise HwgenError(f"the network has {len(graph.input_maps)} inputs, values are missing for "
                         f"{', '.join(map(repr, missing))}", where=graph.name)
    for name in graph.input_maps:
        shape, values = graph.tensors[name].shape[1:], given[name]
        if values.dtype != np.int8 or values.ndim != 4 or values.shape[1:] != shape or not len(values):
            raise HwgenError(f"the input must be an int8 batch (N, {', '.join(map(str, shape))}) with N >= 1, "
                             f"not {values.dtype} {values.shape}", where=graph.name)
    counts = {len(given[name]) for name in graph.input_maps}
    if len(counts) > 1:
        raise HwgenError(f"all inputs must have as many images, not {sorted(counts)}", where=graph.name)
    return {name: given[name] for name in graph.input_maps}


def _run_chunk(graph: Graph, given: dict[str, NDArray[np.int8]], wanted: list[str]) -> dict[str, NDArray[np.int8]]:
    """Run all layers on a few images and return the wanted maps."""
    last_use = {name: i for i, op in enumerate(graph.ops) for name in op.inputs}
    values = dict(given)
    for i, op in enumerate(graph.ops):
        values[op.output] = execute(op, [values[name] for name in op.inputs], graph.tensors)
        for name in set(op.inputs):
            if last_use[name] == i and name not in wanted:
                del values[name]
    return {name: values[name] for name in wanted if name in values}
