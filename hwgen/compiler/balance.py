"""Load balance: which output channels share a block, so that all blocks have equally many weights that are not zero."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def balanced(cost: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    """Return an order of channels in which blocks of ``size`` cost about the same.

    The heaviest channel that is left goes to the lightest block that has room (longest processing time first; Graham
    1969, with blocks of a fixed size). Within a block channels keep their order.

    Parameters
    ----------
    cost : array, shape (channels, layers)
        Of every channel in each layer that computes it.
    size : int
        Channels of a block; the last one has what is left.

    Returns
    -------
    int64 array, shape (channels,)
    """
    n, blocks = len(cost), -(-len(cost) // size)
    shares = cost / np.maximum(cost.sum(axis=0), 1e-9)
    room = np.full(blocks, size)
    room[-1:] = n - size * (blocks - 1)
    load, members = np.zeros((blocks, cost.shape[1])), [list[int]() for _ in range(blocks)]
    for channel in np.argsort(-shares.sum(axis=1), kind="stable"):
        after = np.where(room[:, None] > 0, load + shares[channel], np.inf).max(axis=1)
        block = int(after.argmin())
        load[block] += shares[channel]
        room[block] -= 1
        members[block].append(int(channel))
    return np.array([c for block in members for c in sorted(block)], np.int64)


def heaviest(cost: NDArray[np.float64], order: NDArray[np.int64], size: int) -> float:
    """Return the cost of the heaviest block over the mean, in the layer in which that is worst; 1 is perfect."""
    starts = np.arange(0, len(order), size)
    blocks = np.add.reduceat(cost[order], starts, axis=0) if len(order) else np.ones((1, 1))
    return float((blocks.max(axis=0) / np.maximum(blocks.mean(axis=0), 1e-9)).max())
