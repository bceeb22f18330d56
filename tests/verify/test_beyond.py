"""Shares above 100 % are explained, others are not."""

from __future__ import annotations

from hwgen.verify.beyond import beyond
from hwgen.verify.result import LayerResult, VerifyResult


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


def test_a_result_explains_what_is_shown_of_it() -> None:
    layer = LayerResult("a", "Conv", "channel", 10, 10, 120, 1.5, 0, "")
    other = LayerResult("b", "Add", "elementwise", 10, 10, 0, 0.0, 0, "")
    result = VerifyResult(
        model="m", config={"name": "x"}, multipliers=8, images=1, seed=None, mismatches=0, examples=[], total=20,
        predicted=20, macs=120, layers=[layer, other], bytes_read=0, bytes_written=0, counters={}, sim={},
        reference=None, host=[],
    )  # fmt: skip
    assert result.beyond(layers=False) == [] and len(result.beyond(layers=True)) == 1
