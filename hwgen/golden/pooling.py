"""Window sums and maxima over the valid part of each pooling window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.convolution import output_size
from hwgen.model.graph import Pool


class Window(Protocol):
    """What pooling needs to know of an operator: `hwgen.model.graph.Pool`, or a pooling of a float network."""

    @property
    def name(self) -> str: ...
    @property
    def kernel(self) -> tuple[int, int]: ...
    @property
    def stride(self) -> tuple[int, int]: ...
    @property
    def pad(self) -> tuple[int, int, int, int]: ...


def _taps(op: Window, padded: NDArray[Any], rows: int, columns: int) -> Iterator[NDArray[Any]]:
    """The map as each window position sees it, shape (N, rows, columns, C), one array a tap."""
    for i in range(op.kernel[0]):
        for j in range(op.kernel[1]):
            yield padded[:, i : i + (rows - 1) * op.stride[0] + 1 : op.stride[0],
                         j : j + (columns - 1) * op.stride[1] + 1 : op.stride[1]]


def _size(op: Window, x: NDArray[Any]) -> tuple[int, int]:
    rows = output_size(x.shape[1], op.pad[0] + op.pad[1], op.kernel[0], 1, op.stride[0])
    columns = output_size(x.shape[2], op.pad[2] + op.pad[3], op.kernel[1], 1, op.stride[1])
    return rows, columns


def _pad(op: Window, x: NDArray[Any], value: float) -> NDArray[Any]:
    top, bottom, left, right = op.pad
    if not any(op.pad):
        return x
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def pool_counts(op: Window, height: int, width: int) -> NDArray[np.int32]:
    """Valid pixels of each window, shape (1, rows, columns, 1).

    Raises
    ------
    HwgenError
        When a window lies in the padding altogether.
    """
    ones = np.ones((1, height, width, 1), np.int32)
    rows, columns = _size(op, ones)
    count = np.zeros((1, rows, columns, 1), np.int32)
    for tap in _taps(op, _pad(op, ones, 0), rows, columns):
        count += tap
    if not count.all():
        raise HwgenError("every pooling window must hold at least one pixel of its map", where=op.name)
    return count


def pool_divisors(op: Pool, height: int, width: int) -> NDArray[np.int32]:
    """What each window of a `Pool` with ``by_count`` is divided by, shape (1, rows, columns, 1).

    Raises
    ------
    HwgenError
        When ``counted`` is not a part of the padding, or ``by_count`` lacks a divisor that occurs.
    """
    if not all(0 <= n <= whole for n, whole in zip(op.counted, op.pad, strict=True)):
        raise HwgenError(f"the padding that is counted, {op.counted}, must be a part of {op.pad}", where=op.name)
    top, bottom, left, right = op.counted
    rest = [whole - n for n, whole in zip(op.counted, op.pad, strict=True)]
    divisors = pool_counts(replace(op, pad=(rest[0], rest[1], rest[2], rest[3])), height + top + bottom,
                           width + left + right)
    if missing := sorted({*np.unique(divisors).tolist()} - set(op.by_count or {})):
        raise HwgenError(f"windows of {', '.join(map(str, missing))} pixels have no multiplier", where=op.name)
    return divisors


def average_sums(op: Window, x: NDArray[Any],
                 dtype: type[np.generic] = np.int32) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Raw sums of the valid part of each window, (N, rows, columns, C), and its pixel counts, (1, rows, columns, 1)."""
    count = pool_counts(op, x.shape[1], x.shape[2])
    if op.kernel == x.shape[1:3] and not any(op.pad):
        return x.sum(axis=(1, 2), dtype=dtype, keepdims=True), count
    rows, columns = _size(op, x)
    padded = _pad(op, x.astype(dtype), 0)
    total = np.zeros((len(x), rows, columns, x.shape[3]), dtype)
    for tap in _taps(op, padded, rows, columns):
        total += tap
    return total, count


def pool_maximum(op: Window, x: NDArray[Any]) -> NDArray[Any]:
    """Maximum of the valid part of each window, (N, rows, columns, C) in the type of ``x``; padding never wins."""
    pool_counts(op, x.shape[1], x.shape[2])
    rows, columns = _size(op, x)
    lowest = -128 if x.dtype == np.int8 else -np.inf
    best = np.full((len(x), rows, columns, x.shape[3]), lowest, x.dtype)
    for tap in _taps(op, _pad(op, x, lowest), rows, columns):
        np.maximum(best, tap, out=best)
    return best
