"""The packed form of a block, against one written value by value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hwgen.golden.packed_map import bitmap_words, pack, slot_words, unpack


def naive(words: np.ndarray, zero_point: int) -> list[list[int]]:
    """Return the packed words as the contract reads (docs/architecture.md)."""
    block, width = words.shape
    bits = [[0] * (8 * width) for _ in range(-(-block // 8))]
    kept = []
    for i in range(block):
        for j in range(width):
            if words[i, j] != zero_point % 256:
                bits[i // 8][i % 8 * width + j] = 1
                kept.append(int(words[i, j]))
    kept += [0] * (-len(kept) % width if kept else width)
    out = [[sum(row[8 * b + k] << k for k in range(8)) for b in range(width)] for row in bits]
    return out + [kept[n:n + width] for n in range(0, len(kept), width)]


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.sampled_from((8, 16, 32)), st.integers(-128, 127), st.floats(0, 1),
       st.integers(0, 1 << 30))
def test_round_trip(block: int, width: int, zero_point: int, density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = np.where(rng.random((block, width)) < density, rng.integers(0, 256, (block, width)), zero_point % 256)
    words = words.astype(np.uint8)
    packed = pack(words, zero_point)
    assert packed.tolist() == naive(words, zero_point)
    assert bitmap_words(block) < len(packed) <= slot_words(block)
    found = unpack(packed, block, zero_point)
    assert found is not None and np.array_equal(found, words)


def test_bound() -> None:
    """Data without zeros cost their bitmap and no more; data of nothing else the bitmap and a word."""
    dense, empty = np.full((64, 8), 1, np.uint8), np.zeros((64, 8), np.uint8)
    assert len(pack(dense, 0)) == 64 + 8 == slot_words(64)
    assert len(pack(empty, 0)) == 8 + 1


@pytest.mark.parametrize("change", ["shorter", "longer", "more bits", "fewer bits"])
def test_bits_must_agree_with_the_length(change: str) -> None:
    words = np.tile(np.array([0, 1], np.uint8), (16, 4))
    packed = pack(words, 0)
    if change == "shorter":
        packed = packed[:-1]
    elif change == "longer":
        packed = np.concatenate([packed, packed[:1]])
    else:
        packed[0, :2] = 0xFF if change == "more bits" else 0
    assert unpack(packed, 16, 0) is None
    assert unpack(packed[:1], 16, 0) is None, "not even all bits"
