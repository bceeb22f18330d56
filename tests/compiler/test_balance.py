"""The balancer: blocks of channels that cost the same."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.compiler.balance import balanced, heaviest


def column(*costs: float) -> np.ndarray:
    return np.array(costs, float)[:, None]


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 23, 64])
@pytest.mark.parametrize("size", [1, 8])
def test_every_channel_once(n: int, size: int) -> None:
    rng = np.random.default_rng(n)
    order = balanced(rng.integers(0, 100, (n, 2)).astype(float), size)
    assert sorted(order) == list(range(n))


def test_all_zero() -> None:
    cost = np.zeros((16, 1))
    order = balanced(cost, 8)
    assert sorted(order) == list(range(16)) and heaviest(cost, order, 8) == 0


def test_one_heavy_channel_stands_with_the_lightest() -> None:
    cost = column(100, *[10] * 12, *[1] * 3)
    order = balanced(cost, 8)
    (block,) = (b for b in (order[:8], order[8:]) if 0 in b)
    assert {13, 14, 15} <= set(block)
    assert cost[order[:8]].sum() + cost[order[8:]].sum() == 223
    assert heaviest(cost, order, 8) < heaviest(cost, np.arange(16), 8)


def test_even_blocks() -> None:
    cost = np.random.default_rng(0).beta(1.2, 2.8, (64, 1))
    assert heaviest(cost, np.arange(64), 8) > 1.2
    assert heaviest(cost, balanced(cost, 8), 8) < 1.02


def test_layers_that_share_an_order() -> None:
    cost = np.random.default_rng(1).random((32, 2))
    order = balanced(cost, 8)
    assert heaviest(cost, order, 8) < heaviest(cost, np.arange(32), 8)


def test_channels_keep_their_order_within_a_block() -> None:
    order = balanced(np.random.default_rng(2).random((24, 1)), 8)
    assert all((np.diff(order[i:i + 8]) > 0).all() for i in (0, 8, 16))
