"""Cnvlutin: lanes that skip zero activations of their own bricks."""

from __future__ import annotations

import numpy as np

from hwgen.schemes.dense import dense_cycles
from hwgen.schemes.layer import Layer, split
from hwgen.schemes.scheme import LANES, Scheme, activation_work

BRICK = 16
"""Neighbouring activations that are stored as (value, offset) pairs together (ZFNAf)."""


def cnvlutin_cycles(layer: Layer, multipliers: int) -> float:
    """Return the cycles of 16 decoupled lanes, each with ``multipliers / 16`` filters.

    Modelled: the bricks of a window are dealt to the lanes in turn; a lane takes one activation that is not zero a
    cycle, and one cycle for a brick of zeros; at the end of a window the lanes wait for the slowest; filters beyond
    ``multipliers / 16`` take another pass. The format of the maps is chosen by layer, so one that is slower this way
    (the first, in the paper) runs as on `DENSE`. Not modelled: memory, encoder; bricks that would cross a tap of few
    channels are filled with the next tap's instead, in the scheme's favour. Groups run one after another.
    """
    lanes = min(LANES, multipliers)
    bricks = np.maximum(split(layer.windows, BRICK).sum(axis=-1), 1)
    slowest = split(bricks.astype(np.int64), lanes).sum(axis=-2).max(axis=-1)
    decoupled = int(slowest.sum()) * -(-layer.filters.shape[1] // (multipliers // lanes)) * layer.scale
    return min(decoupled, dense_cycles(layer, multipliers))


CNVLUTIN = Scheme(
    "cnvlutin",
    "Cnvlutin",
    "CNV",
    "activations",
    "Albericio et al., ISCA 2016",
    "Cnvlutin: Ineffectual-Neuron-Free Deep Neural Network Computing",
    cnvlutin_cycles,
    activation_work,
)
