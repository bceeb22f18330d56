"""Ranges of maps on a sample: where there is hardly anything to see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwgen.compress.calibrate import map_ranges
from hwgen.compress.ranges import METHODS
from tests.compress.networks import images, residual


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("bias", [0.0, 3.0, 1e6])
def test_a_map_of_nearly_one_value(method: str, bias: float) -> None:
    net = residual()
    stem = net.conv("stem")
    flat = replace(stem, weight=stem.weight * np.float32(1e-12), bias=np.full_like(stem.bias, bias))
    ranges = map_ranges(net.replace_ops({stem: (flat,)}), images(net), 8, method=method, symmetric=False,
                        percentile=99.99)
    low, high = ranges["stem_out"]
    assert low == 0 and high == pytest.approx(bias, abs=1e-10)


def test_narrow_beside_its_offset() -> None:
    """Values that float32 tells apart, but not two thousand edges between them."""
    net = residual()
    stem = net.conv("stem")
    far = replace(stem, weight=stem.weight * np.float32(1e-5), bias=np.full_like(stem.bias, 100.0))
    low, high = map_ranges(net.replace_ops({stem: (far,)}), images(net), 8, method="mse", symmetric=False,
                           percentile=99.99)["stem_out"]
    assert low == 0 and high == pytest.approx(100, rel=1e-3)
