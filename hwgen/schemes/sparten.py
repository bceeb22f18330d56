"""SparTen: inner joins of bit masks, filters balanced by density."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from hwgen.schemes.layer import Layer, matches
from hwgen.schemes.scheme import Scheme, effectual_work

CHUNK = 128
"""Positions of a bit mask."""

CLUSTER = 32
"""Units of one multiplier that share a broadcast."""


def balanced(density: NDArray[np.int64], units: int) -> NDArray[np.int64]:
    """Pair the densest filter with the sparsest, and so on.

    Parameters
    ----------
    density : int array, shape (filters,)
    units : int
        With no more filters than that, each has a unit to itself.

    Returns
    -------
    int64 array, shape (pairs, 2)
        The filters of each pair; -1 where there is none.
    """
    order = np.argsort(-density, kind="stable")
    count = len(order)
    if count <= units:
        return np.stack([order, np.full(count, -1)], axis=1)
    half = -(-count // 2)
    second = np.full(half, -1)
    second[half - count // 2 :] = order[half:]
    return np.stack([order[:half], second[::-1]], axis=1)


def sparten_cycles(layer: Layer, multipliers: int) -> float:
    """Return the cycles of clusters of 32 units, GB-H balancing.

    Modelled: a chunk of 128 positions is broadcast to a cluster; a unit spends one cycle on each match with its filter,
    or its two filters, at least one; the next chunk waits for the slowest unit. Filters are paired by density (GB-S);
    within those that are in a cluster together, again for each chunk (GB-H). Pixels and batches of filters go to the
    cluster that is free first. Not modelled: memory, the permutation network of GB-H, prefix sums (pipelined).
    """
    units = min(CLUSTER, multipliers)
    jobs = []
    for group, filters in enumerate(layer.filters):
        windows = layer.windows[:, group : group + 1]
        pairs = balanced(filters.sum(axis=1), units)
        for start in range(0, len(pairs), units):
            batch = pairs[start : start + units].reshape(-1)
            jobs.append(_batch(windows, filters[batch[batch >= 0]], units))
    free = [0] * (multipliers // units)
    for cost in np.stack(jobs, axis=1).reshape(-1).tolist():
        heapq.heapreplace(free, free[0] + cost)
    return max(free) * layer.scale


def _batch(windows: NDArray[np.bool_], filters: NDArray[np.bool_], units: int) -> NDArray[np.int64]:
    """Return the cycles of each pixel (pixels, 1, K) for the filters (n, K) that a cluster holds together."""
    cycles = np.zeros(len(windows), np.int64)
    for first in range(0, filters.shape[1], CHUNK):
        part = filters[:, first : first + CHUNK]
        found = matches(windows[..., first : first + CHUNK], part[None])[:, 0]
        found = np.concatenate([found, np.zeros((len(found), 1), np.int64)], axis=1)  # the last one: no filter
        cycles += np.maximum(found[:, balanced(part.sum(axis=1), units)].sum(axis=2).max(axis=1), 1)
    return cycles


SPARTEN = Scheme(
    "sparten",
    "SparTen",
    "SparTen",
    "both",
    "Gondimalla et al., MICRO 2019",
    "SparTen: A Sparse Tensor Accelerator for Convolutional Neural Networks",
    sparten_cycles,
    effectual_work,
    wide=True,
)
