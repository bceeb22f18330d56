"""Clusters: output channels whose weights meet the same inputs share a vector, so that fewer vectors have any."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def clustered(weights: NDArray[np.bool_], size: int) -> NDArray[np.int64]:
    """Return an order of channels in which blocks of ``size`` have weights at few positions.

    A block begins with the heaviest channel that is left, and takes the one that adds the smallest share of its own
    positions, one after the other (column combining: Kung et al., ASPLOS 2019, there of input channels).

    Parameters
    ----------
    weights : bool array, shape (channels, positions)
        Where weights are not zero.
    size : int
        P, channels of a vector.

    Returns
    -------
    int64 array, shape (channels,)
    """
    by_position = np.ascontiguousarray(weights.T)
    count = weights.sum(axis=1)
    left = np.ones(len(weights), np.bool_)
    order: list[int] = []
    while left.any():
        if len(order) % size == 0:
            channel = int(np.where(left, count, -1).argmax())
            block, adds = np.zeros(weights.shape[1], np.bool_), count.copy()
        else:
            channel = int(np.where(left, adds / np.maximum(count, 1), np.inf).argmin())
        new = weights[channel] & ~block
        block |= new
        # Positions that the block has now are no longer added by others.
        adds -= by_position[new].sum(axis=0)
        left[channel] = False
        order.append(channel)
    return np.array(order, np.int64)
