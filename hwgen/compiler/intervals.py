"""When units are at work on the same memory, and how long one waits for others."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Work = Literal["reading", "writing", "operating", "filling", "storing", "accumulating"]
"""AFETCH reads, POST writes, ELTWISE operates, LOAD fills, STORE reads; lanes read the sums that a RUN adds to."""

ITERATIONS = 16
"""At most, to find out how long work lasts that waits for others while it lasts."""


class Busy(NamedTuple):
    """First and last cycle of some work, and how much it is in the way of others."""

    first: float
    last: float
    weight: float


@dataclass
class Intervals:
    """First and last cycles of every kind of work, in order.

    Attributes
    ----------
    later : float
        How much later than noted all of it is, for who asks.
    """

    busy: dict[Work, list[Busy]] = field(default_factory=dict)
    later: float = 0.0

    def add(self, work: Work, first: float, last: float, weight: float = 1.0) -> None:
        """Note an interval that starts no earlier than those before."""
        self.busy.setdefault(work, []).append(Busy(first, last, weight))

    def overlap(self, work: Work, first: float, last: float) -> float:
        """Return how long of ``first`` .. ``last`` is covered by that work, times its weights."""
        first, last = first - self.later, last - self.later
        intervals = self.busy.get(work, [])
        total = 0.0
        for i in range(max(bisect_right(intervals, (first, 0.0)) - 1, 0), len(intervals)):
            low, high, weight = intervals[i]
            if low >= last:
                break
            total += weight * max(0.0, min(high, last) - max(low, first))
        return total

    def stretched(self, work: Work, first: float, last: float, wait: float) -> float:
        """Return the end of work from ``first`` to ``last`` that waits ``wait`` of the time in which others work."""
        end = last
        for _ in range(ITERATIONS):
            before, end = end, last + wait * self.overlap(work, first, end)
            if end - before < 1:
                break
        return end
