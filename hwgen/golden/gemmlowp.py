"""Fixed-point functions of gemmlowp that TFLite's integer softmax is made of, on int32 raw values held in int64.

A number of ``b`` integer bits is ``raw / 2**(31 - b)``. Source: gemmlowp, fixedpoint/fixedpoint.h (Apache-2.0): the
method, its constants and the order of its roundings, which decide the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Raw = NDArray[np.int64]

HIGHEST = 2**31 - 1
LOWEST = -(2**31)

_EXP_BARREL = ((-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308), (2, 39332535), (3, 720401), (4, 242))
"""exp(-2**k) with no integer bits."""


def multiply(a: Any, b: Any) -> Raw:
    """The high half of ``2 a b``, rounded to nearest, ties away from zero: the product of two fixed-point numbers."""
    product = np.asarray(a, np.int64) * np.asarray(b, np.int64)
    nudged = product + np.where(product >= 0, 1 << 30, 1 - (1 << 30))
    quotient = np.where(nudged >= 0, nudged >> 31, -(-nudged >> 31))  # truncating division
    both = (np.asarray(a) == LOWEST) & (np.asarray(b) == LOWEST)
    return np.where(both, HIGHEST, quotient)


def divide_by_power(x: Any, exponent: Any) -> Raw:
    """``x / 2**exponent``, ties away from zero."""
    x, exponent = np.asarray(x, np.int64), np.asarray(exponent, np.int64)
    mask = (np.int64(1) << exponent) - 1
    threshold = (mask >> 1) + (x < 0)
    return (x >> exponent) + ((x & mask) > threshold)


def shift_left(x: Any, exponent: Any) -> Raw:
    """``x * 2**exponent``, saturating."""
    return np.clip(np.asarray(x, np.int64) << np.asarray(exponent, np.int64), LOWEST, HIGHEST)


def half_sum(a: Any, b: Any) -> Raw:
    """``(a + b) / 2``, rounded away from zero."""
    total = np.asarray(a, np.int64) + np.asarray(b, np.int64)
    rounded = total + np.where(total >= 0, 1, -1)
    return np.where(rounded >= 0, rounded >> 1, -(-rounded >> 1))


def wrap(x: Any) -> Raw:
    """``x`` as an int32 holds it."""
    return np.asarray(x, np.int64).astype(np.int32).astype(np.int64)


def leading_zeros(x: Raw) -> Raw:
    """Of the 32 bits of ``x`` >= 0."""
    return 32 - np.ceil(np.log2(x.astype(np.float64) + 1)).astype(np.int64)


def exp_of_negative(a: Raw) -> Raw:
    """Exp of numbers <= 0 of 5 integer bits, as numbers of none."""
    quarter = 1 << 24
    rest = (a & (quarter - 1)) - quarter
    result = _exp_near_zero(shift_left(rest, 5))
    remainder = rest - a
    for exponent, factor in _EXP_BARREL:
        result = np.where(remainder & (1 << 26 + exponent), multiply(result, factor), result)
    return np.where(a == 0, HIGHEST, result)


def _exp_near_zero(a: Raw) -> Raw:
    """Exp in [-1/4, 0): a Taylor polynomial around -1/8."""
    x = a + (1 << 28)
    x2 = multiply(x, x)
    x3, x4 = multiply(x2, x), multiply(x2, x2)
    tail = divide_by_power(multiply(divide_by_power(x4, 2) + x3, 715827883) + x2, 1)
    return wrap(1895147668 + multiply(1895147668, x + tail))


def reciprocal(x: Raw, integer_bits: int) -> tuple[Raw, Raw]:
    """1 / x for x >= 1: the fraction (no integer bits) and the exponent of two that it is still to be divided by."""
    headroom = leading_zeros(x)
    return inverse_of_one_plus(wrap((x << headroom) - (1 << 31))), integer_bits - headroom


def inverse_of_one_plus(a: Raw) -> Raw:
    """1 / (1 + a) for a in [0, 1), both of no integer bits: three steps of Newton and Raphson."""
    half = half_sum(a, HIGHEST)
    x = wrap(1515870810 + multiply(half, -1010580540))
    for _ in range(3):
        x = wrap(x + shift_left(multiply(x, wrap((1 << 29) - multiply(half, x))), 2))
    return shift_left(x, 1)
