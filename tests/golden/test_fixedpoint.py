"""Rounding rules against their definitions in Python's unbounded integers and fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen.errors import HwgenError
from hwgen.golden.fixedpoint import (
    add_rule,
    average_requant,
    divide_half_away,
    quantize_multiplier,
    requantize,
)
from hwgen.model.graph import Add, Requant

EXTREMES = [0, 1, -1, 2**31 - 1, -(2**31), 2**30, -(2**30), 127, -128]
accs = st.one_of(st.sampled_from(EXTREMES), st.integers(-(2**31), 2**31 - 1), st.integers(-(2**20), 2**20))
mults = st.one_of(st.just(0), st.sampled_from([2**30, 2**31 - 1]), st.integers(2**30, 2**31 - 1),
                  st.integers(1, 2**30))
shifts = st.integers(-31, 7)


def half_away(value: Fraction) -> int:
    magnitude = math.floor(abs(value) + Fraction(1, 2))
    return magnitude if value >= 0 else -magnitude


def tflite_double(acc: int, m: int, shift: int) -> int:
    """MultiplyByQuantizedMultiplier as TFLite's source states it, without its 32-bit left shift."""
    shifted = acc << max(shift, 0)
    p = shifted * m
    nudge = (1 << 30) if p >= 0 else 1 - (1 << 30)
    total = p + nudge
    high = abs(total) // (1 << 31) * (1 if total >= 0 else -1)
    right = max(-shift, 0)
    mask = (1 << right) - 1
    threshold = (mask >> 1) + (high < 0)
    return (high >> right) + ((high & mask) > threshold)


def direct(acc: int, m: int, shift: int, rounding: str) -> int:
    exact = Fraction(acc * m) * Fraction(2) ** (shift - 31)
    if rounding == "single":
        return math.floor(exact + Fraction(1, 2))
    if rounding == "half_even":
        return round(exact)
    if rounding == "half_away":
        return half_away(exact)
    return tflite_double(acc, m, shift)


@pytest.mark.parametrize("rounding", ["double", "single", "half_even", "half_away"])
@settings(max_examples=400, deadline=None)
@given(data=st.lists(st.tuples(accs, mults, shifts), min_size=1, max_size=20), zero_point=st.integers(-128, 127))
def test_requantize_is_the_definition(rounding, data, zero_point):
    acc, m, shift = (np.array(column, np.int64) for column in zip(*data, strict=True))
    requant = Requant(m, shift, zero_point, -100, 90, rounding)
    expected = [min(max(direct(*row, rounding) + zero_point, -100), 90) for row in data]
    assert requantize(acc[None], requant)[0].tolist() == expected


@pytest.mark.parametrize("rounding", ["double", "single", "half_even", "half_away"])
def test_ties(rounding):
    # acc * 2**30 * 2**(shift - 31) = acc / 2, acc / 4 ...: ties at every shift.
    for shift in range(-8, 1):
        acc = np.arange(-1500, 1500)
        requant = Requant(np.array([2**30]), np.array([shift]), 0, -128, 127, rounding)
        expected = [min(max(direct(int(a), 2**30, shift, rounding), -128), 127) for a in acc]
        assert requantize(acc[:, None], requant)[:, 0].tolist() == expected


def test_accumulators_wrap_to_32_bits():
    requant = Requant(np.array([2**30]), np.array([1]), 0)
    assert requantize(np.array([[2**32 + 5], [2**31 + 100]]), requant).tolist() == [[5], [-128]]


def test_unknown_rounding():
    with pytest.raises(HwgenError, match="rounding must be double, single, half_even or half_away, not 'up'"):
        requantize(np.zeros((1, 1), np.int32), Requant(np.array([2**30]), np.array([0]), 0, rounding="up"))


@settings(max_examples=500, deadline=None)
@given(st.floats(2.0**-32, 127.0, allow_nan=False))
def test_quantize_multiplier_is_the_nearest(real):
    m, shift = quantize_multiplier(real)
    assert 2**30 <= m < 2**31 and -31 <= shift <= 7
    error = abs(Fraction(real) - Fraction(m) * Fraction(2) ** (shift - 31))
    assert error <= Fraction(1, 2) * Fraction(2) ** (shift - 31)


@pytest.mark.parametrize(("real", "expected"), [
    (0.0, (0, 0)), (0.5, (2**30, 0)), (1.0, (2**30, 1)), (2.0**-32, (2**30, -31)), (2.0**-33, (0, 0)),
    (1 - 2.0**-40, (2**30, 1)), (0.75, (3 * 2**29, 0)), (9e-12, (0, 0))])
def test_quantize_multiplier_corners(real, expected):
    assert quantize_multiplier(real) == expected


@pytest.mark.parametrize("real", [float("nan"), float("inf"), -1.0, 2.0**31])
def test_quantize_multiplier_refuses(real):
    with pytest.raises(HwgenError, match="a scale ratio must be"):
        quantize_multiplier(real)


def test_average_requant_divides_exactly():
    """Every count to 1,024 and every sum that many int8 values can have, and some slack."""
    for count in range(1, 1025):
        m, shift = average_requant(count)
        assert 2**30 <= m < 2**31
        total = np.arange(-128 * count - 64, 128 * count + 64)
        expected = np.trunc((total + np.where(total > 0, count // 2, -(count // 2))) / count).astype(np.int64)
        inside = np.clip(expected, -128, 127)
        requant = Requant(np.array([m]), np.array([shift]), 0, rounding="half_away")
        assert np.array_equal(requantize(total[:, None], requant)[:, 0], inside), count
        assert np.array_equal(divide_half_away(total, np.int64(count)), expected), count


@pytest.mark.parametrize("count", [0, -1, 2**15 + 1])
def test_average_requant_refuses(count):
    with pytest.raises(HwgenError, match="an average pooling window must hold 1 to 32768 pixels"):
        average_requant(count)


@pytest.mark.parametrize("count", [2**15, 2**15 - 1, 9 * 1024 + 1, 3 * 2**13])
def test_average_requant_of_large_windows(count):
    m, shift = average_requant(count)
    rng = np.random.default_rng(count)
    total = np.concatenate([rng.integers(-128 * count, 127 * count, 20000),
                            np.arange(-127, 127) * count + count // 2, np.arange(-127, 127) * count + count // 2 + 1])
    requant = Requant(np.array([m]), np.array([shift]), 0, rounding="half_away")
    assert np.array_equal(requantize(total[:, None], requant)[:, 0], np.clip(divide_half_away(total, count), -128, 127))


@settings(max_examples=100, deadline=None)
@given(st.integers(-128, 127), st.integers(-128, 127), st.floats(2.0**-20, 0.5), st.floats(1e-7, 1e-5),
       st.integers(0, 2**32 - 1))
def test_add_rule(zero_point_1, zero_point_2, small, out, seed):
    second, last = quantize_multiplier(small), quantize_multiplier(out)
    op = Add(name="a", inputs=("x", "y"), output="z", multiplier=(2**30, second[0]), shift=(0, second[1]),
             requant=Requant(np.array([last[0]]), np.array([last[1]]), 4))
    q1, q2 = np.random.default_rng(seed).integers(-128, 128, (2, 40)).astype(np.int8)
    expected = []
    for a, b in zip(q1.tolist(), q2.tolist(), strict=True):
        total = (tflite_double((a - zero_point_1) << 20, 2**30, 0)
                 + tflite_double((b - zero_point_2) << 20, *second))
        expected.append(min(max(tflite_double(total, *last) + 4, -128), 127))
    assert add_rule(q1[:, None], q2[:, None], zero_point_1, zero_point_2, op)[:, 0].tolist() == expected
