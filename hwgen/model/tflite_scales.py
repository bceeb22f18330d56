"""Arithmetic of scales as TFLite does it: precision and order of every operation matter for the last bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.fixedpoint import average_requant, quantize_multiplier
from hwgen.model.graph import Requant, Rounding, Tensor
from hwgen.model.tflite_context import Layer

MAX_SHIFT = 7
"""Largest left shift of a `Requant`."""

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


def multipliers(ratios: NDArray[np.float64], where: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Multipliers and shifts of several scale ratios.

    Raises
    ------
    HwgenError
        When a ratio is 128 or more: the output scale is too small for its input.
    """
    pairs = [quantize_multiplier(min(float(ratio), 2.0**MAX_SHIFT)) for ratio in ratios]
    if max(shift for _, shift in pairs) > MAX_SHIFT:
        raise HwgenError(f"input scale x weight scale / output scale must be below {2**MAX_SHIFT}, not "
                         f"{float(np.max(ratios)):.6g}", where=where,
                         remedy="calibrate the output range on representative data")
    return np.array([m for m, _ in pairs], np.int64), np.array([s for _, s in pairs], np.int64)


def requant(ratios: NDArray[np.float64], output: Tensor, activation: int, where: str,
            rounding: Rounding = "double") -> Requant:
    """The requantisation to ``output`` with a fused activation; arguments as `multipliers` and `clamp_range`."""
    multiplier, shift = multipliers(ratios, where)
    qmin, qmax = clamp_range(activation, output)
    return Requant(multiplier, shift, output.zero_point, qmin, qmax, rounding)


def convolution_ratios(x: Tensor, weight_scales: NDArray[np.float32], y: Tensor,
                       unsigned: bool = False) -> NDArray[np.float64]:
    """Input scale times weight scale over output scale, for convolutions and fully connected layers.

    In double precision throughout, but for the uint8 scheme, whose kernels multiply the two in float32. (So does
    TFLite's own fully connected, TFLite Micro's does not: tests/reference shows the difference.)
    """
    if unsigned:
        return (np.float32(x.scale) * weight_scales).astype(np.float64) / float(y.scale)
    return float(x.scale) * weight_scales.astype(np.float64) / float(y.scale)


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
    (multiplier,), (shift,) = multipliers(np.array([float(x.scale) / float(y.scale)]), where)
    extra = min(count.bit_length() - 1, 32, 31 + int(shift))
    divided = (int(multiplier) << extra) // count
    return Requant(np.array([divided], np.int64), np.array([int(shift) - extra], np.int64), y.zero_point)


def add_scales(first: Tensor, second: Tensor, y: Tensor, activation: int,
               where: str) -> tuple[tuple[int, int], tuple[int, int], Requant]:
    """Both operands' multipliers and shifts, and the sum's `Requant`; ``first`` has the larger (or equal) scale."""
    twice = 2.0 * max(float(first.scale), float(second.scale))
    pairs = [quantize_multiplier(float(t.scale) / twice) for t in (first, second)]
    output = requant(np.array([twice / (2**20 * float(y.scale))]), y, activation, where)
    return (pairs[0][0], pairs[1][0]), (pairs[0][1], pairs[1][1]), output
