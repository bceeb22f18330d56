"""Windows of positions that a skipping lane looks at, one a cycle, whatever is in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.work import Work
from hwgen.config import Config
from hwgen.derive import SKIP_WINDOW
from hwgen.isa import Mode


def run_windows(table: Sequence[tuple[int, int, int]], base: NDArray[np.int64], mode: Mode) -> int:
    """Return the windows of a RUN: they end at multiples of `SKIP_WINDOW` of the streamed operand.

    Parameters
    ----------
    table : sequence of (s_offset, v_start, length)
        Segments.
    base : int64 array
        Streamed operand's address of each round.
    mode : Mode
        In depthwise mode windows are counted from a segment's start.
    """
    offset, _, length = np.array(table, np.int64).reshape(-1, 3).T
    start = 0 * offset if mode is Mode.DEPTHWISE else base[:, None] + offset
    each = (start % SKIP_WINDOW + length - 1) // SKIP_WINDOW + 1
    return int(np.broadcast_to(each, (len(base), len(table))).sum())


def round_bases(first: int, rounds: int, nx: int, dx: int, dy: int) -> NDArray[np.int64]:
    """Return the streamed operand's address of each round: ``dx`` on from the one before, ``dy`` after every ``nx``."""
    t = np.arange(rounds, dtype=np.int64)
    return first + (t - t // nx) * dx + t // nx * dy


def windows_per_round(work: Work, config: Config, rows: int, words: int, word: int) -> float:
    """Return about how many windows of all chunks a round has, to rank choices (``rows``, ``words``: of a chunk)."""
    if config.skip == "none" or work.maximum:
        return 0.0
    kh, kw = work.kernel
    full, rest = divmod(len(work.channels), word)
    if work.mode is Mode.DEPTHWISE:
        segments, k = kh, kh * kw
    else:
        pieces = -(-kh // rows) if work.mode is Mode.PIXEL else kh * (kw if work.dilation[1] > 1 else 1)
        # Words that are not full are in the last chunk, whose taps are then segments of their own.
        ends = rest > 0
        segments = (-(-(full + ends) // words) - ends) * pieces + ends * kh * kw
        k = kh * kw * len(work.channels)
        segments = kh if work.source.layout.tight else segments
    return segments + (k - segments) / SKIP_WINDOW
