"""Address nests, compiler side: natural strides to the deltas a nest level adds when it advances."""

from __future__ import annotations

from collections.abc import Sequence


def fold(counts: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Fold the rewinding of the inner levels into each level's delta.

    When a level advances, all inner levels stand at their last iteration; the delta takes them back to their first.
    Inverse of `hwgen.golden.nest.unfold`.

    Parameters
    ----------
    counts : sequence of int
        Iterations of each level, outermost first, each >= 1.
    strides : sequence of int
        What one more iteration of each level adds to the value (address, row, column, ...).

    Returns
    -------
    list of int
        Delta of each level: what is added once when this level advances.
    """
    deltas, rewind = [0] * len(counts), 0
    for level in reversed(range(len(counts))):
        deltas[level] = strides[level] - rewind
        rewind += (counts[level] - 1) * strides[level]
    return deltas
