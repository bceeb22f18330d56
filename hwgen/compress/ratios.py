"""How a number of weights to remove is divided among layers, unit by unit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


def lamp_scores(squares: Scores) -> Scores:
    """LAMP scores: a square over the sum of the squares of all that are not smaller.

    Lee et al., "Layer-adaptive sparsity for the magnitude-based pruning", ICLR 2021. A unit of several weights counts
    as the sum of their squares.
    """
    order = np.argsort(squares, kind="stable")
    tail = np.cumsum(squares[order][::-1])[::-1]
    scores = np.zeros(len(squares))
    scores[order] = np.divide(squares[order], tail, out=np.zeros(len(tail)), where=tail > 0)
    return scores


def least_scores(scores: Sequence[Scores], sizes: Sequence[int], count: int) -> list[int]:
    """Units to remove in each layer so that those of the least scores go.

    Parameters
    ----------
    scores : sequence of arrays
        Of each layer's units.
    sizes : sequence of int
        Weights in a unit of each layer.
    count : int
        Weights to remove in all. Where a layer's next unit no longer fits, the smaller ones of other layers fill up,
        unless one unit too much is nearer.
    """
    layer = np.repeat(np.arange(len(scores)), [len(s) for s in scores])
    order = layer[np.argsort(np.concatenate(scores), kind="stable")]
    if len(set(sizes)) == 1:
        return [int(n) for n in np.bincount(order[: round(count / sizes[0])], minlength=len(scores))]
    removed = [0] * len(scores)
    left, full = count, set[int]()
    beyond = count, removed  # the nearest that is had with a unit too much
    for i in order:
        if i in full:
            continue
        if sizes[i] <= left:
            removed[i] += 1
            left -= sizes[i]
            continue
        full.add(int(i))
        beyond = min(beyond, (sizes[i] - left, [n + (k == i) for k, n in enumerate(removed)]))
        if len(full) == len(scores):
            break
    return beyond[1] if beyond[0] < left else removed


def uniform(units: Sequence[int], sizes: Sequence[int], count: int) -> list[int]:
    """Units to remove in each layer so that each loses the same share of its weights, to a unit.

    Parameters
    ----------
    units, sizes : sequences of int
        Units of each layer, and weights in each of them.
    count : int
        Weights to remove in all.
    """
    total = sum(n * size for n, size in zip(units, sizes, strict=True))
    exact = np.array(units) * (count / max(total, 1))
    removed = np.floor(exact + 1e-9).astype(np.int64)
    left = count - int(removed @ np.array(sizes))
    # What rounding left goes to the layers that miss most of a unit.
    for i in np.argsort(removed - exact, kind="stable"):
        if removed[i] < units[i] and sizes[i] < 2 * left:
            removed[i] += 1
            left -= sizes[i]
    return [int(n) for n in removed]
