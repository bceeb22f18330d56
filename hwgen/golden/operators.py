"""What every operator of the graph computes, on a batch: int8 in, int8 out, integers throughout."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden import convolution
from hwgen.golden.fixedpoint import add_rule, add_sum, divide_half_away, requantize
from hwgen.golden.pooling import average_sums, pool_divisors, pool_maximum
from hwgen.model.graph import Add, Concat, Conv, Op, Pad, Pool, Requantize, Reshape, Tensor, requants

Map = NDArray[np.int8]

_TABLES: weakref.WeakKeyDictionary[Op, dict[tuple[int, ...], Map]] = weakref.WeakKeyDictionary()
"""Elementwise operators as tables of all their operands' values (256 or 65,536 entries), by zero points."""


def execute(op: Op, inputs: Sequence[Map], tensors: Mapping[str, Tensor]) -> Map:
    """Run one operator.

    Parameters
    ----------
    op : Op
        Any device operator.
    inputs : sequence of int8 arrays, shape (N, H, W, C)
        In the order of ``op.inputs``.
    tensors : mapping of str to Tensor
        The graph's, for zero points and the output's shape.

    Returns
    -------
    int8 array, shape (N, *output shape)

    Raises
    ------
    HwgenError
        When the operator runs on the host, or its result has another shape than the graph states.
    """
    x, zero_point = inputs[0], tensors[op.inputs[0]].zero_point
    shape = (len(x), *tensors[op.output].shape[1:])
    if isinstance(op, Conv):
        y = np.empty(shape, np.int8)
        for block, acc in convolution.accumulate(op, x, zero_point):
            _check(op, acc.shape[2:], shape[2:])
            y[block] = requantize(acc, op.requant)
    elif isinstance(op, Pool):
        y = _pool(op, x, zero_point)
    elif isinstance(op, Add):
        index = (inputs[0].view(np.uint8).astype(np.uint16) << 8) | inputs[1].view(np.uint8)
        y = np.take(_add_table(op, zero_point, tensors[op.inputs[1]].zero_point), index)
    elif isinstance(op, Requantize):
        y = np.take(_requantize_table(op, zero_point), x.view(np.uint8))
    elif isinstance(op, Concat):
        y = np.concatenate(inputs, axis=op.axis)
    elif isinstance(op, Pad):
        top, bottom, left, right = op.pad
        y = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=zero_point)
    elif isinstance(op, Reshape):
        y = x.reshape(shape)
    else:
        raise HwgenError(f"the golden model has no device operator {type(op).__name__}", where=op.name)
    _check(op, y.shape, shape)
    return y


def accumulators(op: Op, inputs: Sequence[Map], tensors: Mapping[str, Tensor]) -> NDArray[np.int32]:
    """The accumulators before requantisation, bias included (arguments as `execute`).

    `Conv`: sum of products plus bias, wrapped to 32 bits. `Pool` average: the sum (see `Pool`). `Add`: the sum in the
    2**20 finer scale. `Requantize`: ``q - zero_point``.

    Raises
    ------
    HwgenError
        For operators that do not accumulate.
    """
    x, zero_point = inputs[0], tensors[op.inputs[0]].zero_point
    if isinstance(op, Conv):
        acc = np.empty((len(x), *tensors[op.output].shape[1:]), np.int32)
        for block, part in convolution.accumulate(op, x, zero_point):
            _check(op, part.shape[2:], acc.shape[2:])
            acc[block] = part
        return acc
    if isinstance(op, Pool) and op.kind == "average":
        total, count = average_sums(op, x)
        return (total - zero_point * count).astype(np.int32) if requants(op) else total
    if isinstance(op, Add):
        return add_sum(inputs[0], inputs[1], zero_point, tensors[op.inputs[1]].zero_point, op).astype(np.int32)
    if isinstance(op, Requantize):
        return x.astype(np.int32) - zero_point
    raise HwgenError(f"{type(op).__name__} has no accumulators", where=op.name)


def _pool(op: Pool, x: Map, zero_point: int) -> Map:
    if op.kind == "max":
        return np.clip(pool_maximum(op, x), op.qmin, op.qmax).astype(np.int8)
    total, count = average_sums(op, x)
    if op.by_count is not None:
        divisors, y = pool_divisors(op, *x.shape[1:3])[0, :, :, 0], np.empty(total.shape, np.int8)
        for n, requant in op.by_count.items():
            where = divisors == n
            y[:, where] = requantize((total - zero_point * count)[:, where], requant)
        return y
    if op.requant is not None:
        return requantize(total - zero_point * count, op.requant)
    return np.clip(divide_half_away(total, count), op.qmin, op.qmax).astype(np.int8)


def _bytes() -> Map:
    """All int8 values in the order of their bytes, which is how a table is indexed."""
    return np.arange(256, dtype=np.uint8).view(np.int8)


def _add_table(op: Add, zero_point_1: int, zero_point_2: int) -> Map:
    tables = _TABLES.setdefault(op, {})
    key = (zero_point_1, zero_point_2)
    if key not in tables:
        q1, q2 = np.meshgrid(_bytes(), _bytes(), indexing="ij")
        tables[key] = add_rule(q1.reshape(-1, 1), q2.reshape(-1, 1), zero_point_1, zero_point_2, op).reshape(-1)
    return tables[key]


def _requantize_table(op: Requantize, zero_point: int) -> Map:
    tables = _TABLES.setdefault(op, {})
    if (zero_point,) not in tables:
        acc = _bytes().astype(np.int64).reshape(-1, 1) - zero_point
        tables[(zero_point,)] = requantize(acc, op.requant).reshape(-1)
    return tables[(zero_point,)]


def _check(op: Op, got: Sequence[Any], expected: Sequence[Any]) -> None:
    if tuple(got) != tuple(expected):
        raise HwgenError(f"output shape must be {tuple(expected)} as the graph states, not {tuple(got)}", where=op.name)
