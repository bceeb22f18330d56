"""How many values of a map are not its zero point: what a compiler can know of activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Density:
    """Shares of a map that are not its zero point.

    Attributes
    ----------
    values : float
        Of single values.
    pixels, channels : float
        Of groups of P neighbouring pixels of a channel, and of P channels of a pixel: with any such value.
    """

    values: float = 1.0
    pixels: float = 1.0
    channels: float = 1.0


Profile = Mapping[str, Density]
"""By tensor name."""


def measure(maps: NDArray[np.int8], zero_point: int, vector: int) -> Density:
    """Measure a map of some images, shape (images, height, width, channels)."""
    there = maps.reshape(len(maps), -1, maps.shape[-1]) != zero_point

    def groups(axis: int) -> float:
        starts = np.arange(0, there.shape[axis], vector)
        return float(np.logical_or.reduceat(there, starts, axis=axis).mean())

    return Density(float(there.mean()), groups(1), groups(2))
