"""Finer accumulators for biases that are real numbers.

A bias is added to the accumulator, so it is rounded to input scale times weight scale: with weights of few bits, that
may be several steps of the output. Weights that leave room are multiplied by a power of two, and their scale divided;
where all are 0, any scale does.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ENOUGH = 1 / 16
"""What rounding a bias may move a result by, in steps of the output."""

MOST = 1 / 2
"""What it may move a result by where there is no room, before the layer is refused."""

_LARGEST = 127


def finer(weight: NDArray[Any], scale: NDArray[np.float32], bias: NDArray[np.float64], source: float,
          target: float) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Weights and scales whose accumulators hold a bias well enough, if they have room for it.

    Parameters
    ----------
    weight : int8 or int16 array, shape (out_channels, ...)
    scale : float32 array, shape (out_channels,)
    bias : float64 array, shape (out_channels,)
    source, target : float
        Scales of the input and the output.
    """
    scale = np.where(weight.reshape(len(weight), -1).any(axis=1), scale, _free(bias, source, target)).astype(np.float32)
    largest = np.abs(weight.reshape(len(weight), -1).astype(np.int64)).max(axis=1, initial=1)
    room = np.maximum(_LARGEST // largest, 1)
    shift = np.zeros(len(weight), np.int64)
    for _ in range(int(np.log2(_LARGEST)) + 1):
        more = (lost(scale / np.exp2(shift), bias, source, target) > ENOUGH) & (np.exp2(shift + 1) <= room)
        if not more.any():
            break
        shift += more
    factor = np.left_shift(1, shift)
    return (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(weight.dtype), (scale / factor).astype(
        np.float32)


def lost(scale: NDArray[Any], bias: NDArray[np.float64], source: float, target: float) -> NDArray[np.float64]:
    """What rounding a bias to the accumulator's step moves each channel by, in steps of the output."""
    step = np.float64(source) * scale.astype(np.float64)
    return np.asarray(np.abs(bias / step - np.rint(bias / step)) * step / target)


def _free(bias: NDArray[np.float64], source: float, target: float) -> NDArray[np.float64]:
    """Scales of weights of 0: a bias of up to 2^30 steps, which are as small as is of use."""
    return np.maximum(target / 256, np.abs(bias) / 2.0**30) / source
