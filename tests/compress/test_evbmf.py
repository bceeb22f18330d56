"""Rank under noise: planted ranks, and matrices with nothing to find."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.compress.evbmf import evbmf_rank


def planted(seed: int, rows: int, columns: int, rank: int, decibel: float) -> np.ndarray:
    """A product of random factors, with white noise that much below it."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, columns))
    return signal + rng.normal(size=signal.shape) * signal.std() * 10 ** (-decibel / 20)


@pytest.mark.parametrize("decibel", [0, 10, 40])
def test_planted_rank_is_found(decibel: float) -> None:
    found = [evbmf_rank(planted(seed, 64, 576, 12, decibel)) for seed in range(100)]
    assert found.count(12) >= 95


def test_either_orientation_and_scale() -> None:
    matrix = planted(1, 40, 90, 5, 10)
    assert evbmf_rank(matrix) == evbmf_rank(matrix.T) == evbmf_rank(1e-3 * matrix) == 5
    assert evbmf_rank(planted(2, 30, 30, 4, 20)) == 4


def test_without_noise_it_is_the_rank() -> None:
    assert evbmf_rank(planted(3, 16, 32, 3, np.inf)) == 3
    assert evbmf_rank(np.outer(np.arange(1, 5), np.arange(1, 7))) == 1


def test_nothing_to_find() -> None:
    assert evbmf_rank(np.zeros((4, 6))) == 0
    assert [evbmf_rank(np.random.default_rng(s).normal(size=(64, 576))) for s in range(10)] == [0] * 10
    assert evbmf_rank(np.ones((1, 5))) == 1 and evbmf_rank(np.ones((8, 9))) == 1
