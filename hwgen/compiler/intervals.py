"""When units are at work on the activation buffer, and how long one waits for others."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Intervals:
    """First and last cycles of AFETCH reading, POST writing, ELTWISE operating, LOAD filling and STORE reading."""

    reading: list[tuple[float, float]] = field(default_factory=list)
    writing: list[tuple[float, float]] = field(default_factory=list)
    operating: list[tuple[float, float]] = field(default_factory=list)
    filling: list[tuple[float, float]] = field(default_factory=list)
    storing: list[tuple[float, float]] = field(default_factory=list)


def overlap(intervals: Sequence[tuple[float, float]], first: float, last: float) -> float:
    """Return how long of ``first`` .. ``last`` is covered by ordered intervals."""
    total = 0.0
    for low, high in intervals[max(bisect_right(intervals, (first, 0.0)) - 1, 0) :]:
        if low >= last:
            break
        total += max(0.0, min(high, last) - max(low, first))
    return total


def stretched(first: float, last: float, wait: float, others: Sequence[tuple[float, float]]) -> float:
    """Return the end of work from ``first`` to ``last`` that waits ``wait`` of the time in which others are at work."""
    end = last
    for _ in range(4):
        end = last + wait * overlap(others, first, end)
    return end
