"""How long AFETCH takes when its engines want the same banks: a small simulation of queues and arbiter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.maps import banks
from hwgen.config import Config

POST_READS = 2

QUEUE = 12
"""Words that an engine may be behind the nest (`FULL` of `hwgen.hardware.afetch_engine`)."""


@dataclass(frozen=True)
class Walk:
    """A nest of AFETCH with natural strides, the start of every column's engine, and the size of the map."""

    counts: tuple[int, ...]
    dy: tuple[int, ...]
    dx: tuple[int, ...]
    da: tuple[int, ...]
    starts: tuple[tuple[int, int, int], ...]
    height: int
    width: int

    @property
    def words(self) -> int:
        return int(np.prod(self.counts))


@lru_cache(maxsize=256)
def _offsets(counts: tuple[int, ...], strides: tuple[int, ...]) -> NDArray[np.int64]:
    total = np.zeros((), np.int64)
    for n, step in zip(counts, strides, strict=True):
        total = total[..., None] + np.arange(n, dtype=np.int64) * step
    return total.reshape(-1)


@dataclass(frozen=True)
class Axis:
    """Rows or columns of results: nest strides, first position, distance from pipe to pipe, size of the map."""

    strides: Sequence[int]
    start: int
    offset: int
    size: int


def write_conflicts(
    counts: Sequence[int],
    strides: Sequence[int],
    start: int,
    offset: int,
    axes: Sequence[Axis],
    pipes: int,
    config: Config,
) -> int:
    """Return the cycles that post-process pipes lose because they write to the same bank.

    Parameters
    ----------
    counts, strides : sequence of int
        Nest of the first pipe's results, in words.
    start, offset : int
        Its first word; words from one pipe to the next.
    axes : sequence of Axis
        Results outside the map are dropped.
    """
    if pipes == 1:
        return 0
    words = start + _offsets(tuple(counts), tuple(strides))
    places = [axis.start + _offsets(tuple(counts), tuple(axis.strides)) for axis in axes]
    hits = np.zeros((len(words), config.banks), np.int64)
    for p in range(pipes):
        inside = np.ones(len(words), bool)
        for axis, place in zip(axes, places, strict=True):
            inside &= place + p * axis.offset < axis.size
        wanted = banks(np.maximum(words + p * offset, 0), config)[:, None] == np.arange(config.banks)
        hits += wanted & inside[:, None]
    return int((np.maximum(np.max(hits, axis=1), 1) - 1).sum())


def fetch_cycles(walk: Walk, config: Config, lags: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """Simulate one AFETCH behind another.

    Parameters
    ----------
    walk : Walk
    config : Config
    lags : sequence of int
        Cycles by which each engine ends the command before later than the first one (none: all are idle).

    Returns
    -------
    cycles : int
        From the last word of the command before to the last word of this one, over all engines.
    lags : tuple of int
        The same for the next command: engines that slipped apart stay apart while there is work.
    """
    engines = len(walk.starts)
    lags = tuple(lags) if len(lags) == engines else (0,) * engines
    if engines == 1:
        return walk.words, lags
    y, x, a = (_offsets(walk.counts, s) for s in (walk.dy, walk.dx, walk.da))
    wanted = []
    for y0, x0, a0 in walk.starts:
        inside = (y + y0 >= 0) & (y + y0 < walk.height) & (x + x0 >= 0) & (x + x0 < walk.width)
        wanted.append(np.where(inside, banks(np.where(inside, a + a0, 0), config), -1).tolist())
    ends = _simulate(wanted, lags)
    first = min(ends)
    return max(ends) - max(lags), tuple(end - first for end in ends)


def _simulate(wanted: Sequence[Sequence[int]], lags: Sequence[int]) -> list[int]:
    """Return when each engine has its last word: one a cycle and bank; engines take turns at being first."""
    n, engines = len(wanted[0]), range(len(wanted))
    at, ends = [0] * len(wanted), [0] * len(wanted)
    pushed = cycle = slowest = 0
    # The turn goes round the two idle ports of POST too; then the first engine is first again.
    order = [list(engines)[i:] + list(engines)[:i] for i in engines] + [list(engines)] * POST_READS
    while slowest < n:
        if pushed < n and pushed - slowest < QUEUE:
            pushed += 1
        cycle += 1
        used = 0
        for e in order[cycle % len(order)]:
            i = at[e]
            if i < pushed and cycle > lags[e]:
                bank = wanted[e][i]
                if bank < 0 or not used >> bank & 1:
                    used |= 1 << bank if bank >= 0 else 0
                    at[e] = i + 1
                    if i + 1 == n:
                        ends[e] = cycle
        slowest = min(at)
    return ends
