"""Run a float network with NumPy: batched, matrix products by BLAS, fake quantisation where the graph asks for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.graph import (
    Activation,
    BatchNorm,
    Clamped,
    FloatAdd,
    FloatArray,
    FloatConv,
    FloatGraph,
    FloatPool,
    Softmax,
)
from hwgen.errors import HwgenError
from hwgen.golden.chunks import in_chunks
from hwgen.golden.convolution import matrices, sums
from hwgen.golden.host import softmax
from hwgen.golden.pooling import average_sums, pool_maximum
from hwgen.model.graph import Concat, Op, Pad, Reshape

_CHUNK_BYTES = 1 << 21
"""Bytes of the largest map of one chunk of images."""

Maps = dict[str, FloatArray]
_T = TypeVar("_T")


def run_float(graph: FloatGraph, x: NDArray[Any], *, fake: bool = True, host: bool = False,
              progress: Callable[[int, int], None] | None = None, workers: int | None = None) -> FloatArray:
    """Run a network on a batch.

    Parameters
    ----------
    graph : FloatGraph
    x : array, shape (N, H, W, C)
        Real values in the network's units.
    fake : bool
        Round weights and maps to what their quantizers (if any) can represent.
    host : bool
        Also run the softmax at the end.
    progress : callable, optional
        Called with (images done, images in all).
    workers : int, optional
        Threads, one for each processor by default.

    Returns
    -------
    float32 array, shape (N, H, W, C)
        Values of ``graph.output``.
    """
    parts = gather(graph, x, lambda maps: maps[graph.output], fake=fake, progress=progress, workers=workers)
    result = np.concatenate(parts)
    if host:
        for op in graph.ops:
            if isinstance(op, Softmax):
                result = softmax(result.astype(np.float64), op.beta).astype(np.float32)
    return result


def gather(graph: FloatGraph, x: NDArray[Any], what: Callable[[Maps], _T], *, fake: bool = True,
           progress: Callable[[int, int], None] | None = None, workers: int | None = None) -> list[_T]:
    """Run a network and keep of each few images what ``what`` makes of all their maps, in order.

    Arguments as `run_float`; ``what`` is called from several threads.

    Raises
    ------
    HwgenError
        When ``x`` is not a batch of the network's input shape.
    """
    shape = graph.shapes[graph.input][1:]
    if x.ndim != 4 or x.shape[1:] != shape or not len(x):
        raise HwgenError(f"the input must be a batch (N, {', '.join(map(str, shape))}) with N >= 1, not {x.shape}",
                         where=graph.name)
    if fake:
        graph = fake_weights(graph)
    largest = 4 * max(int(np.prod(s)) for s in graph.shapes.values())
    step = max(1, _CHUNK_BYTES // largest)
    def one(part: slice) -> _T:
        return what(_maps(graph, np.ascontiguousarray(x[part]), fake))

    done = in_chunks(one, len(x), step, progress=progress, workers=workers)
    return [result for _, result in done]


def fake_weights(graph: FloatGraph) -> FloatGraph:
    """The graph with each layer's weights replaced by what its quantizer makes of them, and its bias by the nearest
    multiple of input scale times weight scale, which is what an accumulator counts in."""
    new: dict[Op, Iterable[Op]] = {}
    for op in graph.convs:
        if op.quantizer is None:
            continue
        bias = op.bias
        if op.inputs[0] in graph.maps and not op.quantizer.group:
            step = op.quantizer.scale.reshape(-1).astype(np.float64) * float(graph.maps[op.inputs[0]].scale)
            bias = (np.rint(bias / step) * step).astype(np.float32)
        new[op] = (replace(op, weight=op.quantizer.fake(op.weight), bias=bias, quantizer=None),)
    return graph.replace_ops(new)


def _maps(graph: FloatGraph, x: NDArray[Any], fake: bool) -> Maps:
    """Every map of a few images."""
    maps = graph.maps if fake else {}

    def rounded(name: str, value: FloatArray) -> FloatArray:
        return maps[name].fake(value) if name in maps else value

    values = {graph.input: rounded(graph.input, x.astype(np.float32))}
    for op in graph.device_ops:
        values[op.output] = rounded(op.output, execute(op, [values[name] for name in op.inputs], graph.shapes))
    return values


def execute(op: Op, inputs: list[FloatArray], shapes: Mapping[str, tuple[int, ...]]) -> FloatArray:
    """Run one operator on a batch.

    Raises
    ------
    HwgenError
        When its result has another shape than the graph states.
    """
    x = inputs[0]
    shape = (len(x), *shapes[op.output][1:])
    y: FloatArray
    if isinstance(op, FloatConv):
        y = np.empty(shape, np.float32)
        for block, total in sums(op, matrices(op, np.float32), x):
            y[block] = total + op.bias
    elif isinstance(op, FloatPool):
        y = pool_maximum(op, x) if op.kind == "max" else _average(op, x)
    elif isinstance(op, FloatAdd):
        y = inputs[0] + inputs[1]
    elif isinstance(op, BatchNorm):
        y = (x * op.factor() + op.offset()).astype(np.float32)
    elif isinstance(op, Concat):
        y = np.concatenate(inputs, axis=op.axis)
    elif isinstance(op, Pad):
        top, bottom, left, right = op.pad
        y = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    elif isinstance(op, Reshape):
        y = x.reshape(shape)
    elif isinstance(op, Activation):
        y = x
    else:
        raise HwgenError(f"a float network has no operator {type(op).__name__}", where=op.name)
    if y.shape != shape:
        raise HwgenError(f"output shape must be {shape} as the graph states, not {y.shape}", where=op.name)
    if isinstance(op, Clamped) and (op.lo, op.hi) != (-np.inf, np.inf):
        y = np.clip(y, np.float32(op.lo), np.float32(op.hi))
    return y


def _average(op: FloatPool, x: FloatArray) -> FloatArray:
    total, count = average_sums(op, x, np.float32)
    size = np.float32(op.kernel[0] * op.kernel[1]) if op.include_pad else count.astype(np.float32)
    return np.asarray(total / size, np.float32)
