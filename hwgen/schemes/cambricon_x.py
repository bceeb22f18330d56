"""Cambricon-X: every PE selects the activations that its own filter's weights need."""

from __future__ import annotations

import numpy as np

from hwgen.schemes.layer import Layer, split
from hwgen.schemes.scheme import LANES, Scheme, weight_work

REACH = 16
"""Activations that the indexing module looks at for every one that it selects."""


def cambricon_x_cycles(layer: Layer, multipliers: int) -> float:
    """Return the cycles of ``multipliers / 16`` PEs, each with one filter and 16 multipliers.

    Modelled: of every 256 broadcast activations a PE takes those with a weight of its own, 16 a cycle, at least one
    cycle; PEs run on without each other within a window and wait for the slowest at its end. Zero activations cost as
    much as others. Not modelled: memory, fillers of the step index.
    """
    lanes = min(LANES, multipliers)
    there = split(layer.filters, REACH * lanes).sum(axis=-1)
    costs = np.maximum(-(-there // lanes), 1).sum(axis=-1)
    height, width = layer.output_shape
    return int(split(costs, multipliers // lanes).max(axis=-1).sum()) * height * width


CAMBRICON_X = Scheme(
    "cambricon_x",
    "Cambricon-X",
    "Cam-X",
    "weights",
    "Zhang et al., MICRO 2016",
    "Cambricon-X: An Accelerator for Sparse Neural Networks",
    cambricon_x_cycles,
    weight_work,
    wide=True,
)
