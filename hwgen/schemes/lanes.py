"""Ideal lanes of one multiplier, each on outputs of its own: what skipping one or both operands could give."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from hwgen.schemes.layer import Layer
from hwgen.schemes.scheme import Rule, Scheme, activation_work, effectual_work, weight_work


def last_done(costs: NDArray[np.int64], lanes: int) -> int:
    """Return when the last lane is done: each next output goes to the lane that is free first.

    (List scheduling; Graham, Bounds for Certain Multiprocessing Anomalies, 1966. Smaller costs never end later.)
    """
    free = [0] * lanes
    for cost in costs.tolist():
        heapq.heapreplace(free, free[0] + cost)
    return max(free)


def _rule(weights: bool, activations: bool) -> Rule:
    def cycles(layer: Layer, multipliers: int) -> float:
        shape = layer.windows.shape[0], *layer.filters.shape[:2]
        if weights and activations:
            costs = layer.matches
        elif weights:
            costs = np.broadcast_to(layer.filters.sum(axis=2), shape)
        else:
            costs = np.broadcast_to(layer.windows.sum(axis=2)[:, :, None], shape)
        return last_done(np.maximum(costs, 1).reshape(-1), multipliers) * layer.scale

    cycles.__doc__ = """Return the cycles of lanes that each sum up one output, a product a cycle, at least one cycle.

    Modelled: outputs of uneven work, and lanes without work at the end. Not modelled: any cost of operands, of finding
    matches (inner join), of outputs; lanes never wait for each other.
    """
    return cycles


WEIGHT_ONLY = Scheme("weight_only", "ideal, weights", "W", "weights", "no machine", "", _rule(True, False), weight_work)
ACTIVATION_ONLY = Scheme(
    "activation_only", "ideal, activations", "A", "activations", "no machine", "", _rule(False, True), activation_work
)
INNER_JOIN = Scheme(
    "inner_join", "ideal inner join", "W+A", "both", "no machine", "", _rule(True, True), effectual_work
)
