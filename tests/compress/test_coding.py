"""Codebooks and Huffman codes: sizes by hand, entropy bounds, and every string back to its integers."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.compress.coding import decode, encode_huffman, encode_indices, huffman_lengths, zero_runs


def layers() -> dict[str, np.ndarray]:
    """Integers of many kinds."""
    rng = np.random.default_rng(7)
    normal = np.rint(rng.normal(0, 20, 3000)).astype(np.int64)
    sparse = np.where(rng.random(5000) < 0.02, normal[:1].repeat(5000) + rng.integers(-4, 5, 5000), 0)
    late = np.zeros(2000, np.int64)
    late[[255, 511, 1022, 1300]] = 5, -7, 5, 127
    return {"normal": normal, "sparse": sparse, "zeros": np.zeros(77, np.int64), "one": np.array([-3]),
            "same": np.full(100, 9), "late": late, "last": np.eye(1, 256, 255, dtype=np.int64)[0] * -128,
            "wide": rng.integers(-(1 << 15), 1 << 15, 500), "wider": rng.integers(-(1 << 31), 1 << 31, 300),
            "two": np.array([0, 1] * 50), "no_zero": np.array([4, 5, 6, 4])}


@pytest.mark.parametrize("kind", list(layers()))
def test_round_trip(kind: str) -> None:
    values = layers()[kind]
    assert np.array_equal(decode(encode_huffman(values), values.size), values)
    indexed = encode_indices(values)
    if indexed is None:
        assert len(np.unique(values)) > 257
    else:
        assert np.array_equal(decode(indexed, values.size), values)


def test_code_lengths_by_hand() -> None:
    assert huffman_lengths(np.array([45, 13, 12, 16, 9, 5])).tolist() == [1, 3, 3, 3, 4, 4]  # Cormen, figure 16.4
    assert huffman_lengths(np.array([5])).tolist() == [0] and huffman_lengths(np.array([1, 9])).tolist() == [1, 1]


def test_codes_are_within_a_bit_of_the_entropy_and_complete() -> None:
    for seed in range(20):
        counts = np.random.default_rng(seed).zipf(1.5, 40).clip(1, 10**6)
        lengths = huffman_lengths(counts).astype(float)
        share = counts / counts.sum()
        entropy = -np.sum(share * np.log2(share))
        assert entropy <= share @ lengths < entropy + 1 and np.sum(2.0**-lengths) == 1  # Kraft


def test_sizes_by_hand() -> None:
    # 1 for form and width, 4 for the number of values, then 4 values and 100 indices of 2 bits.
    assert len(encode_indices(np.arange(100) % 4 + 1) or b"") == 1 + 4 + 4 + 25
    # 400 weights, of them 16 not 0, two values: a bitmap and a bit for each.
    values = np.zeros(400, np.int64)
    values[::25] = [3, -3] * 8
    assert len(encode_indices(values) or b"") == 1 + 4 + 2 + (400 + 16) // 8
    # Runs: all 24 but for the first, 0. Codes of one bit each for 16 runs and 16 values.
    runs = zero_runs(values)
    assert runs.tolist() == [0] + [24] * 15
    assert len(encode_huffman(values)) == 1 + 4 + 2 * 2 + 2 + 2 * 2 + 4 + (16 + 16) // 8


def test_long_runs_have_an_escape() -> None:
    values = np.zeros(600, np.int64)
    values[[255, 599]] = 1  # 255 zeros, then 343
    assert zero_runs(values).tolist() == [255, 0, 255, 88]
