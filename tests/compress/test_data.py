"""Samples are stratified and repeatable; data that do not fit are refused."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.compress.data import Data, make_data
from hwgen.errors import HwgenError
from tests.compress.networks import residual

NET = residual()


def test_a_sample_of_sorted_classes_has_all_of_them() -> None:
    y = np.repeat(np.arange(10), [100] * 9 + [300])
    data = Data(np.arange(1200, dtype=np.float32).reshape(-1, 1, 1, 1), y, seed=3)
    for count in (12, 60, 240):
        sample = data.sample(count)
        assert sample.y is not None and len(sample) == count
        share = np.bincount(sample.y, minlength=10) - np.array([count / 12] * 9 + [count / 4])
        assert np.abs(share).max() <= 2
        assert np.array_equal(y[sample.x.reshape(-1).astype(int)], sample.y)
    assert np.array_equal(data.sample(60).x, data.sample(60).x)
    assert not np.array_equal(data.sample(60).x, Data(data.x, y, seed=4).sample(60).x)
    assert len(np.unique(data.sample(60).x)) == 60


def test_a_sample_without_labels() -> None:
    data = Data(np.arange(50, dtype=np.float32).reshape(-1, 1, 1, 1))
    assert len(np.unique(data.sample(20).x)) == 20 and len(data.sample(100)) == 50


def test_too_few() -> None:
    with pytest.raises(HwgenError, match="at least 16 samples are needed, not 3"):
        Data(np.zeros((3, 1, 1, 1), np.float32)).sample(100, least=16)


def test_pixels_are_taken_as_they_are() -> None:
    data = make_data(NET, np.full((2, 8, 8, 3), 255, np.uint8), None)
    assert data.x.dtype == np.float32 and data.x.max() == 255


@pytest.mark.parametrize(("x", "y", "message"), [
    (np.zeros((2, 8, 8, 3), np.int8), None, "x must be float32 in the network's own input range .* not int8"),
    (np.zeros((2, 8, 8, 4), np.float32), None, r"must have the shape \(N, 8, 8, 3\)"),
    (np.zeros((0, 8, 8, 3), np.float32), np.zeros(0, int), "holds no images"),
    (np.full((2, 8, 8, 3), np.nan), None, "x must be finite, but holds NaN or infinity"),
    (np.zeros((2, 8, 8, 3)), np.array([0, 5]), r"labels y must be in 0\.\.4, the network's classes, not 0\.\.5"),
    (np.zeros((2, 8, 8, 3)), np.array([-1, 0]), r"not -1\.\.0"),
    (np.zeros((2, 8, 8, 3)), np.array([0]), "one for each of the 2 inputs, not 1"),
])
def test_refused(x: np.ndarray, y: np.ndarray | None, message: str) -> None:
    with pytest.raises(HwgenError, match=message) as found:
        make_data(NET, x, y, where="some.npz")
    assert (found.value.where or "").startswith("some.npz")
