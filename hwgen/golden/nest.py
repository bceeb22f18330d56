"""Address nests (docs/architecture.md, "Nest"): levels with folded deltas to the values of every element.

Walking adds one delta an element, but the value is linear in the iteration indices: the natural stride of a level is
its delta plus the distance the inner levels have covered when it advances.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Level = tuple[int, Sequence[int]]
"""(iterations >= 1, delta of each walked value)."""


def unfold(counts: Sequence[int], deltas: Sequence[int]) -> list[int]:
    """Natural stride of each level, outermost first; inverse of `hwgen.compiler.nest.fold`."""
    strides, covered = [0] * len(counts), 0
    for level in reversed(range(len(counts))):
        strides[level] = deltas[level] + covered
        covered += (counts[level] - 1) * strides[level]
    return strides


def expand(levels: Sequence[Level], start: Sequence[int]) -> tuple[NDArray[np.int64], ...]:
    """Values of all elements of a nest.

    Parameters
    ----------
    levels : sequence of (count, deltas)
        Outermost first; ``deltas`` has one entry per walked value.
    start : sequence of int
        The values at the first element.

    Returns
    -------
    tuple of int64 arrays
        One per walked value, each of shape ``(count of level 0, count of level 1, ...)``; C order is walking order.
    """
    counts = [count for count, _ in levels]
    shape = tuple(counts)
    out = []
    for k, first in enumerate(start):
        value = np.full((1,) * len(shape), first, np.int64)
        for level, stride in enumerate(unfold(counts, [deltas[k] for _, deltas in levels])):
            if shape[level] > 1:
                steps = np.arange(shape[level], dtype=np.int64) * stride
                value = value + steps.reshape([-1 if m == level else 1 for m in range(len(shape))])
        out.append(value)
    return tuple(out)
