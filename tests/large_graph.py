"""A network on a 224 x 224 x 3 image, with the layers of a mobile network's beginning."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hwgen.model.graph import Graph, plain_graph
from tests.random_graphs import Builder
from tests.random_values import Limits


def large_graph(size: int = 224) -> Graph:
    """Return two strided convolutions, a depthwise one, an addition, pooling and a classifier."""
    b = Builder(np.random.default_rng(7), Limits(macs=1 << 30, values=1 << 30))
    first = b.source((size, size, 3))

    def need(grow: Callable[..., str | None], *args: object, **values: object) -> str:
        name = grow(*args, **values)
        assert name is not None
        return name

    def weight(*shape: int) -> np.ndarray:
        return b.rng.integers(-128, 128, shape).astype(np.int8)

    half = need(b.convolve, first, weight(8, 3, 3, 3), 1, stride=(2, 2), pad=(0, 1, 0, 1))
    deep = need(b.convolve, half, weight(8, 3, 3, 1), 8, pad=(1, 1, 1, 1))
    wide = need(b.convolve, deep, weight(12, 1, 1, 8), 1)
    small = need(b.convolve, wide, weight(16, 3, 3, 12), 1, stride=(4, 4), pad=(1, 1, 1, 1))
    pooled = need(b.pool, small, "max", (2, 2), (2, 2), (0, 0, 0, 0))
    mean = need(b.pool, pooled, "average", b.shape(pooled)[:2], (1, 1), (0, 0, 0, 0))
    last = need(b.convolve, mean, weight(10, 1, 1, 16), 1)
    return plain_graph("large", "tflite", b.tensors, tuple(b.ops), first, last)
