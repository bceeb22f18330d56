"""The one definition of each rounding rule; readers, golden model and RTL tests all refer to it.

Notation: ``acc`` is an accumulator wrapped to 32 bits, ``m`` and ``shift`` its multiplier and shift (`Requant`),
``p = acc * m`` the exact 64-bit product and ``n = 31 - shift`` the number of fraction bits, so that the real value
is ``p / 2**n``. A left shift is folded into ``n`` and never wraps; an overflow ends at the clamp.

========== =====================================================================================================
rounding   result before zero point and clamp
========== =====================================================================================================
double     ``shift >= 0``: ``floor((p + 2**(n-1)) / 2**n)``. ``shift < 0``, s = -shift: ``h = (p + 2**30) >> 31``,
           then ``(h + 2**(s-1) - (h < 0)) >> s`` (TFLite Micro: two roundings)
single     ``floor((p + 2**(n-1)) / 2**n)``
half_even  ``p / 2**n``, ties to even
half_away  ``p / 2**n``, ties away from zero
========== =====================================================================================================
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.model.graph import Add, Requant, Rounding

IntArray = NDArray[Any]

ADD_LEFT_SHIFT = 20
"""Head room that TFLite gives both operands of an add before rescaling them."""

MAX_SHIFT = 7
"""Largest left shift of a `Requant`."""

_BLOCK = 1 << 15
"""Elements requantised at a time: the 64-bit intermediates of one block stay in the L2 cache."""


def quantize_multiplier(real: float) -> tuple[int, int]:
    """Write a scale ratio as ``multiplier * 2**(shift - 31)``, as TFLite does.

    Parameters
    ----------
    real : float
        Finite and not negative, below 2**30.

    Returns
    -------
    multiplier, shift : int
        Multiplier in [2**30, 2**31), rounded half away from zero; (0, 0) for zero and for ratios below 2**-32.

    Raises
    ------
    HwgenError
        When ``real`` is NaN, infinite, negative or too large.
    """
    if not math.isfinite(real) or real < 0:
        raise HwgenError(f"a scale ratio must be finite and not negative, not {real!r}")
    if real == 0:
        return 0, 0
    fraction, shift = math.frexp(real)
    multiplier = math.floor(fraction * 2**31 + 0.5)  # exact: 53-bit mantissa, positive, so half up is half away
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        raise HwgenError(f"a scale ratio must be below 2**30, not {real!r}")
    return multiplier, shift


def machine_multiplier(real: float) -> tuple[int, int]:
    """`quantize_multiplier` with a shift that machines have, for a ratio of any size; see `folded`."""
    return folded(*quantize_multiplier(min(real, 2.0 ** (MAX_SHIFT + 1))))


def folded(multiplier: int, shift: int) -> tuple[int, int]:
    """A multiplier and shift of the same effect on int8 results, the shift `MAX_SHIFT` at most.

    Multipliers of machines have 32 bits, which is one more than `quantize_multiplier` uses: enough for ratios below
    256. With any larger one every accumulator but 0 ends at the clamp, as it does just below 256.
    """
    if shift <= MAX_SHIFT:
        return multiplier, shift
    return min(multiplier << (shift - MAX_SHIFT), 2**32 - 1), MAX_SHIFT


def average_requant(count: int) -> tuple[int, int]:
    """Multiplier and shift that divide a raw sum by ``count`` under ``half_away``.

    The multiplier is 2**k / count rounded up: the error pushes away from zero, so exact ties still round away, and it
    is far below the distance 1 / (2 count) to the next tie. The result equals TFLite's
    ``(sum + count / 2) / count`` (``-`` for negative sums, truncating) for every sum of ``count`` int8 values.

    Raises
    ------
    HwgenError
        When ``count`` is not in [1, 2**15].
    """
    if not 1 <= count <= 1 << 15:
        raise HwgenError(f"an average pooling window must hold 1 to {1 << 15} pixels, not {count}")
    k = 30 + (count - 1).bit_length()
    return -(-(1 << k) // count), 31 - k


def divide_half_away(total: IntArray, count: IntArray) -> IntArray:
    """``total / count`` for positive counts, ties away from zero: TFLite's average pooling of raw sums."""
    magnitude: IntArray = (np.abs(total) + count // 2) // count
    return np.where(total < 0, -magnitude, magnitude)


def wrap32(acc: IntArray) -> NDArray[np.int64]:
    """``acc`` wrapped to 32 bits (what a 32-bit accumulator holds), as int64."""
    return acc.astype(np.int32, copy=False).astype(np.int64)


def rescale(acc: IntArray, multiplier: IntArray, shift: IntArray, rounding: Rounding) -> NDArray[np.int64]:
    """``round(acc * multiplier / 2**(31 - shift))``, see the module's table; no zero point, no clamp.

    Parameters
    ----------
    acc : integer array, shape (..., C)
        Wrapped to 32 bits first.
    multiplier, shift : int64 arrays, shape (C,) or (1,)
    rounding : str
    """
    p = wrap32(acc)
    p *= multiplier
    n = 31 - shift
    if rounding == "double":
        return _double(p, shift)
    half = np.left_shift(np.int64(1), n - 1)
    if rounding == "single":
        p += half
    elif rounding == "half_even":
        odd = (p >> n) & 1
        p += half - 1
        p += odd
    elif rounding == "half_away":
        p += half - (p < 0)
    else:
        raise HwgenError(f"rounding must be double, single, half_even or half_away, not {rounding!r}")
    p >>= n
    return p


def _double(p: NDArray[np.int64], shift: IntArray) -> NDArray[np.int64]:
    """Two roundings: the high multiply's to 31 bits (fewer for a left shift), then the right shift's."""
    first = 31 - np.maximum(shift, 0)
    p += np.left_shift(np.int64(1), first - 1)
    p >>= first
    right = np.maximum(-shift, 0)
    if not np.any(right):
        return p
    # A channel without right shift must add nothing: its half is 0 and its sign correction is masked.
    half = np.left_shift(np.int64(1), right) >> 1
    if np.all(right):
        p -= p < 0
    else:
        p -= (p < 0) & (right > 0)
    p += half
    p >>= right
    return p


def requantize(acc: IntArray, requant: Requant) -> NDArray[np.int8]:
    """Accumulators to int8: rescale, add the zero point, clamp.

    Parameters
    ----------
    acc : int32 or int64 array, shape (..., C)
        Bias included; wrapped to 32 bits.
    requant : Requant
        With ``C`` channels, or one for all.

    Returns
    -------
    int8 array, shape (..., C)
    """
    channels = acc.shape[-1]
    flat = acc.reshape(-1, channels)
    out = np.empty(flat.shape, np.int8)
    rows = max(1, _BLOCK // max(channels, 1))
    for start in range(0, len(flat), rows):
        q = rescale(flat[start : start + rows], requant.multiplier, requant.shift, requant.rounding)
        q += requant.zero_point
        np.clip(q, requant.qmin, requant.qmax, out=q)
        out[start : start + rows] = q
    return out.reshape(acc.shape)


def add_sum(q1: IntArray, q2: IntArray, zero_point_1: int, zero_point_2: int, op: Add) -> NDArray[np.int64]:
    """The sum of an add in its 2**20 finer common scale, before the output's requantisation (shapes as `add_rule`)."""
    total: NDArray[np.int64] = np.zeros(np.broadcast_shapes(q1.shape, q2.shape), np.int64)
    for q, zero_point, multiplier, shift in zip((q1, q2), (zero_point_1, zero_point_2), op.multiplier, op.shift,
                                                strict=True):
        fine = (q.astype(np.int64) - zero_point) << ADD_LEFT_SHIFT
        total += rescale(fine, np.array([multiplier]), np.array([shift]), "double")
    return total


def add_rule(q1: IntArray, q2: IntArray, zero_point_1: int, zero_point_2: int, op: Add) -> NDArray[np.int8]:
    """TFLite's int8 add.

    Parameters
    ----------
    q1, q2 : integer arrays of one shape (..., C)
        The operands in the order of ``op.inputs``.
    zero_point_1, zero_point_2 : int
        Theirs.
    op : Add
    """
    return requantize(add_sum(q1, q2, zero_point_1, zero_point_2, op), op.requant)
