"""Uniform quantisers and their ranges against closed forms and published optima."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hwgen.compress.quantizer import Quantizer, from_range
from hwgen.compress.ranges import choose
from hwgen.errors import HwgenError


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("symmetric", [True, False])
def test_scale_and_integers(bits: int, symmetric: bool) -> None:
    q = from_range(-2.0, 6.0, bits, symmetric=symmetric)
    if symmetric:
        assert float(q.scale) == np.float32(6 / max(2 ** (bits - 1) - 1, 1)) and int(q.zero_point) == 0
        assert (q.qmin, q.qmax) == (-max(2 ** (bits - 1) - 1, 1), max(2 ** (bits - 1) - 1, 1))
    else:
        assert float(q.scale) == np.float32(8 / (2**bits - 1))
        assert (q.qmin, q.qmax) == (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        assert int(q.zero_point) == -(2 ** (bits - 1)) + round((2**bits - 1) / 4)
    x = np.linspace(-9, 9, 400)
    assert q.quantize(x).min() == q.qmin and q.quantize(x).max() == q.qmax
    if bits > 1 or not symmetric:
        inside = x[(x > float(q.low)) & (x < float(q.high))]
        assert np.abs(q.fake(inside) - inside).max() <= float(q.scale) * 0.505
        assert float(q.fake(np.zeros(1))[0]) == 0.0  # zero padding must be exact


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20), st.integers(2, 16), st.booleans())
def test_quantising_twice_changes_nothing(values: list[float], bits: int, symmetric: bool) -> None:
    x = np.array(values, np.float32)
    q = from_range(float(x.min()), float(x.max()), bits, symmetric=symmetric)
    assert np.array_equal(q.quantize(q.fake(x)), q.quantize(x))


def test_ties_to_even() -> None:
    q = Quantizer(8, np.array(1, np.float32), np.array(0))
    assert q.quantize(np.array([0.5, 1.5, 2.5, -0.5, -1.5])).tolist() == [0, 2, 2, 0, -2]


def test_groups_have_their_own_scales() -> None:
    x = np.array([[1.0, 0.5, 100.0, 50.0]])
    q = from_range(np.zeros((1, 2, 1)), np.array([[[1.0], [100.0]]]), 8, symmetric=True, group=2)
    assert q.quantize(x).tolist() == [[127, 64, 127, 64]]
    assert np.allclose(q.fake(x), x, rtol=0.01)


def test_json_round_trip() -> None:
    q = from_range(np.array([-1.0, -3.0]), np.array([0.7, 2.0]), 5, symmetric=False)
    back = Quantizer.from_json(q.to_json())
    assert (back.bits, back.narrow, back.group) == (5, False, 0)
    assert np.array_equal(back.scale, q.scale) and np.array_equal(back.zero_point, q.zero_point)


def test_bits_out_of_range() -> None:
    with pytest.raises(HwgenError, match=r"bits must be in 1\.\.16, not 17"):
        from_range(0.0, 1.0, 17, symmetric=True)


# J. Max, Quantizing for minimum distortion (1960), table II: step of the best uniform quantiser of a normal variable.
@pytest.mark.parametrize(("bits", "step"), [(2, 1.224), (3, 0.6508), (4, 0.3534)])
def test_mse_finds_the_best_clipping_of_a_gaussian(bits: int, step: float) -> None:
    x = np.random.default_rng(1).normal(0, 1, 200_000)
    _, high = choose(x, np.ones(len(x)), bits, method="mse", symmetric=True)
    assert high / (2 ** (bits - 1) - 1) == pytest.approx(step, rel=0.03)


def test_percentile() -> None:
    x = np.arange(10_001) / 10_000  # 0..1
    assert choose(x, np.ones(len(x)), 8, method="percentile", symmetric=False, percentile=99) == (0.0, 0.99)
    low, high = choose(x - 0.5, np.ones(len(x)), 8, method="percentile", symmetric=False, percentile=99)
    assert (low, high) == pytest.approx((-0.49, 0.49), abs=2e-4)
    assert choose(x - 0.2, np.ones(len(x)), 8, method="percentile", symmetric=True, percentile=100) == (-0.8, 0.8)


@pytest.mark.parametrize("method", ["mse", "kl"])
def test_a_planted_outlier_is_cut_off(method: str) -> None:
    rng = np.random.default_rng(3)
    x = np.append(np.abs(rng.normal(0, 1, 20_000)), 25.0)
    _, high = choose(x, np.ones(len(x)), 4, method=method, symmetric=False)
    assert 1.5 < high < 10
    assert choose(x, np.ones(len(x)), 4, method="min-max", symmetric=False) == (0.0, 25.0)


@pytest.mark.parametrize("method", ["min-max", "percentile", "mse", "kl"])
def test_nothing_but_zero(method: str) -> None:
    assert choose(np.zeros(9), np.ones(9), 8, method=method, symmetric=True) == (0.0, 0.0)
