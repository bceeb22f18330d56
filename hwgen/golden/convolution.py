"""Exact integer convolution at BLAS speed: floats hold the integers wherever every partial sum provably fits.

The float networks of `hwgen.compress` use the same sums of products, see `sums`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hwgen.model.graph import Conv

_COLUMN_BYTES = 1 << 20
"""Bytes of im2col matrix (or depthwise accumulator) worked on at a time, so that it stays in the L2 cache."""


class Kernel(Protocol):
    """What the sums of products need to know of a convolution."""

    @property
    def weight(self) -> NDArray[Any]: ...
    @property
    def stride(self) -> tuple[int, int]: ...
    @property
    def dilation(self) -> tuple[int, int]: ...
    @property
    def pad(self) -> tuple[int, int, int, int]: ...
    @property
    def groups(self) -> int: ...
    @property
    def depthwise(self) -> bool: ...


@dataclass(frozen=True, eq=False)
class Prepared:
    """Weights of one `Conv` in the form the kernels want, with the number type in which the sums are exact.

    ``matrices`` has one (K, out_channels // groups) matrix a group; depthwise has one (kh, kw, out_channels) array.
    """

    dtype: type[np.generic]
    matrices: tuple[NDArray[Any], ...]


_CACHE: weakref.WeakKeyDictionary[Conv, dict[int, Prepared]] = weakref.WeakKeyDictionary()


def exact_dtype(bound: int) -> type[np.generic]:
    """The fastest number type that holds every integer up to ``bound`` in magnitude exactly."""
    if bound <= 1 << 24:
        return np.float32
    return np.float64 if bound <= 1 << 53 else np.int64


def sum_bound(op: Conv, zero_point: int) -> int:
    """Largest magnitude any partial sum of products can reach, bias excluded, for any int8 input."""
    largest = np.abs(op.weight.astype(np.int64)).sum(axis=(1, 2, 3)).max(initial=0)
    return int(largest) * max(127 - zero_point, zero_point + 128)


def prepare(op: Conv, zero_point: int) -> Prepared:
    """Weights ready for the kernels, cached for the life of ``op`` (its arrays must not be changed in place)."""
    per_op = _CACHE.setdefault(op, {})
    if zero_point not in per_op:
        per_op[zero_point] = matrices(op, exact_dtype(sum_bound(op, zero_point)))
    return per_op[zero_point]


def matrices(op: Kernel, dtype: type[np.generic]) -> Prepared:
    """Weights in the form the kernels want, as numbers of ``dtype``."""
    if op.depthwise:
        parts = [op.weight[:, :, :, 0].transpose(1, 2, 0)]
    else:
        parts = [w.reshape(len(w), -1).T for w in np.split(op.weight, op.groups)]
    return Prepared(dtype, tuple(np.ascontiguousarray(m, dtype) for m in parts))


def output_size(size: int, pad: int, kernel: int, dilation: int, stride: int) -> int:
    """Output pixels along one axis; ``pad`` is the sum of both sides. May be 0 or less when the kernel does not fit."""
    return (size + pad - (kernel - 1) * dilation - 1) // stride + 1


def accumulate(op: Conv, x: NDArray[np.int8],
               zero_point: int) -> Iterator[tuple[tuple[slice, slice], NDArray[np.int32]]]:
    """Compute the accumulators, bias included, block by block.

    Parameters
    ----------
    op : Conv
    x : int8 array, shape (N, H, W, C)
    zero_point : int
        Of ``x``; also what padding holds.

    Yields
    ------
    (images, rows), acc
        Slices of the output's first two axes, and int32 accumulators (images, rows, OW, out_channels), wrapped to
        32 bits as the hardware's are.
    """
    bias = op.bias.astype(np.int32)
    for block, total in sums(op, prepare(op, zero_point), x, zero_point):
        # By way of int64: a cast of a float beyond int32 would not wrap.
        acc = (total.astype(np.int64) if total.dtype == np.float64 else total).astype(np.int32)
        acc += bias
        yield block, acc


def sums(op: Kernel, prepared: Prepared, x: NDArray[Any],
         zero_point: int = 0) -> Iterator[tuple[tuple[slice, slice], NDArray[Any]]]:
    """Compute the sums of products of ``x - zero_point``, bias excluded, block by block.

    Arguments and blocks as `accumulate`, in the number type of ``prepared``; a block is the caller's to change.
    """
    kernel = op.weight.shape[1:3]
    rows = output_size(x.shape[1], op.pad[0] + op.pad[1], kernel[0], op.dilation[0], op.stride[0])
    columns = output_size(x.shape[2], op.pad[2] + op.pad[3], kernel[1], op.dilation[1], op.stride[1])
    values = op.weight.shape[0] if op.depthwise else int(np.prod(op.weight.shape[1:]))
    row_bytes = columns * values * np.dtype(prepared.dtype).itemsize
    images = max(1, _COLUMN_BYTES // max(1, row_bytes * rows))
    step = rows if images > 1 else max(1, min(rows, _COLUMN_BYTES // max(1, row_bytes)))
    kernel_rows = (kernel[0] - 1) * op.dilation[0] + 1
    for image in range(0, len(x), images):
        padded = _padded(op, x[image : image + images], zero_point, prepared.dtype)
        for row in range(0, rows, step):
            count = min(step, rows - row)
            top = row * op.stride[0]
            part = padded[:, top : top + (count - 1) * op.stride[0] + kernel_rows]
            total = (_depthwise if op.depthwise else _grouped)(op, prepared, part, count, columns)
            yield (slice(image, image + images), slice(row, row + count)), total


def _padded(op: Kernel, x: NDArray[Any], zero_point: int, dtype: type[np.generic]) -> NDArray[Any]:
    """``x - zero_point`` with its padding, which is zero there."""
    top, bottom, left, right = op.pad
    n, height, width, channels = x.shape
    padded = np.zeros((n, height + top + bottom, width + left + right, channels), dtype)
    inner = padded[:, top : top + height, left : left + width]
    inner[...] = x
    inner -= dtype(zero_point)
    return padded


def _grouped(op: Kernel, prepared: Prepared, x: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """Sums of products of a (grouped) convolution by im2col, shape (N, rows, columns, out_channels)."""
    (kh, kw, depth), n = op.weight.shape[1:], len(x)
    sn, sh, sw, sc = x.strides
    windows = np.lib.stride_tricks.as_strided(
        x,
        (n, rows, columns, kh, kw, x.shape[3]),
        (sn, sh * op.stride[0], sw * op.stride[1], sh * op.dilation[0], sw * op.dilation[1], sc),
        writeable=False,
    )
    parts = []
    for group, matrix in enumerate(prepared.matrices):
        window = windows if op.groups == 1 else windows[..., group * depth : (group + 1) * depth]
        parts.append(window.reshape(n * rows * columns, kh * kw * depth) @ matrix)
    total = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    return total.reshape(n, rows, columns, -1)


def _depthwise(op: Kernel, prepared: Prepared, x: NDArray[Any], rows: int, columns: int) -> NDArray[Any]:
    """Sums of products of a depthwise convolution, one shifted multiply and add a tap."""
    (weight,) = prepared.matrices
    per_input = weight.shape[2] // x.shape[3]
    if per_input > 1:
        x = np.repeat(x, per_input, axis=3)
    total = np.zeros((len(x), rows, columns, weight.shape[2]), weight.dtype)
    product = np.empty_like(total)
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            top, left = i * op.dilation[0], j * op.dilation[1]
            taps = x[:, top : top + (rows - 1) * op.stride[0] + 1 : op.stride[0],
                     left : left + (columns - 1) * op.stride[1] + 1 : op.stride[1]]
            np.multiply(taps, weight[i, j], out=product)
            total += product
    return total
