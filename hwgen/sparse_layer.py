"""A convolution with a given share of zeros, to measure what skipping them gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen.model.graph import Conv, Graph, Requant, Tensor, plain_graph

ZERO_POINT = -3
SIZE, CHANNELS, KERNEL = 16, 64, 3
"""3x3, 64 -> 64, on 16 x 16 pixels, padded."""


@dataclass(frozen=True)
class Zeros:
    """Which weights and activations are zero.

    Parameters
    ----------
    weights, activations : float
        Shares that are not.
    grain : str
        Of the weights: ``element``; ``vector``: of 8 neighbouring output channels together; ``N:M``: N of M
        neighbouring input channels are not, whatever ``weights`` says.
    """

    weights: float = 1.0
    activations: float = 1.0
    grain: str = "element"


def sparse_layer(zeros: Zeros, seed: int = 0) -> tuple[Graph, NDArray[np.int8]]:
    """Return a network of one layer and an input, int8, shape (1, height, width, channels)."""
    rng = np.random.default_rng(seed)
    weight = _weights(zeros, rng)
    x = rng.integers(-128, 128, (1, SIZE, SIZE, CHANNELS))
    x[x == ZERO_POINT] += 1
    x = keep(zeros.activations, x.shape, rng) * (x - ZERO_POINT) + ZERO_POINT
    tensors = {
        "x": Tensor("x", (1, SIZE, SIZE, CHANNELS), 0.05, ZERO_POINT),
        "y": Tensor("y", (1, SIZE, SIZE, CHANNELS), 0.05, 5),
    }
    layer = Conv(
        name="conv",
        inputs=("x",),
        output="y",
        source="CONV_2D",
        weight=weight,
        bias=rng.integers(-1000, 1000, CHANNELS).astype(np.int32),
        requant=Requant(np.full(CHANNELS, 1 << 30), np.full(CHANNELS, -9), 5),
        pad=(1, 1, 1, 1),
    )
    return plain_graph("layer", "synthetic", tensors, (layer,), "x", "y"), x.astype(np.int8)


def keep(share: float, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a mask with exactly that share of ones, at random places."""
    size = int(np.prod(shape))
    kept = np.zeros(size, np.bool_)
    kept[rng.choice(size, round(share * size), replace=False)] = True
    return kept.reshape(shape)


def _weights(zeros: Zeros, rng: np.random.Generator) -> NDArray[np.int8]:
    shape = (CHANNELS, KERNEL, KERNEL, CHANNELS)
    values = rng.integers(1, 128, shape) * rng.choice([-1, 1], shape)
    if zeros.grain == "element":
        kept = keep(zeros.weights, shape, rng)
    elif zeros.grain == "vector":
        kept = np.repeat(keep(zeros.weights, (shape[0] // 8, *shape[1:]), rng), 8, axis=0)
    else:
        n, m = map(int, zeros.grain.split(":"))
        kept = (rng.random((values.size // m, m)).argsort(axis=1) < n).reshape(shape)
    return (values * kept).astype(np.int8)
