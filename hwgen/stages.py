"""The stages of long work: told when they begin, and how long each took."""

from __future__ import annotations

import time
from collections.abc import Callable

Tell = Callable[[str], None]


class Stages:
    """One stage after the other.

    Attributes
    ----------
    seconds : dict of str to float
        Of every stage that has ended, in order of their first beginning; those that began several times, added up.

    Parameters
    ----------
    tell : callable, optional
        Told of each that begins.
    """

    def __init__(self, tell: Tell | None = None) -> None:
        self._tell = tell
        self._stage = ""
        self._began = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, stage: str, detail: str = "") -> None:
        """Begin a stage, which ends the one before; ``detail`` is for the reader alone."""
        self.end()
        self._stage = stage
        self.seconds.setdefault(stage, 0.0)
        if self._tell is not None:
            self._tell(f"{stage}: {detail}" if detail else stage)

    def end(self) -> None:
        """End the last stage."""
        now = time.perf_counter()
        if self._stage:
            self.seconds[self._stage] += now - self._began
        self._stage, self._began = "", now
