"""Networks turned by 90 degrees: height and width of every map and kernel swapped, for the machine alone.

Rows and columns are not alike to a machine: maps that do not fit are cut into stripes of rows, and the reduction is cut
at kernel rows. A map of one row (sound, any sequence) can be cut nowhere; turned it is a column, in which every pixel
is a row. Maps in memory are turned too (`hwgen.compiler.maps.Layout`): `Program` gives and takes the network's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from hwgen.compiler.density import Samples
from hwgen.config import Config
from hwgen.model.graph import Concat, Conv, Graph, Op, Pad, Pool, Reshape, Tensor

GAIN = 0.98
"""A turned network is taken when it is predicted to need less than this share of the cycles."""


def turned(graph: Graph, ops: Iterable[Op]) -> Graph | None:
    """Return the network with height and width swapped; None when one of ``ops`` is a reshape that needs the order of
    its pixels."""
    for op in ops:
        if isinstance(op, Reshape):
            maps = [graph.tensors[n] for n in (*op.inputs, op.output)]
            if maps[0].shape != maps[1].shape and not all(_line(t) for t in maps):
                return None
    tensors = {n: replace(t, shape=(t.shape[0], t.shape[2], t.shape[1], t.shape[3])) for n, t in graph.tensors.items()}
    return replace(graph, tensors=tensors, ops=tuple(_turned(op) for op in graph.ops))


def turned_samples(samples: Samples) -> Samples:
    """Return samples of a network's maps as those of the turned one."""
    return {n: maps.swapaxes(1, 2) for n, maps in samples.items()}


def worth_turning(graph: Graph, ops: Iterable[Op], config: Config) -> bool:
    """True when turning may save cycles: windows that slide along a line of pixels, or are longer than the table of
    segments."""
    for op in ops:
        if isinstance(op, Conv | Pool):
            kernel = op.kernel if isinstance(op, Pool) else op.weight.shape[1:3]
            source = graph.tensors[op.inputs[0]]
            sliding = max((k for k, n in zip(kernel, source.shape[1:3], strict=True) if k < n), default=1)
            if sliding > (1 if _line(source) else config.segments // 2):
                return True
    return False


def columns(graph: Graph) -> int:
    """Return the width of the widest map."""
    return max(t.shape[2] for t in graph.tensors.values())


def _line(tensor: Tensor) -> bool:
    return 1 in tensor.shape[1:3]


def _turned(op: Op) -> Op:
    if isinstance(op, Conv):
        weight = np.ascontiguousarray(op.weight.transpose(0, 2, 1, 3))
        return replace(op, weight=weight, stride=op.stride[::-1], dilation=op.dilation[::-1], pad=_pads(op.pad))
    if isinstance(op, Pool):
        return replace(op, kernel=op.kernel[::-1], stride=op.stride[::-1], pad=_pads(op.pad),
                       counted=_pads(op.counted))
    if isinstance(op, Pad):
        return replace(op, pad=_pads(op.pad))
    if isinstance(op, Concat) and op.axis != 3:
        return replace(op, axis=3 - op.axis)
    return op


def _pads(pad: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    return *pad[2:], *pad[:2]
