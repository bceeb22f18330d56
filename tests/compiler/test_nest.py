"""Folded deltas: the compiler's inverse of the machine's nest, and the walk both describe."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hwgen.compiler.nest import fold
from hwgen.golden.nest import expand, unfold
from tests.golden.naive_machine import walk

LEVELS = st.lists(st.tuples(st.integers(1, 4), st.integers(-50, 50), st.integers(-50, 50)), min_size=1, max_size=5)


@given(LEVELS)
def test_fold_and_unfold_are_inverse(levels: list[tuple[int, int, int]]) -> None:
    counts, strides = [v[0] for v in levels], [v[1] for v in levels]
    assert unfold(counts, fold(counts, strides)) == strides
    assert fold(counts, unfold(counts, strides)) == strides


@given(LEVELS, st.integers(-9, 9))
def test_expand_is_the_walk(levels: list[tuple[int, int, int]], start: int) -> None:
    counts, deltas = [v[0] for v in levels], [list(v[1:]) for v in levels]
    got = expand([(n, d) for n, d in zip(counts, deltas, strict=True)], (start, -start))
    states = [state for _, state in walk(counts, deltas, [start, -start])]
    assert [v.shape for v in got] == [tuple(counts)] * 2
    assert np.array_equal(np.stack([v.reshape(-1) for v in got], axis=1), states)


def test_folded_strides_give_plain_loops() -> None:
    counts, strides = [3, 2, 4], [100, 10, 1]
    (got,) = expand([(n, (d,)) for n, d in zip(counts, fold(counts, strides), strict=True)], (7,))
    assert np.array_equal(got, 7 + np.add.outer(np.add.outer([0, 100, 200], [0, 10]), [0, 1, 2, 3]))
