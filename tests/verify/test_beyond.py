"""Shares above 100 % are explained, others are not."""

from __future__ import annotations

from hwgen.verify.beyond import beyond


def test_only_what_is_above_one() -> None:
    assert beyond([1.0, 0.2], [1.0], skips=True) == []
    assert beyond([], [], skips=False) == []


def test_zeros_and_overlap_are_told_apart() -> None:
    (zeros,) = beyond([1.3], [0.5], skips=True)
    assert "multipliers: products with a zero count" in zeros
    (overlap,) = beyond([1.01], [], skips=False)
    assert "multipliers: layers overlap" in overlap
    (bound,) = beyond([0.5], [1.1], skips=True)
    assert "of the bound: layers overlap" in bound
