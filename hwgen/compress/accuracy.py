"""Top-1 accuracy with the interval that its number of images allows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.data import Data
from hwgen.compress.execute import run_float
from hwgen.compress.graph import FloatGraph
from hwgen.golden.graph import run
from hwgen.golden.inputs import from_map, to_maps
from hwgen.model.graph import Graph

Z_95 = 1.959963984540054
"""Quantile of the normal distribution for a 95 % interval."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Accuracy:
    """``correct`` of ``total``; ``low`` and ``high`` bound the 95 % interval of Wilson."""

    correct: int
    total: int

    @property
    def top1(self) -> float:
        """The share, 0 to 1."""
        return self.correct / self.total

    @property
    def low(self) -> float:
        """Lower bound."""
        return self._centre() - self._half()

    @property
    def high(self) -> float:
        """Upper bound."""
        return self._centre() + self._half()

    def _centre(self) -> float:
        return (self.correct + Z_95**2 / 2) / (self.total + Z_95**2)

    def _half(self) -> float:
        p, n = self.top1, self.total
        return Z_95 / (n + Z_95**2) * math.sqrt(n * p * (1 - p) + Z_95**2 / 4)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"top1": self.top1, "low": self.low, "high": self.high, "correct": self.correct, "total": self.total}


def float_accuracy(graph: FloatGraph, data: Data, progress: Progress | None = None) -> Accuracy | None:
    """Of a float network; None without labels."""
    return None if data.y is None else _top1(run_float(graph, data.x, progress=progress), data.y)


def integer_accuracy(graph: Graph, data: Data, progress: Progress | None = None) -> Accuracy | None:
    """Of the golden model of an integer network; None without labels."""
    if data.y is None:
        return None
    given = from_map(graph.inputs[0], data.x)
    return _top1(run(graph, to_maps(graph, [given]), progress=progress).output, data.y)


def _top1(scores: NDArray[Any], y: NDArray[np.int64]) -> Accuracy:
    return Accuracy(int((scores.reshape(len(y), -1).argmax(axis=1) == y).sum()), len(y))
