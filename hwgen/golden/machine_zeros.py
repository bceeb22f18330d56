"""Golden machine: which positions of a RUN lanes that skip zeros walk, and why they leave out the others."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hwgen.derive import SKIP_WINDOW
from hwgen.golden.machine_state import State
from hwgen.isa import Mode


@dataclass(frozen=True)
class Zeros:
    """Positions of the lanes that have work.

    All of them are ``effectual + by_weight + by_activation + by_both``. In the vector operand a position is zero when
    all its P values are. An operand whose zeros are not skipped counts as without any.

    Attributes
    ----------
    effectual : int
        Neither operand is zero.
    by_weight, by_activation, by_both : int
        Left out as the weight, the activation, or both are zero.
    blank : int
        Rounds without an effectual position: they take one cycle each.
    windows, empty : int
        Windows of `hwgen.derive.SKIP_WINDOW` positions that the encoders look at, and those without a position.
    """

    effectual: int = 0
    by_weight: int = 0
    by_activation: int = 0
    by_both: int = 0
    blank: int = 0
    windows: int = 0
    empty: int = 0

    @property
    def positions(self) -> int:
        """All positions, walked or not."""
        return self.effectual + self.by_weight + self.by_activation + self.by_both

    @property
    def walked(self) -> int:
        """Cycles in which lanes walk."""
        return self.effectual + self.blank

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def count(
    s: State, vectors: NDArray[Any], stream: NDArray[Any], address: NDArray[np.int64], starts: NDArray[np.int64],
    works: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], Zeros]:  # fmt: skip
    """Count some rounds of the current RUN.

    Parameters
    ----------
    s : State
    vectors : array, shape (columns, rows, K, P)
        Vector operands of all positions.
    stream : array, shape (columns, rows, T, K) or (columns, rows, T, K, P)
        Streamed operands of ``T`` rounds.
    address : int64 array, shape (T, K)
        Addresses of the streamed operands.
    starts : int64 array
        First position of every segment.
    works : bool array, shape (columns, rows)
        Lanes that have work.

    Returns
    -------
    walked : int64 array, shape (columns, rows)
        Cycles in which each lane walks; 0 without work.
    zeros : Zeros
    """
    a, skip = s.command.args, s.config.skip
    rounds, positions, lanes = len(address), len(vectors[0, 0]), int(works.sum())
    if a["s_step"] != 1 or a["max"]:
        # Walked whole, in windows that begin with the segment.
        lengths = np.diff(np.append(starts, positions))
        windows = lanes * rounds * int((-(-lengths // SKIP_WINDOW)).sum())
        return works * (rounds * positions), Zeros(lanes * rounds * positions, windows=windows)
    pixel = a["mode"] == Mode.PIXEL
    there_v = (vectors[works] != 0).any(axis=2)
    there_s = stream[works] != 0
    there_s = there_s.any(axis=3) if there_s.ndim == 4 else there_s
    if skip == ("activation" if not pixel else "weight"):
        there_v = np.ones_like(there_v)
    if skip == ("weight" if not pixel else "activation"):
        there_s = np.ones_like(there_s)
    both = there_s & there_v[:, None]
    found = both.sum(axis=2)
    effectual, of_v, of_s = int(found.sum()), rounds * int(there_v.sum()), int(there_s.sum())
    windows, empty = _windows(both, address, starts)
    by_v, by_s = of_s - effectual, of_v - effectual
    walked = np.zeros(works.shape, np.int64)
    walked[works] = np.maximum(found, 1).sum(axis=1)
    return walked, Zeros(
        effectual, by_s if pixel else by_v, by_v if pixel else by_s, both.size - of_v - of_s + effectual,
        int((found == 0).sum()), windows, empty,
    )  # fmt: skip


def _windows(both: NDArray[np.bool_], address: NDArray[np.int64], starts: NDArray[np.int64]) -> tuple[int, int]:
    """Count the windows and the empty ones; ``both`` has shape (lanes, T, K).

    A segment is cut where the streamed operand's windows begin, so rounds at the same place in a window are cut alike.
    """
    windows = empty = 0
    phase = address[:, 0] % SKIP_WINDOW
    for p in np.unique(phase):
        alike = np.flatnonzero(phase == p)
        cuts = np.union1d(np.flatnonzero(address[alike[0]] % SKIP_WINDOW == 0), starts)
        some = np.logical_or.reduceat(both[:, alike], cuts, axis=2)
        windows += some.size
        empty += int(some.size - some.sum())
    return windows, empty
