"""TFLite's integer Softmax and LogSoftmax, bit for bit (reference kernels of TFLite and of TFLite Micro).

Exponentials are numbers of 5 integer bits, their sums have 12. Source: softmax.h, log_softmax.h and
quantization_util.cc of tensorflow/lite/kernels/internal (Apache-2.0).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.golden import gemmlowp as fixed
from hwgen.golden.fixedpoint import quantize_multiplier

_INTEGER_BITS, _SUM_BITS, _OUTPUT_BITS = 5, 12, 4

Integers = NDArray[np.integer[Any]]


def _scaling(scale: float, beta: float) -> tuple[int, int, int]:
    """Multiplier and left shift of differences, and the smallest difference whose exponential counts."""
    fraction, shift = math.frexp(min(beta * scale * (1 << 31 - _INTEGER_BITS), 2.0**31 - 1))
    multiplier = math.floor(fraction * 2**31 + 0.5)
    if multiplier == 1 << 31:
        multiplier, shift = 1 << 30, shift + 1
    reach = ((1 << _INTEGER_BITS) - 1) * float(1 << 31 - _INTEGER_BITS) / 2.0**shift
    return multiplier, shift, -math.floor(reach)


class _Rows:
    """What the values of each row (last axis) are below its largest one: as they are, and in 5 integer bits."""

    def __init__(self, x: Integers, scale: float, beta: float) -> None:
        self.multiplier, self.shift, self.least = _scaling(scale, beta)
        self.below = x.astype(np.int64) - x.max(axis=-1, keepdims=True).astype(np.int64)
        self.counts = self.below >= self.least
        self.scaled = self._scaled(np.where(self.counts, self.below, 0))
        self.powers = fixed.exp_of_negative(self.scaled)
        kept = np.where(self.counts, fixed.divide_by_power(self.powers, _SUM_BITS), 0)
        self.total = fixed.wrap(kept.sum(axis=-1, keepdims=True))

    def _scaled(self, below: fixed.Raw) -> fixed.Raw:
        if self.shift >= 0:
            return fixed.multiply(fixed.wrap(below << self.shift), self.multiplier)
        return fixed.divide_by_power(fixed.multiply(below, self.multiplier), -self.shift)


def softmax(x: Integers, scale: float, beta: float, kind: str) -> Integers:
    """Softmax over the last axis.

    Parameters
    ----------
    x : int8 or uint8 array
    scale, beta : float
        Of the input; its zero point does not matter.
    kind : str
        Of the result: ``int8`` and ``uint8`` have 1/256 a step, ``int16`` 1/65536, from the type's lowest value on.

    Returns
    -------
    array of type ``kind``
    """
    rows = _Rows(x, scale, beta)
    fraction, exponent = fixed.reciprocal(rows.total, _SUM_BITS)
    limits = np.iinfo(kind)
    result = fixed.divide_by_power(fixed.multiply(fraction, rows.powers), exponent + 31 - limits.bits) + limits.min
    return np.where(rows.counts, np.clip(result, limits.min, limits.max), limits.min).astype(kind)


def log_softmax(x: Integers, scale: float) -> Integers:
    """Logarithm of the softmax over the last axis: int8 in and out, 1/16 a step, 0 at 127; arguments as `softmax`."""
    rows = _Rows(x, scale, 1.0)
    log_sum = _log(rows.total)
    reverse, reverse_shift = quantize_multiplier(2.0 ** (31 - rows.shift) / rows.multiplier)
    lowest = fixed.wrap(log_sum + fixed.LOWEST)
    bound = fixed.multiply(fixed.wrap(lowest << max(reverse_shift, 0)), reverse)
    bound = fixed.divide_by_power(bound, max(-reverse_shift, 0))
    counts = rows.below > np.maximum(rows.least - 1, bound)
    steps = fixed.divide_by_power(fixed.wrap(rows.scaled - log_sum), 31 - _INTEGER_BITS - _OUTPUT_BITS)
    return np.where(counts, np.clip(steps + 127, -128, 127), -128).astype(np.int8)


def _log(x: fixed.Raw) -> fixed.Raw:
    """The logarithm of numbers >= 1 of 12 integer bits, as numbers of 5: a mantissa near one by two candidates of its
    exponent, then a rational function of it."""
    half_root, fourth_root, quarter = 1518500250, 1805811301, 1 << 31 - _INTEGER_BITS - 2

    def exponent(places: fixed.Raw, sign: int) -> fixed.Raw:
        whole = fixed.shift_left(_SUM_BITS - places, 31 - _INTEGER_BITS)
        return np.clip(whole + sign * quarter, fixed.LOWEST, fixed.HIGHEST)

    places_a = fixed.leading_zeros(x)
    mantissa_a = fixed.shift_left(fixed.multiply(fixed.shift_left(x, places_a - 1), half_root), 1)
    places_b = fixed.leading_zeros(fixed.multiply(x, half_root)) - 1
    mantissa_b = fixed.shift_left(x, places_b)
    r = np.minimum(mantissa_a, mantissa_b)
    power = np.maximum(exponent(places_a, 1), exponent(places_b, -1))
    p = fixed.half_sum(r, fourth_root)
    q = fixed.wrap((r - fourth_root) * 2)
    square = fixed.multiply(q, q)
    above = fixed.wrap(fixed.multiply(q, r) + fixed.multiply(fixed.multiply(q, square), 117049297))
    inner = fixed.wrap(1057819769 + q + fixed.multiply(127690142, square))
    below = fixed.wrap(fixed.multiply(p, inner) + fixed.multiply(638450708, q))
    mantissa = fixed.multiply(fixed.divide_by_power(above, _INTEGER_BITS), fixed.inverse_of_one_plus(below))
    return fixed.wrap(fixed.multiply(power, 1488522236) + mantissa)
