"""Cambricon-S: filters in groups of 16 that share one index, and skip zero activations together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwgen.schemes.layer import Layer, Mask, matches
from hwgen.schemes.scheme import Scheme

SHARING = 16
"""Filters, one a PE, whose weights are pruned together and share the index."""

REACH = 16
"""Activations that the selector looks at for every one that it selects."""


def shared(layer: Layer) -> tuple[Mask, NDArray[np.int64]]:
    """Return the shared indices, shape (groups, filter groups, K), and the filters of each, shape (filter groups,)."""
    starts = np.arange(0, layer.filters.shape[1], SHARING)
    return np.logical_or.reduceat(layer.filters, starts, axis=1), np.minimum(layer.filters.shape[1] - starts, SHARING)


def cambricon_s_cycles(layer: Layer, multipliers: int) -> float:
    """Return the cycles of 16 PEs of ``multipliers / 16`` multipliers, on 16 filters that share their index.

    Modelled: a position counts when its activation is not zero and neither are all 16 filters' weights; the selector
    passes ``multipliers / 16`` such positions a cycle to all PEs and looks at 16 times as many, at least one cycle for
    these; PEs go in step, so only filters short of 16 leave some idle. Weights need not be pruned by such groups: what
    is not, is multiplied. Not modelled: memory, local quantisation.
    """
    pes = min(SHARING, multipliers)
    width = multipliers // pes
    index, counts = shared(layer)
    passes = -(-counts // pes)
    cycles = 0
    for start in range(0, layer.positions, REACH * width):
        part = slice(start, start + REACH * width)
        found = matches(layer.windows[..., part], index[..., part])
        cycles += int((np.maximum(-(-found // width), 1) * passes).sum())
    return cycles * layer.scale


def cambricon_s_work(layer: Layer) -> float:
    """Products at positions that the shared index and the activations leave."""
    index, counts = shared(layer)
    return float((matches(layer.windows, index) * counts).sum()) * layer.scale


CAMBRICON_S = Scheme(
    "cambricon_s",
    "Cambricon-S",
    "Cam-S",
    "both",
    "Zhou et al., MICRO 2018",
    "Cambricon-S: Addressing Irregularity in Sparse Neural Networks through A Cooperative Software/Hardware Approach",
    cambricon_s_cycles,
    cambricon_s_work,
    wide=True,
)
