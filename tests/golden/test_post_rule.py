"""The post-processor's formulation of the rounding rules equals the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hwgen.golden.fixedpoint import MAX_SHIFT, add_sum, average_requant, quantize_multiplier, requantize
from hwgen.golden.post_rule import ROUNDING_FIELDS, eltwise_accumulator, requantize_machine
from hwgen.isa import Final
from hwgen.model.graph import Requant, Rounding
from tests.golden import naive_machine

INT32 = st.integers(-(2**31), 2**31 - 1)


def machine(acc: np.ndarray, r: Requant) -> np.ndarray:
    nudge, final = ROUNDING_FIELDS[r.rounding]
    return requantize_machine(acc, 0, r.multiplier, 8 - r.shift, nudge, final, r.zero_point, r.qmin, r.qmax)


@pytest.mark.parametrize("rounding", ["double", "single", "half_even", "half_away"])
@settings(max_examples=300)
@given(
    st.lists(INT32 | st.integers(-3000, 3000), min_size=1, max_size=30),
    st.integers(2**30, 2**31 - 1) | st.sampled_from([0, 2**30, 2**30 + 2**23, 3 << 29]),
    st.integers(-31, 7),
    st.integers(-128, 127),
)
@example([-1, 1, -2, 2, 3, -3, 127, -128], 2**30, 0, 0)
@example([-1, 1, -2, 2, 3, -3, 127, -128], 2**30 + 1, 0, 0)  # just beyond the tie, in bits the first shift loses
@example([-1, 1, -3, 3, 127, -128], 2**30 - 1, 0, 0)
def test_equals_fixedpoint(rounding: Rounding, acc: list[int], multiplier: int, shift: int, zero_point: int) -> None:
    r = Requant(np.array([multiplier]), np.array([shift]), zero_point, rounding=rounding)
    values = np.array(acc, np.int64)[:, None]
    assert np.array_equal(machine(values, r), requantize(values, r))


@pytest.mark.parametrize("rounding", ["double", "single", "half_even", "half_away"])
@settings(max_examples=300)
@given(st.lists(INT32 | st.integers(-3, 3), min_size=1, max_size=30), st.integers(2**31, 2**32 - 1))
@example([-1, 0, 1], 2**32 - 1)
def test_equals_fixedpoint_for_the_largest_ratios(rounding: Rounding, acc: list[int], multiplier: int) -> None:
    r = Requant(np.array([multiplier]), np.array([MAX_SHIFT]), -128, rounding=rounding)
    values = np.array(acc, np.int64)[:, None]
    assert np.array_equal(machine(values, r), requantize(values, r))
    exact = [(2 * a * multiplier + 2**24) // 2**25 for a in acc]  # half up: no tie is in reach, but for bits lost
    near = np.clip(np.array(exact, object) - 128, -128, 127).astype(int)
    assert np.abs(requantize(values, r).ravel() - near).max() <= 1


@settings(max_examples=300)
@given(st.integers(1, 2**15), st.integers(-128, 127), st.data())
def test_equals_fixedpoint_for_averages(count: int, zero_point: int, data: st.DataObject) -> None:
    total = data.draw(st.lists(st.integers(-128 * count, 128 * count), min_size=1, max_size=20))
    ties = [count * k // 2 + e for k in (-5, -3, -1, 1, 3, 5) for e in (-1, 0, 1)]
    multiplier, shift = average_requant(count)
    r = Requant(np.array([multiplier]), np.array([shift]), zero_point, rounding="half_away")
    values = np.array(total + ties, np.int64)[:, None]
    assert np.array_equal(machine(values, r), requantize(values, r))


@settings(max_examples=300)
@given(
    INT32 | st.integers(-3000, 3000),
    INT32 | st.just(0),
    st.integers(0, 2**32 - 1) | st.sampled_from([2**30, 2**24]),
    st.integers(0, 39),
    st.integers(0, 1),
    st.sampled_from(Final),
    st.integers(-128, 127),
)
def test_equals_the_contract(acc: int, bias: int, multiplier: int, n: int, nudge: int, final: Final, zp: int) -> None:
    q = {"nudge": nudge, "final": final, "zero_point": zp, "qmin": -100, "qmax": 101}
    got = requantize_machine(np.array([acc]), bias, multiplier, n, nudge, final, zp, -100, 101)
    assert got.tolist() == [naive_machine.requantise(acc, bias, multiplier, n, q)]


@given(st.floats(1e-4, 1.0), st.integers(-128, 127), st.integers(-128, 127))
def test_eltwise_equals_the_sum_of_fixedpoint(ratio: float, zp_a: int, zp_b: int) -> None:
    from hwgen.model.graph import Add

    multiplier, shift = quantize_multiplier(ratio / 2)
    a, b = (v.reshape(-1) for v in np.meshgrid(np.arange(-128, 128, 5), np.arange(-128, 128)))
    op = Add(
        name="add",
        inputs=("a", "b"),
        output="c",
        requant=Requant(np.array([2**30]), np.array([0]), 0),
        multiplier=(2**30, multiplier),
        shift=(0, shift),
    )
    assert np.array_equal(eltwise_accumulator(a, b, zp_a, zp_b, multiplier, -shift), add_sum(a, b, zp_a, zp_b, op))


def test_eltwise_alone_only_removes_the_zero_point() -> None:
    assert eltwise_accumulator(np.array([-128, 5], np.int8), None, -3, 0, 0, 0).tolist() == [-125, 8]
