"""Operators against loops over pixels in Python integers, and the number types the fast kernels choose."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.golden import convolution
from hwgen.golden.fixedpoint import requantize
from hwgen.golden.operators import accumulators, execute
from hwgen.model.graph import Add, Concat, Conv, Op, Pad, Pool, Requant, Requantize, Reshape, Tensor


def maps(**shapes: tuple[tuple[int, ...], int]) -> dict[str, Tensor]:
    return {name: Tensor(name, (1, *shape), 0.1, zero_point) for name, (shape, zero_point) in shapes.items()}


def identity(channels: int = 1, **changes) -> Requant:
    return Requant(np.full(channels, 2**30), np.full(channels, 1), **{"zero_point": 0, **changes})


def naive_convolution(op: Conv, x: np.ndarray, zero_point: int) -> np.ndarray:
    """Int64 accumulators by the textbook loops."""
    n, height, width, channels = x.shape
    top, bottom, left, right = op.pad
    padded = np.full((n, height + top + bottom, width + left + right, channels), zero_point, np.int64)
    padded[:, top : top + height, left : left + width] = x
    out_channels, kh, kw, depth = op.weight.shape
    rows = (padded.shape[1] - (kh - 1) * op.dilation[0] - 1) // op.stride[0] + 1
    columns = (padded.shape[2] - (kw - 1) * op.dilation[1] - 1) // op.stride[1] + 1
    acc = np.zeros((n, rows, columns, out_channels), np.int64) + op.bias.astype(np.int64)
    weight = op.weight.astype(np.int64)
    for o, r, c, i, j, d in itertools.product(range(out_channels), range(rows), range(columns), range(kh), range(kw),
                                              range(depth)):
        channel = o // (out_channels // op.groups) * depth + d
        value = padded[:, r * op.stride[0] + i * op.dilation[0], c * op.stride[1] + j * op.dilation[1], channel]
        acc[:, r, c, o] += (value - zero_point) * weight[o, i, j, d]
    return acc


@pytest.mark.parametrize("seed", range(40))
def test_convolution_is_the_textbook_loop(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    monkeypatch.setattr(convolution, "_COLUMN_BYTES", int(rng.choice([1, 200, 5000, 1 << 20])))  # every blocking
    groups = int(rng.choice([1, 1, 2, 3]))
    depth = int(rng.choice([1, 2, 3]))
    kernel, dilation, stride = rng.integers(1, 4, 2), rng.integers(1, 3, 2), rng.integers(1, 4, 2)
    pad = tuple(int(p) for p in rng.integers(0, 3, 4))
    size = [int(rng.integers(max(1, (k - 1) * d + 1), (k - 1) * d + 6)) for k, d in zip(kernel, dilation, strict=True)]
    out_channels, zero_point = groups * int(rng.integers(1, 4)), int(rng.integers(-128, 128))
    op = Conv(name="c", inputs=("x",), output="y", requant=identity(out_channels),
              weight=rng.integers(-128, 128, (out_channels, *kernel, depth)).astype(np.int8),
              bias=rng.integers(-(2**31), 2**31 - 1, out_channels).astype(np.int32), groups=groups, pad=pad,
              stride=tuple(map(int, stride)), dilation=tuple(map(int, dilation)))
    x = rng.integers(-128, 128, (3, *size, groups * depth)).astype(np.int8)
    expected = naive_convolution(op, x, zero_point).astype(np.int32)
    tensors = maps(x=(x.shape[1:], zero_point), y=(expected.shape[1:], 0))
    assert np.array_equal(accumulators(op, [x], tensors), expected), f"seed {seed}"
    assert np.array_equal(execute(op, [x], tensors), requantize(expected, op.requant)), f"seed {seed}"


@pytest.mark.parametrize(("bound", "dtype"), [(2**24, np.float32), (2**24 + 1, np.float64), (2**53, np.float64),
                                          (2**53 + 1, np.int64)])
def test_exact_dtype(bound, dtype):
    assert convolution.exact_dtype(bound) is dtype


@pytest.mark.parametrize(("depth", "dtype"), [(516, np.float32), (520, np.float64)])
def test_worst_case_sums_are_exact(depth, dtype):
    """Weights and inputs at their limits on both sides of float32's 24 bits; odd sums show a lost bit."""
    weight = np.full((2, 1, 1, depth), -127, np.int8)
    op = Conv(name="c", inputs=("x",), output="y", weight=weight, bias=np.zeros(2, np.int32), requant=identity(2))
    assert convolution.prepare(op, -128).dtype is dtype
    x = np.full((1, 1, 1, depth), 127, np.int8)
    x[..., 0] = 126
    tensors = maps(x=((1, 1, depth), -128), y=((1, 1, 2), 0))
    assert accumulators(op, [x], tensors).tolist() == [[[[-127 * (255 * depth - 1)] * 2]]]


def test_wide_sums_wrap_as_32_bit_accumulators_do():
    weight = np.full((1, 1, 1, 300), 32767, np.int16)
    op = Conv(name="c", inputs=("x",), output="y", weight=weight, bias=np.array([5], np.int32), requant=identity())
    x = np.full((1, 1, 1, 300), 127, np.int8)
    expected = (300 * 255 * 32767 + 5 + 2**31) % 2**32 - 2**31
    assert accumulators(op, [x], maps(x=((1, 1, 300), -128), y=((1, 1, 1), 0))).item() == expected


