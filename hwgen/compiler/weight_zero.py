"""Zero points with which weights are bytes."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def zero_point(weight: NDArray[Any]) -> int:
    """Return what to add to weights so that they, and zero, are in -128..127: the least there is.

    Raises
    ------
    ValueError
        When there is none, as they span more than 256 values.
    """
    low, high = min(0, int(weight.min())), max(0, int(weight.max()))
    if high - low > 255:
        raise ValueError(f"weights in [{low}, {high}] and zero span more than 256 values")
    return min(0, 127 - high) + max(0, -128 - low)
