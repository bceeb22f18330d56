"""Arithmetic of scales as TFLite does it: precision and order of every operation matter for the last bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.bounds import accumulator_range
from hwgen.golden.fixedpoint import average_requant, folded, machine_multiplier, quantize_multiplier
from hwgen.model.graph import Requant, Rounding, Tensor
from hwgen.model.tflite_context import Layer

_LARGEST = 2.0**29
"""Ratio above which a mean of anything overflows in the kernels."""

_CLAMPS = {0: (None, None), 1: (0.0, None), 2: (-1.0, 1.0), 3: (0.0, 6.0)}
"""Real lower and upper bound by TFLite's activation number: NONE, RELU, RELU_N1_TO_1, RELU6."""


def clamp_range(activation: int, tensor: Tensor) -> tuple[int, int]:
    """``qmin``, ``qmax`` of an output with a fused activation (0 none, 1 ReLU, 2 ReLU -1..1, 3 ReLU6)."""
    low, high = _CLAMPS[activation]
    return (-128 if low is None else max(-128, _quantized(low, tensor)),
            127 if high is None else min(127, _quantized(high, tensor)))


def _quantized(real: float, tensor: Tensor) -> int:
    # float32 division, then half away from zero: what the kernels do.
    with np.errstate(over="ignore"):  # a bound beyond any int8 value, whatever its size
        ratio = float(np.float32(real) / np.float32(tensor.scale))
    ratio = max(-1e6, min(ratio, 1e6))
    return tensor.zero_point + int(math.copysign(math.floor(abs(ratio) + 0.5), ratio))


def multipliers(ratios: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Multipliers and shifts of several scale ratios."""
    pairs = [machine_multiplier(float(ratio)) for ratio in ratios]
    return np.array([m for m, _ in pairs], np.int64), np.array([s for _, s in pairs], np.int64)


def requant(ratios: NDArray[np.float64], output: Tensor, activation: int, where: str,
            rounding: Rounding = "double", reach: NDArray[np.int64] | int = 255) -> Requant:
    """The requantisation to ``output`` with a fused activation; arguments as `multipliers` and `clamp_range`.

    ``reach`` is the largest magnitude of the accumulators, of each channel.

    Raises
    ------
    HwgenError
        When TFLite's kernels shift an accumulator beyond 32 bits.
    """
    shift = np.frexp(ratios)[1]
    _check_shift(shift, np.broadcast_to(reach, shift.shape), where)
    multiplier, shift = multipliers(ratios)
    qmin, qmax = clamp_range(activation, output)
    return Requant(multiplier, shift, output.zero_point, qmin, qmax, rounding)


def _check_shift(shift: NDArray[Any], reach: NDArray[Any], where: str) -> None:
    """Refuse left shifts that overflow in the kernels, which shift before they multiply; the machine does not."""
    for s, most in zip(shift.tolist(), reach.tolist(), strict=True):
        if s > 0 and most << min(s, 64) >= 1 << 31:
            raise HwgenError(f"the output scale is so small that sums, up to {most}, times 2**{s} overflow 32 bits in "
                             "TFLite's kernels", where=where,
                             remedy="calibrate the output range on representative data")


def convolution_ratios(x: Tensor, weight_scales: NDArray[np.float32], y: Tensor,
                       unsigned: bool = False) -> NDArray[np.float64]:
    """Input scale times weight scale over output scale, for convolutions and fully connected layers.

    In double precision throughout, but for the uint8 scheme, whose kernels multiply the two in float32. (So does
    TFLite's own fully connected, TFLite Micro's does not: tests/reference shows the difference.)
    """
    if unsigned:
        return (np.float32(x.scale) * weight_scales).astype(np.float64) / float(y.scale)
    return float(x.scale) * weight_scales.astype(np.float64) / float(y.scale)


def reach(weight: NDArray[Any], bias: NDArray[np.int32], x: Tensor, ratios: int) -> NDArray[np.int64]:
    """Largest magnitude of a convolution's accumulators, of each channel, or of all where ``ratios`` is 1."""
    low, high = accumulator_range(weight, bias, x.zero_point)
    most = np.maximum(np.abs(low), np.abs(high))
    return most if ratios > 1 else most.max(keepdims=True)


def unsigned_average(layer: Layer, x: Tensor, window: dict[str, Any], qmin: int, qmax: int) -> Requant:
    """Average pooling of the uint8 scheme, which rounds ties up (of integers that are never negative).

    Raises
    ------
    HwgenError
        Where one multiplier cannot say so exactly: windows that lie partly in padding, or of a pixel count that is no
        power of two over a map whose values may be below its zero point.
    """
    count = window["kernel"][0] * window["kernel"][1]
    if any(window["pad"]) or (count & (count - 1) and x.zero_point != -128):
        raise layer.error(f"an average over {window['kernel']} pixels of the uint8 scheme, whose ties cannot be "
                          "rounded as its kernels do", "convert the network again with int8 quantisation")
    multiplier, shift = average_requant(count)
    return Requant(np.array([multiplier], np.int64), np.array([shift], np.int64), x.zero_point, qmin, qmax, "single")


def mean_requant(x: Tensor, y: Tensor, count: int, where: str) -> Requant:
    """Mean over ``count`` pixels: the division is worked into the multiplier, truncated as TFLite does."""
    multiplier, shift = quantize_multiplier(min(float(x.scale) / float(y.scale), _LARGEST))
    extra = min(count.bit_length() - 1, 32, 31 + shift)
    _check_shift(np.array([shift - extra]), np.array([255 * count]), where)
    multiplier, shift = folded((multiplier << extra) // count, shift - extra)
    return Requant(np.array([multiplier], np.int64), np.array([shift], np.int64), y.zero_point)


def add_scales(first: Tensor, second: Tensor, y: Tensor, activation: int,
               where: str) -> tuple[tuple[int, int], tuple[int, int], Requant]:
    """Both operands' multipliers and shifts, and the sum's `Requant`; ``first`` has the larger (or equal) scale."""
    twice = 2.0 * max(float(first.scale), float(second.scale))
    pairs = [quantize_multiplier(float(t.scale) / twice) for t in (first, second)]
    output = requant(np.array([twice / (2**20 * float(y.scale))]), y, activation, where, reach=255 << 20)
    return (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1]), output
