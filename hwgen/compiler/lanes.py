"""When lanes that skip zeros walk: each at its own pace, and how far one may be ahead of another."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from hwgen.timing import GRID_IN_FLIGHT, LANE_SEGMENTS, LANE_WINDOWS, SKIPPING

Lanes = NDArray[np.float64]
"""Shape (rows, columns)."""


class SkippingLanes:
    """The lanes of a grid that skips, RUN by RUN.

    A RUN is handed to all lanes at once, when none still has the one before waiting. A lane takes a waiting RUN when it
    has cut up the one before (`hwgen.hardware.walker`), which it does some segments and windows ahead of its walk.
    """

    def __init__(self, rows: int, columns: int) -> None:
        self._last: Lanes = np.full((rows, columns), -2.0)
        """Last position of each lane."""
        self._go = -float(SKIPPING.RUN_SPACING)
        """When the latest RUN was handed out."""
        self._cut: Lanes = np.zeros((rows, columns))
        """When each lane has cut it up."""
        self._begun: Lanes = np.zeros((rows, columns))
        """When each lane began to."""
        self._walks: deque[tuple[Lanes, Lanes, Lanes]] = deque(maxlen=LANE_WINDOWS + LANE_SEGMENTS)
        """Windows, first and last position of the latest RUNs."""
        self._ranges: deque[range] = deque([range(0), range(0)], maxlen=2)
        self._done: deque[float] = deque([0.0] * GRID_IN_FLIGHT, maxlen=GRID_IN_FLIGHT)

    def run(
        self, walk: Lanes, windows: int, segments: int, read: range, offer: float, gap: int
    ) -> tuple[float, float, float]:
        """Account for a RUN.

        Parameters
        ----------
        walk : float array, shape (rows, columns)
            Positions each lane walks; 0 without work.
        windows, segments : int
            What a lane cuts it into (segments of all rounds).
        read : range
            Entries of the segment table.
        offer : float
            When it is offered.
        gap : int
            Cycles between the last position of the RUN before and its first.

        Returns
        -------
        accepted, first, last : float
            When it is taken, and the first and last position of any lane.
        """
        works = walk > 0
        accepted = max(offer, self._go + 1)
        self._go = max(accepted, self._go + SKIPPING.RUN_SPACING, float(self._begun.max()), self._done[0])
        first = np.maximum(self._go + SKIPPING.RUN_START, self._last + 1 + gap)
        # A window a cycle, whatever is in it.
        last = np.where(works, first + np.ceil(np.maximum(walk, windows)) - 1, self._last)
        self._walks.appendleft((np.where(works, np.minimum(walk, windows), 0.0), first, last))
        self._begun = np.where(works, np.maximum(self._go, self._cut), self._begun)
        ahead = LANE_WINDOWS + LANE_SEGMENTS * windows / segments
        self._cut = np.where(works, np.maximum(self._begun + segments, self._all_but(ahead, works)), self._cut)
        self._last = last
        self._ranges.append(read)
        done = float(last[works].max())
        self._note(done + SKIPPING.RUN_DRAIN)
        return accepted, float(first[works].min()), done

    def set(self, entry: int | None, offer: float) -> float:
        """Account for a SEGMENT that sets an entry of the table, or a BASE; return when it is taken."""
        taken = max(offer, self._go + 1, self._done[0])
        if entry is not None and any(entry in read for read in self._ranges):
            taken = max(taken, float(self._cut.max()))
        self._note(taken)
        return taken

    def _note(self, done: float) -> None:
        """Commands are reported in order, and only so many are under way."""
        self._done.append(max(done, self._done[-1]))

    def _all_but(self, ahead: float, works: NDArray[np.bool_]) -> Lanes:
        """Return when each lane that ``works`` still has so many windows to walk."""
        left, when, open_ = np.full(works.shape, ahead), np.zeros(works.shape), works
        for windows, first, last in self._walks:
            here = open_ & (left <= windows)
            when = np.where(here, last + 1 - (last + 1 - first) * left / np.maximum(windows, 1), when)
            left, open_ = left - windows, open_ & ~here
            if not open_.any():
                break
        return when
