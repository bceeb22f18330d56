"""The range that a quantizer should cover, from the values a tensor takes.

A tensor is a set of values with counts: all its values with count 1, or the bins of a histogram.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.quantizer import from_range

METHODS = ("min-max", "percentile", "mse", "kl")
BINS = 2048
_SHRINK = np.linspace(1.0, 0.1, 91)
"""Candidates for the part of the range that is kept."""

Values = NDArray[Any]


def choose(values: Values, counts: Values, bits: int, *, method: str, symmetric: bool,
           percentile: float = 99.99) -> tuple[float, float]:
    """Choose a range.

    Parameters
    ----------
    values, counts : arrays of one length
    bits : int
        Of the quantizer, for ``mse`` and ``kl``.
    method : str
        ``min-max``: everything. ``percentile``: all but the outermost values at either end. ``mse``: least squared
        error of rounding and clipping. ``kl``: least Kullback-Leibler divergence of the distribution. The latter two
        try the full range and parts of it, both ends shrunk alike.
    symmetric : bool
        Of the quantizer.
    percentile : float
        Share of the values kept by ``percentile``, per end, in percent.

    Returns
    -------
    low, high : float
        Zero included.
    """
    used = counts > 0
    values, counts = values[used].astype(np.float64), counts[used].astype(np.float64)
    if not len(values):
        return 0.0, 0.0
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if symmetric:
        low, high = -max(-low, high), max(-low, high)
    if method == "min-max" or low == high:
        return low, high
    if method == "percentile":
        return _percentile(values, counts, percentile, symmetric)
    score = _squared_error if method == "mse" else _divergence
    scores = [score(values, counts, low * part, high * part, bits, symmetric) for part in _SHRINK]
    part = float(_SHRINK[int(np.argmin(scores))])
    return low * part, high * part


def _percentile(values: Values, counts: Values, percentile: float, symmetric: bool) -> tuple[float, float]:
    if symmetric:
        high = _quantile(np.abs(values), counts, percentile / 100)
        return -high, high
    low = _quantile(values, counts, 1 - percentile / 100)
    return min(low, 0.0), max(_quantile(values, counts, percentile / 100), 0.0)


def _quantile(values: Values, counts: Values, share: float) -> float:
    order = np.argsort(values, kind="stable")
    total = np.cumsum(counts[order])
    return float(values[order][min(int(np.searchsorted(total, share * total[-1])), len(values) - 1)])


def _squared_error(values: Values, counts: Values, low: float, high: float, bits: int, symmetric: bool) -> float:
    quantizer = from_range(low, high, bits, symmetric=symmetric)
    return float(counts @ (quantizer.fake(values) - values) ** 2)


def _divergence(values: Values, counts: Values, low: float, high: float, bits: int, symmetric: bool) -> float:
    """KL divergence of the quantised from the real distribution, on a fine grid over the range.

    Values beyond the range count at its ends, as they will be clipped there. A level's mass is spread over those of its
    bins that hold anything, as in TensorRT's calibration.
    """
    inside = (values >= low) & (values <= high)
    kept, _ = np.histogram(values[inside], BINS, (low, high), weights=counts[inside])
    real = kept.copy()
    real[0] += counts[values < low].sum()
    real[-1] += counts[values > high].sum()
    quantizer = from_range(low, high, bits, symmetric=symmetric)
    centres = low + (np.arange(BINS) + 0.5) * (high - low) / BINS
    level = quantizer.quantize(centres) - quantizer.qmin
    filled = (real > 0).astype(np.float64)
    mass = np.bincount(level, kept, minlength=1 << bits)
    size = np.bincount(level, filled, minlength=1 << bits)
    spread = filled * (mass / np.maximum(size, 1))[level]
    p, q = real / real.sum(), spread / max(spread.sum(), 1e-300)
    held = p > 0
    return float(np.sum(p[held] * np.log(p[held] / np.maximum(q[held], 1e-9))))
