"""How many values of a map are not its zero point: what a compiler can know of activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

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
    where : float64 array, shape (height, width), optional
        ``values`` at every pixel.
    """

    values: float = 1.0
    pixels: float = 1.0
    channels: float = 1.0
    where: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)


Profile = Mapping[str, Density]
"""By tensor name."""

Samples = Mapping[str, NDArray[np.int8]]
"""Maps of some images by tensor name, shape (images, height, width, channels)."""


def there(maps: NDArray[np.int8], zero_point: int) -> NDArray[np.bool_]:
    """Return which values of maps are not zero, shape (images, pixels, channels)."""
    return maps.reshape(len(maps), -1, maps.shape[-1]) != zero_point


def in_groups(values: NDArray[np.bool_], vector: int, axis: int) -> NDArray[np.bool_]:
    """Return which groups of ``vector`` neighbours along ``axis`` have any value that is not zero."""
    return np.logical_or.reduceat(values, np.arange(0, values.shape[axis], vector), axis=axis)


def measure(maps: NDArray[np.int8], zero_point: int, vector: int) -> Density:
    """Measure a map of some images, shape (images, height, width, channels)."""
    values = there(maps, zero_point)
    pixels, channels = (float(in_groups(values, vector, axis).mean()) for axis in (1, 2))
    where = values.mean(axis=(0, 2)).reshape(maps.shape[1:3])
    return Density(float(values.mean()), pixels, channels, where)


def activity(maps: NDArray[np.int8], zero_point: int, vector: int) -> NDArray[np.float64]:
    """Return for every channel the share of ``vector`` neighbouring pixels with any value that is not zero."""
    return in_groups(there(maps, zero_point), vector, 1).mean(axis=(0, 1))
