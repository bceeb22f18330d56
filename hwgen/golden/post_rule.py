"""Requantisation the way the post-processor computes it: one product, one or two shifts, three kinds of ties.

It equals `hwgen.golden.fixedpoint` (tested for every rounding) with ``n = 8 - shift`` and

========== ===== =====
rounding   nudge final
========== ===== =====
double     1     AWAY
single     0     UP
half_even  0     EVEN
half_away  0     AWAY
========== ===== =====

A tie is exact: nothing was lost in the first shift either. (After the first rounding of ``nudge`` nothing is lost.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hwgen.golden.fixedpoint import wrap32
from hwgen.isa import Final
from hwgen.model.graph import Rounding

FIRST = 23
"""Bits the first shift removes; what is left is the field ``n``."""

MAX_N = 39
"""Largest ``n``: multiplier shift -31."""

ROUNDING_FIELDS: dict[Rounding, tuple[int, Final]] = {
    "double": (1, Final.AWAY), "single": (0, Final.UP), "half_even": (0, Final.EVEN), "half_away": (0, Final.AWAY)}
"""``nudge`` and ``final`` of PO_QUANT for every rounding."""


def requantize_machine(acc: NDArray[Any], bias: ArrayLike, multiplier: ArrayLike, n: ArrayLike, nudge: int, final: int,
                       zero_point: int, qmin: int, qmax: int) -> NDArray[np.int64]:
    """Requantise accumulators.

    Parameters
    ----------
    acc : integer array
        Accumulators without bias.
    bias, multiplier, n : array_like of int, broadcastable to ``acc``
        Signed 32 bit, unsigned 32 bit, 0..39.
    nudge : int
        1: the first rounding is at bit 31 (where ``n >= 8``).
    final : int
        `hwgen.isa.Final`.
    zero_point, qmin, qmax : int
        Added last; clamp.

    Returns
    -------
    int64 array of the broadcast shape, values in [qmin, qmax]
    """
    n = np.asarray(n, np.int64)
    # |x| <= 2**31 and the multiplier < 2**32: the product and the nudge stay inside int64.
    p = wrap32(np.asarray(acc, np.int64) + np.asarray(bias, np.int64)) * np.asarray(multiplier, np.int64)
    two_steps = (n >= 8) & bool(nudge)
    h = np.where(two_steps, (p + (1 << 30) >> 31) << 8, p >> FIRST)
    lost = ~two_steps & (p & (1 << FIRST) - 1 != 0)
    half = np.left_shift(np.int64(1), n) >> 1
    ties = (n > 0) & (two_steps | (not nudge))  # nudge with n < 8 rounds up whatever `final` says
    r = h + half
    if final == Final.AWAY:
        r = r - (ties & ~lost & (h < 0)) >> n
    elif final == Final.EVEN:
        r = r >> n
        r = r - (ties & ~lost & (h & np.left_shift(np.int64(1), n) - 1 == half) & (r & 1 == 1))
    else:
        r = r >> n
    result: NDArray[np.int64] = np.clip(r + zero_point, qmin, qmax)
    return result


def eltwise_accumulator(a: NDArray[Any], b: NDArray[Any] | None, zp_a: int, zp_b: int, multiplier_b: int,
                        shift_b: int) -> NDArray[np.int64]:
    """Accumulator of ELTWISE: ``a`` in TFLite's common scale of an add plus the rescaled ``b`` (if given).

    Operand A is the one whose scale is the larger: its multiplier is exactly one half, hence the left shift by 19.
    """
    first = a.astype(np.int64) - zp_a
    if b is None:
        return first
    product = (b.astype(np.int64) - zp_b) * multiplier_b
    rb = product + (1 << 10) >> 11
    if shift_b:
        rb = rb + (1 << shift_b - 1) - (rb < 0) >> shift_b
    return (first << 19) + rb
