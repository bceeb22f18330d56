"""Small int8 networks, one for each operator and option that the public networks do not have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.tflite_builder import TfliteBuilder

SAME, VALID = 0, 1
Case = Callable[[TfliteBuilder, np.random.Generator], tuple[int, int]]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    """Register a case: given a builder and a generator, it returns the network's input and output."""
    CASES[function.__name__] = function
    return function


def build(name: str, folder: Path, seed: int) -> Path:
    """Write one case to a file."""
    builder = TfliteBuilder()
    entry, end = CASES[name](builder, np.random.default_rng(seed))
    return builder.save(folder / f"{name}.tflite", [entry], [end])


def conv(b: TfliteBuilder, rng: np.random.Generator, x: int, shape: tuple[int, ...], y: int,
         kind: str = "CONV_2D", **options: Any) -> int:
    """A convolution with random weights (per-channel scales) and bias."""
    depthwise = kind == "DEPTHWISE_CONV_2D"
    axis = 3 if depthwise else 0
    scale = rng.uniform(0.002, 0.02, shape[axis]).astype(np.float32)
    weight = b.constant(rng.integers(-127, 128, shape).astype(np.int8), scale=scale, axis=axis)
    bias = b.constant(rng.integers(-2000, 2000, shape[axis]).astype(np.int32), scale=scale)
    merged = {"Padding": VALID, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1, **options}
    return b.op(kind, [x, weight, bias], y, **merged)


def pool(b: TfliteBuilder, x: int, y: int, kind: str, **options: Any) -> int:
    """A pooling layer."""
    return b.op(kind, [x], y, **{"Padding": VALID, "StrideH": 1, "StrideW": 1, **options})


