"""When units are at work on the activation buffer, and how long one waits for others."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Busy(NamedTuple):
    """First and last cycle of some work, and how much it is in the way of others."""

    first: float
    last: float
    weight: float = 1.0


@dataclass
class Intervals:
    """First and last cycles of AFETCH reading, POST writing, ELTWISE operating, LOAD filling and STORE reading."""

    reading: list[Busy] = field(default_factory=list)
    writing: list[Busy] = field(default_factory=list)
    operating: list[Busy] = field(default_factory=list)
    filling: list[Busy] = field(default_factory=list)
    storing: list[Busy] = field(default_factory=list)


def overlap(intervals: Sequence[Busy], first: float, last: float) -> float:
    """Return how long of ``first`` .. ``last`` is covered by ordered intervals, times their weights."""
    total = 0.0
    for low, high, weight in intervals[max(bisect_right(intervals, (first, 0.0)) - 1, 0) :]:
        if low >= last:
            break
        total += weight * max(0.0, min(high, last) - max(low, first))
    return total


def stretched(first: float, last: float, wait: float, others: Sequence[Busy]) -> float:
    """Return the end of work from ``first`` to ``last`` that waits ``wait`` of the time in which others are at work."""
    end = last
    for _ in range(4):
        end = last + wait * overlap(others, first, end)
    return end