def naive_pool(op: Pool, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    out = np.zeros((len(x), *shape), np.int64)
    for n, r, c, k in np.ndindex(*out.shape):
        values = [int(x[n, i, j, k])
                  for i in range(r * op.stride[0] - op.pad[0], r * op.stride[0] - op.pad[0] + op.kernel[0])
                  for j in range(c * op.stride[1] - op.pad[2], c * op.stride[1] - op.pad[2] + op.kernel[1])
                  if 0 <= i < x.shape[1] and 0 <= j < x.shape[2]]
        total = sum(values)
        half = len(values) // 2
        average = (total + half) // len(values) if total > 0 else -((-total + half) // len(values))
        out[n, r, c, k] = min(max(max(values) if op.kind == "max" else average, op.qmin), op.qmax)
    return out


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize("seed", range(10))
def test_pooling_is_the_textbook_loop(kind, seed):
    rng = np.random.default_rng(seed)
    kernel = tuple(int(k) for k in rng.integers(2, 4, 2))
    pad = tuple(int(rng.integers(0, k)) for k in (kernel[0], kernel[0], kernel[1], kernel[1]))
    stride = tuple(int(s) for s in rng.integers(1, 3, 2))
    op = Pool(name="p", inputs=("x",), output="y", kind=kind, kernel=kernel, stride=stride, pad=pad, qmin=-100, qmax=50)
    x = rng.integers(-128, 128, (2, 5, 6, 2)).astype(np.int8)
    shape = ((5 + pad[0] + pad[1] - kernel[0]) // stride[0] + 1, (6 + pad[2] + pad[3] - kernel[1]) // stride[1] + 1, 2)
    tensors = maps(x=((5, 6, 2), 7), y=(shape, 7))
    assert np.array_equal(execute(op, [x], tensors), naive_pool(op, x, shape)), f"seed {seed}"


def test_mean_sums_the_distance_to_the_zero_point():
    op = Pool(name="p", inputs=("x",), output="y", kind="average", kernel=(2, 2), stride=(2, 2), requant=identity())
    x = np.array([1, 2, 3, 4], np.int8).reshape(1, 2, 2, 1)
    tensors = maps(x=((2, 2, 1), 3), y=((1, 1, 1), 0))
    assert accumulators(op, [x], tensors).item() == -2
    assert execute(op, [x], tensors).item() == -2


def test_window_in_the_padding_is_refused():
    op = Pool(name="p", inputs=("x",), output="y", kind="max", kernel=(1, 1), stride=(1, 1), pad=(1, 0, 0, 0))
    with pytest.raises(HwgenError, match="p: every pooling window must hold at least one pixel of its map"):
        execute(op, [np.zeros((1, 2, 2, 1), np.int8)], maps(x=((2, 2, 1), 0), y=((3, 2, 1), 0)))


def test_tables_cover_all_operands():
    """Add and requantize go through tables: every pair of int8 values against the rule itself."""
    every = np.arange(-128, 128).astype(np.int8)
    q1, q2 = (q.reshape(1, 256, 256, 1) for q in np.meshgrid(every, every))
    op = Add(name="a", inputs=("x", "y"), output="z", multiplier=(2**30, 1300000001), shift=(0, -2),
             requant=Requant(np.array([1234567891]), np.array([-18]), 9, -128, 100))
    tensors = maps(x=((256, 256, 1), 3), y=((256, 256, 1), -70), z=((256, 256, 1), 9))
    got = execute(op, [q1, q2], tensors)
    assert np.array_equal(got, requantize(accumulators(op, [q1, q2], tensors), op.requant))
    assert len(np.unique(got)) > 100
    again = Requantize(name="r", inputs=("x",), output="z", requant=Requant(np.array([1800000000]), np.array([0]), 9))
    x = every.reshape(1, 256, 1, 1)
    tensors = maps(x=((256, 1, 1), 3), z=((256, 1, 1), 9))
    assert np.array_equal(execute(again, [x], tensors), requantize(accumulators(again, [x], tensors), again.requant))


def test_moving_operators():
    x = np.arange(12, dtype=np.int8).reshape(1, 2, 3, 2)
    tensors = maps(x=((2, 3, 2), -9), wide=((2, 6, 2), -9), padded=((3, 6, 2), -9), flat=((1, 1, 12), -9))
    wide = execute(Concat(name="c", inputs=("x", "x"), output="wide", axis=2), [x, x], tensors)
    assert np.array_equal(wide, np.concatenate([x, x], 2))
    padded = execute(Pad(name="p", inputs=("x",), output="padded", pad=(1, 0, 2, 1)), [x], tensors)
    assert np.array_equal(padded[:, 1:, 2:5], x) and (padded == -9).sum() == 36 - 12
    assert execute(Reshape(name="r", inputs=("x",), output="flat"), [x], tensors).ravel().tolist() == list(range(12))


def test_wrong_operators_and_shapes():
    x, tensors = np.zeros((1, 2, 2, 1), np.int8), maps(x=((2, 2, 1), 0), y=((2, 1, 1), 0))
    with pytest.raises(HwgenError, match="h: the golden model has no device operator Op"):
        execute(Op(name="h", inputs=("x",), output="y"), [x], tensors)
    with pytest.raises(HwgenError, match="Reshape has no accumulators"):
        accumulators(Reshape(name="r", inputs=("x",), output="y"), [x], tensors)
    op = Conv(name="c", inputs=("x",), output="y", weight=np.ones((1, 1, 1, 1), np.int8), bias=np.zeros(1, np.int32),
              requant=identity())
    with pytest.raises(HwgenError, match="c: output shape must be"):
        execute(op, [x], tensors)
