"""k-means of numbers: what a codebook holds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 500


def kmeans(values: NDArray[Any], entries: int) -> NDArray[np.float32]:
    """Centroids of numbers, from evenly spread ones on (linear initialisation, Han 2016), by Lloyd's rounds.

    Parameters
    ----------
    values : array
    entries : int
        At most so many centroids. A centroid that loses all its values starts again at the worst served value.

    Returns
    -------
    float32 array
        In rising order; the values themselves when there are no more different ones than ``entries``.
    """
    flat = np.sort(values.reshape(-1).astype(np.float64))
    different = np.unique(flat)
    if len(different) <= entries:
        return different.astype(np.float32)
    sums = np.concatenate([[0.0], np.cumsum(flat)])
    centroids = np.linspace(flat[0], flat[-1], entries)
    for _ in range(_ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(flat, _middles(centroids)), [len(flat)]])
        sizes = np.diff(ends)
        used = sizes > 0
        moved = np.diff(sums[ends])[used] / sizes[used]
        if used.all() and np.array_equal(moved, centroids):
            break
        lost = entries - len(moved)
        if lost:
            errors = np.abs(different - moved[np.searchsorted(_middles(moved), different)])
            moved = np.sort(np.concatenate([moved, different[np.argsort(errors, kind="stable")[-lost:]]]))
        centroids = moved
    return np.unique(centroids.astype(np.float32))


def nearest(values: NDArray[Any], centroids: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each value replaced by its nearest centroid; centroids rise."""
    return centroids[np.searchsorted(_middles(centroids.astype(np.float64)), values)]


def _middles(centroids: NDArray[np.float64]) -> NDArray[np.float64]:
    return (centroids[1:] + centroids[:-1]) / 2
