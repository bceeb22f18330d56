"""EIE: sparse matrix times sparse vector, rows interleaved over PEs, columns of non-zero activations broadcast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwgen.schemes.layer import Layer
from hwgen.schemes.scheme import Scheme, effectual_work

FIFO = 8
"""Activations that wait in front of a PE."""

RUN = 16
"""Rows that the 4 bits of a relative index can reach; beyond, a padding zero is stored."""


def entries(matrix: NDArray[np.bool_], pes: int) -> NDArray[np.int64]:
    """Count what each PE stores of each column, padding zeros included.

    Parameters
    ----------
    matrix : bool array, shape (rows, columns)
        Row i belongs to PE i % pes.

    Returns
    -------
    int64 array, shape (columns, pes)
    """
    rows, columns = matrix.shape
    local = -(-rows // pes)
    mine = np.zeros((local * pes, columns), np.bool_)
    mine[:rows] = matrix
    mine = mine.reshape(local, pes, columns)
    count = mine.sum(axis=0, dtype=np.int64)
    if local > RUN:
        last = np.full((pes, columns), -1)
        for row in range(local):
            count += np.where(mine[row], (row - last - 1) // RUN, 0)
            last = np.where(mine[row], row, last)
    return count.T


def eie_cycles(layer: Layer, multipliers: int) -> float:
    """Return the cycles of ``multipliers`` PEs of one multiplier; a convolution is one matrix times vector a pixel.

    Modelled: one activation that is not zero is broadcast a cycle, unless a PE's FIFO of 8 is full; a PE spends one
    cycle on each of its weights in that column (padding zeros of the 4-bit index included), at least one; the pixel is
    done when the last PE is. Groups share the vector: a column holds its own group's rows alone. Not modelled: memory,
    the pipeline, more rows than accumulators. EIE was made for fully connected layers.
    """
    windows = layer.windows.reshape(len(layer.windows), -1)
    groups, filters, _ = layer.filters.shape
    # Columns follow each other group by group; in each the rows of its group, at their places among all.
    stored = np.concatenate([
        entries(np.pad(part, ((g * filters, (groups - 1 - g) * filters), (0, 0))), multipliers)
        for g, part in enumerate(layer.filters)
    ])  # fmt: skip
    cost = np.maximum(stored, 1)
    there = windows.sum(axis=1)
    order = np.argsort(~windows, axis=1, kind="stable")  # the columns of each pixel, first those that are not zero
    free = np.zeros((len(windows), multipliers), np.int64)
    sent = np.full(len(windows), -1, np.int64)
    popped = np.zeros((FIFO, len(windows)), np.int64)
    for item in range(int(there.max(initial=0))):
        at = np.flatnonzero(there > item)
        sent[at] = np.maximum(sent[at] + 1, popped[item % FIFO, at])
        start = np.maximum(sent[at, None], free[at])
        free[at] = start + cost[order[at, item]]
        popped[item % FIFO, at] = start.max(axis=1)
    return int(free.max(axis=1).sum()) * layer.scale


EIE = Scheme(
    "eie",
    "EIE",
    "EIE",
    "both",
    "Han et al., ISCA 2016",
    "EIE: Efficient Inference Engine on Compressed Deep Neural Network",
    eie_cycles,
    effectual_work,
)
