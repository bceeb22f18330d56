"""Channels that hold the same value whatever the input is: those of dead filters, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwgen.golden.operators import execute
from hwgen.model.graph import Add, Conv, Graph, Op, Pad, Pool, Requantize, Tensor, requants


@dataclass(frozen=True, eq=False)
class Constant:
    """Which channels of a map are constant (``known``, bool), and their values (int8), both of shape (channels,)."""

    known: NDArray[np.bool_]
    value: NDArray[np.int8]


def per_channel(op: Op) -> bool:
    """True when channel c of the result depends on channel c of the operands alone, and on all channels alike."""
    if isinstance(op, Conv):
        return op.depthwise and op.groups == len(op.weight)
    return isinstance(op, Add | Pad | Pool | Requantize)


def foldable(op: Op, source: Constant, zero_point: int) -> NDArray[np.bool_]:
    """Return which channels of a map add the same to every window of ``op``: at borders only zero does."""
    padded = any(getattr(op, "pad", ()))
    return source.known & ((source.value == zero_point) | (not padded))


def constants(graph: Graph) -> dict[str, Constant]:
    """Return the constant channels of every map."""
    found = {name: _none(t) for name, t in graph.tensors.items()}
    for op in graph.ops:
        fold = [foldable(op, found[n], graph.tensors[n].zero_point) for n in op.inputs]
        if isinstance(op, Conv) and op.groups == 1:
            known = ~((op.weight != 0).any(axis=(1, 2)) & ~fold[0]).any(axis=1)
        elif per_channel(op):
            known = np.logical_and.reduce(fold)
            if isinstance(op, Conv):
                known = known | ~(op.weight != 0).any(axis=(1, 2, 3))
        else:
            continue
        if known.any():
            values = [np.where(f, found[n].value, graph.tensors[n].zero_point).astype(np.int8)
                      for n, f in zip(op.inputs, fold, strict=True)]
            found[op.output] = Constant(known, _pixel(op, values, graph.tensors))
    return found


def _none(tensor: Tensor) -> Constant:
    channels = tensor.shape[3]
    return Constant(np.zeros(channels, np.bool_), np.zeros(channels, np.int8))


def _pixel(op: Op, values: Sequence[NDArray[np.int8]], tensors: Mapping[str, Tensor]) -> NDArray[np.int8]:
    """Return the result of an operator away from borders, of maps that are ``values`` everywhere."""
    kernel = op.weight.shape[1:3] if isinstance(op, Conv) else op.kernel if isinstance(op, Pool) else (1, 1)
    if isinstance(op, Conv):
        op = replace(op, stride=(1, 1), dilation=(1, 1), pad=(0, 0, 0, 0))
    elif isinstance(op, Pool):
        # Away from borders all windows have one divisor; where there is padding only zero is asked for, and stays it.
        one = next(iter(requants(op)), None)
        op = replace(op, stride=(1, 1), pad=(0, 0, 0, 0), requant=one, by_count=None, counted=(0, 0, 0, 0))
    elif isinstance(op, Pad):
        return values[0]
    shape = {op.output: replace(tensors[op.output], shape=(1, 1, 1, tensors[op.output].shape[3]))}
    maps = [np.broadcast_to(v, (1, *kernel, len(v))) for v in values]
    return execute(op, [np.ascontiguousarray(m) for m in maps], {**tensors, **shape}).reshape(-1)
