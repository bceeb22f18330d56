"""How large the accumulators of a convolution can get, over the real weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def accumulator_range(weight: NDArray[Any], bias: NDArray[Any], zero_point: int,
                      values: tuple[int, int] = (-128, 127)) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Least and greatest accumulator of each output channel before it wraps, bias included.

    Parameters
    ----------
    weight : integer array, shape (out_channels, ...)
        As of `hwgen.model.graph.Conv`.
    bias : integer array, shape (out_channels,)
    zero_point : int
        Of the input; also what padding holds.
    values : tuple of int
        Least and greatest value of the input.

    Returns
    -------
    low, high : int64 array, shape (out_channels,)
    """
    low, high = min(values[0] - zero_point, 0), max(values[1] - zero_point, 0)
    rows = weight.reshape(len(weight), -1)
    up = np.maximum(rows, 0).sum(axis=1, dtype=np.int64)
    down = np.minimum(rows, 0).sum(axis=1, dtype=np.int64)
    start = bias.astype(np.int64)
    return start + up * low + down * high, start + up * high + down * low