@case
def conv_stride_same(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, y = b.tensor((1, 7, 8, 3), zero_point=-5), b.tensor((1, 4, 4, 6), scale=0.3, zero_point=7)
    return x, conv(b, rng, x, (6, 3, 2, 3), y, Padding=SAME, StrideH=2, StrideW=2, FusedActivationFunction=3)


@case
def conv_without_bias(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, y = b.tensor((1, 5, 6, 3), zero_point=-5), b.tensor((1, 3, 5, 4), scale=0.2, zero_point=7)
    weight = b.constant(rng.integers(-127, 128, (4, 3, 2, 3)).astype(np.int8), scale=np.float32(0.01))
    return x, b.op("CONV_2D", [x, weight], y, Padding=VALID, StrideH=1, StrideW=1, DilationHFactor=1, DilationWFactor=1)


@case
def conv_dilated(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, y = b.tensor((1, 11, 9, 4), zero_point=17), b.tensor((1, 11, 9, 5), scale=0.4, zero_point=-3)
    return x, conv(b, rng, x, (5, 3, 3, 4), y, Padding=SAME, DilationHFactor=3, DilationWFactor=2)


@case
def conv_grouped(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, y = b.tensor((1, 6, 6, 6), zero_point=3), b.tensor((1, 4, 4, 9), scale=0.2, zero_point=1)
    return x, conv(b, rng, x, (9, 3, 3, 2), y, FusedActivationFunction=1)


@case
def conv_left_shift(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, y = b.tensor((1, 4, 4, 1), scale=1.0), b.tensor((1, 4, 4, 3), scale=0.006, zero_point=5)
    return x, conv(b, rng, x, (3, 1, 1, 1), y)


@case
def conv_relu_n1(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, y = b.tensor((1, 4, 4, 2)), b.tensor((1, 4, 4, 3), scale=0.02, zero_point=5)
    return x, conv(b, rng, x, (3, 1, 1, 2), y, FusedActivationFunction=2)


@case
def depthwise_multiplier(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, y = b.tensor((1, 9, 7, 5), zero_point=-11), b.tensor((1, 5, 4, 10), scale=0.12, zero_point=-128)
    return x, conv(b, rng, x, (1, 3, 3, 10), y, "DEPTHWISE_CONV_2D", Padding=SAME, StrideH=2, StrideW=2,
                   DepthMultiplier=2, FusedActivationFunction=1)


@case
def depthwise_of_one_channel(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, y = b.tensor((1, 9, 7, 1), zero_point=-11), b.tensor((1, 9, 7, 8), scale=0.12, zero_point=-9)
    return x, conv(b, rng, x, (1, 3, 3, 8), y, "DEPTHWISE_CONV_2D", Padding=SAME, DepthMultiplier=8)


@case
def depthwise_dilated(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, y = b.tensor((1, 9, 9, 4), zero_point=2), b.tensor((1, 5, 5, 4), scale=0.12, zero_point=4)
    return x, conv(b, rng, x, (1, 3, 3, 4), y, "DEPTHWISE_CONV_2D", DilationHFactor=2, DilationWFactor=2,
                   DepthMultiplier=1)


@case
def concatenation(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x = b.tensor((1, 6, 5, 3))
    parts = [conv(b, rng, x, (channels, 1, 1, 3), b.tensor((1, 6, 5, channels), scale=0.1, zero_point=9))
             for channels in (2, 5, 1)]
    return x, b.op("CONCATENATION", parts, b.tensor((1, 6, 5, 8), scale=0.1, zero_point=9), Axis=-1)


@case
def concatenation_of_rows(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x = b.tensor((1, 3, 5, 2))
    part = conv(b, rng, x, (2, 1, 1, 2), b.tensor((1, 3, 5, 2)))
    return x, b.op("CONCATENATION", [x, part], b.tensor((1, 6, 5, 2)), Axis=1)


@case
def max_pool(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, y = b.tensor((1, 7, 8, 5), zero_point=-4), b.tensor((1, 4, 4, 5), zero_point=-4)
    return x, pool(b, x, y, "MAX_POOL_2D", Padding=SAME, StrideH=2, StrideW=2, FilterHeight=3, FilterWidth=2,
                   FusedActivationFunction=1)


@case
def average_pool_same(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, y = b.tensor((1, 7, 8, 5), zero_point=-4), b.tensor((1, 4, 4, 5), zero_point=-4)
    return x, pool(b, x, y, "AVERAGE_POOL_2D", Padding=SAME, StrideH=2, StrideW=2, FilterHeight=3, FilterWidth=3)


@case
def average_pool_even(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, y = b.tensor((1, 6, 6, 3), zero_point=30), b.tensor((1, 3, 3, 3), zero_point=30)
    return x, pool(b, x, y, "AVERAGE_POOL_2D", StrideH=2, StrideW=2, FilterHeight=2, FilterWidth=2,
                   FusedActivationFunction=3)


def _mean(b: TfliteBuilder, size: int, scale: float, zero_point: int, keep: bool) -> tuple[int, int]:
    x = b.tensor((1, size, size, 6), scale=0.05, zero_point=-20)
    y = b.tensor((1, 1, 1, 6) if keep else (1, 6), scale=scale, zero_point=zero_point)
    return x, b.op("MEAN", [x, b.constant(np.array([1, 2], np.int32))], y, KeepDims=keep)


@case
def mean_rescaled(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    return _mean(b, 7, 0.013, 11, True)


@case
def mean_rescaled_power_of_two(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    return _mean(b, 8, 0.011, -128, False)


@case
def mean_same_scale(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    return _mean(b, 5, 0.05, -20, False)


@case
def pad_folded(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, padded = b.tensor((1, 6, 6, 3), zero_point=-7), b.tensor((1, 9, 8, 3), zero_point=-7)
    b.op("PAD", [x, b.constant(np.array([[0, 0], [1, 2], [0, 2], [0, 0]], np.int32))], padded)
    y = b.tensor((1, 4, 3, 4), scale=0.3, zero_point=2)
    return x, conv(b, rng, padded, (4, 3, 3, 3), y, StrideH=2, StrideW=2)


@case
def pad_kept(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, padded = b.tensor((1, 6, 6, 3), zero_point=-7), b.tensor((1, 8, 8, 3), zero_point=-7)
    b.op("PAD", [x, b.constant(np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))], padded)
    return x, pool(b, padded, b.tensor((1, 4, 4, 3), zero_point=-7), "AVERAGE_POOL_2D", StrideH=2, StrideW=2,
                   FilterHeight=2, FilterWidth=2)


def _pad_with(b: TfliteBuilder, value: int) -> tuple[int, int]:
    number = b.tensor((), scale=0.05, zero_point=-7, data=np.array(value, np.int8))
    return b.constant(np.array([[0, 0], [1, 2], [0, 1], [0, 0]], np.int32)), number


@case
def pad_with_lowest(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, padded = b.tensor((1, 6, 6, 3), zero_point=-7), b.tensor((1, 9, 7, 3), zero_point=-7)
    b.op("PADV2", [x, *_pad_with(b, -128)], padded)
    return x, pool(b, padded, b.tensor((1, 4, 3, 3), zero_point=-7), "MAX_POOL_2D", StrideH=2, StrideW=2,
                   FilterHeight=2, FilterWidth=2)


@case
def pad_with_a_number(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, padded = b.tensor((1, 6, 6, 3), zero_point=-7), b.tensor((1, 9, 7, 3), zero_point=-7)
    b.op("PADV2", [x, *_pad_with(b, 33)], padded)
    return x, conv(b, rng, padded, (4, 3, 3, 3), b.tensor((1, 7, 5, 4), scale=0.3, zero_point=2))


@case
def add_swapped(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x = b.tensor((1, 6, 6, 3), scale=0.013, zero_point=-7)
    other = conv(b, rng, x, (3, 1, 1, 3), b.tensor((1, 6, 6, 3), scale=0.031, zero_point=40))
    return x, b.op("ADD", [x, other], b.tensor((1, 6, 6, 3), scale=0.027, zero_point=-15), FusedActivationFunction=1)


@case
def add_to_itself(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x = b.tensor((1, 3, 3, 2), scale=0.02, zero_point=-7)
    return x, b.op("ADD", [x, x], b.tensor((1, 3, 3, 2), scale=0.05, zero_point=3))


@case
def relu_rescaled(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x = b.tensor((1, 6, 6, 3), scale=0.05, zero_point=10)
    return x, b.op("RELU", [x], b.tensor((1, 6, 6, 3), scale=0.021, zero_point=-128))


@case
def relu6(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x = b.tensor((1, 6, 6, 3), scale=0.06, zero_point=10)
    return x, b.op("RELU6", [x], b.tensor((1, 6, 6, 3), scale=0.06, zero_point=10))


@case
def requantize(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x = b.tensor((1, 6, 6, 3), scale=0.05, zero_point=10)
    return x, b.op("QUANTIZE", [x], b.tensor((1, 6, 6, 3), scale=0.083, zero_point=-33))


@case
def flatten_dense(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, flat = b.tensor((1, 4, 3, 5), zero_point=6), b.tensor((1, 60), zero_point=6)
    b.op("RESHAPE", [x, b.constant(np.array([1, 60], np.int32))], flat)
    weight = b.constant(rng.integers(-127, 128, (7, 60)).astype(np.int8), scale=np.float32(0.0103))
    bias = b.constant(rng.integers(-900, 900, 7).astype(np.int32), scale=np.float32(0.000515))
    y = b.op("FULLY_CONNECTED", [flat, weight, bias], b.tensor((1, 7), scale=0.21, zero_point=-3))
    return x, b.op("SOFTMAX", [y], b.tensor((1, 7), scale=1 / 256, zero_point=-128), Beta=1.0)


@case
def dense_per_channel(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x = b.tensor((1, 30), scale=0.0711, zero_point=6)
    scale = rng.uniform(0.002, 0.02, 9).astype(np.float32)
    weight = b.constant(rng.integers(-127, 128, (9, 30)).astype(np.int8), scale=scale)
    return x, b.op("FULLY_CONNECTED", [x, weight], b.tensor((1, 9), scale=0.21, zero_point=-3))


@case
def dense_large_sums(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x = b.tensor((1, 600), scale=float(rng.uniform(0.01, 0.1)), zero_point=-128)
    weight = b.constant(rng.integers(-127, 128, (40, 600)).astype(np.int8), scale=np.float32(rng.uniform(0.01, 0.1)))
    bias = b.constant(rng.integers(-(2**21), 2**21, 40).astype(np.int32))
    return x, b.op("FULLY_CONNECTED", [x, weight, bias], b.tensor((1, 40), scale=float(rng.uniform(100, 200))))


@case
def reshape_kept(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    x, other = b.tensor((1, 4, 6, 2)), b.tensor((1, 6, 2, 4))
    b.op("RESHAPE", [x, b.constant(np.array([1, 6, 2, 4], np.int32))], other)
    return x, conv(b, rng, other, (3, 2, 2, 4), b.tensor((1, 5, 1, 3), scale=0.3))


def _with_constant(kind: str, b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    """As Keras writes Rescaling and Normalization: a number for all, then one a channel, in scales of their own."""
    value = b.tensor((1, 6, 5, 3), scale=float(rng.uniform(0.01, 0.1)), zero_point=int(rng.integers(-128, 128)))
    x = value
    for shape in ((), (1, 1, 1, 3), (3,)):
        constant = b.tensor(shape, scale=float(rng.uniform(0.005, 0.2)), zero_point=int(rng.integers(-128, 128)),
                            data=rng.integers(-128, 128, shape).astype(np.int8))
        pair = [value, constant]
        value = b.tensor((1, 6, 5, 3), scale=float(rng.uniform(0.01, 0.2)), zero_point=int(rng.integers(-128, 128)))
        b.op(kind, pair if kind == "SUB" else pair[:: rng.choice([1, -1])], value,
             FusedActivationFunction=int(rng.choice([0, 1, 3])))
    return x, value


@case
def add_constant(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    return _with_constant("ADD", b, rng)


@case
def subtract_constant(b: TfliteBuilder, rng: np.random.Generator) -> tuple[int, int]:
    return _with_constant("SUB", b, rng)
