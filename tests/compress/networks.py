"""Small float networks for the tests of compressors."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwgen.compress.data import Data
from hwgen.compress.graph import BatchNorm, FloatAdd, FloatConv, FloatGraph, FloatPool
from hwgen.model.graph import Op

RELU: dict[str, Any] = {"lo": 0.0}


def conv(rng: np.random.Generator, name: str, source: str, inputs: int, outputs: int, kernel: int = 3, *,
         groups: int = 1, stride: int = 1, **clamp: float) -> FloatConv:
    """A layer with SAME padding for odd kernels and random weights."""
    shape = (outputs, kernel, kernel, inputs // groups)
    return FloatConv(name=name, inputs=(source,), output=f"{name}_out", source="Conv", groups=groups,
                     weight=rng.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32),
                     bias=rng.normal(0, 0.2, outputs).astype(np.float32), stride=(stride, stride),
                     pad=(kernel // 2,) * 4, **clamp)


def dense(rng: np.random.Generator, name: str, source: str, shape: tuple[int, int, int], outputs: int) -> FloatConv:
    """A fully connected layer."""
    height, width, channels = shape
    weight = rng.normal(0, 1 / np.sqrt(height * width * channels), (outputs, height, width, channels))
    return FloatConv(name=name, inputs=(source,), output=f"{name}_out", source="Gemm", weight=weight.astype(np.float32),
                     bias=rng.normal(0, 0.1, outputs).astype(np.float32))


def norm(rng: np.random.Generator, name: str, source: str, channels: int, **clamp: float) -> BatchNorm:
    """Batch normalisation with random statistics."""
    values = {key: rng.normal(0, 1, channels).astype(np.float32) for key in ("beta", "mean")}
    values |= {key: rng.uniform(0.3, 2, channels).astype(np.float32) for key in ("gamma", "variance")}
    return BatchNorm(name=name, inputs=(source,), output=f"{name}_out", epsilon=1e-3, **values, **clamp)


def graph(ops: list[Op], shapes: dict[str, tuple[int, ...]]) -> FloatGraph:
    """The graph from ``x`` to the last operator; ``shapes`` gives (H, W, C) by map."""
    full: Any = {name: (1, *shape) for name, shape in shapes.items()}
    return FloatGraph("net", full, tuple(ops), "x", ops[-1].output)


def residual(seed: int = 1) -> FloatGraph:
    """Convolutions, depthwise, residual add, pooling and a fully connected layer on 8x8x3."""
    rng = np.random.default_rng(seed)
    ops: list[Op] = [
        conv(rng, "stem", "x", 3, 8, **RELU),
        conv(rng, "depthwise", "stem_out", 8, 8, groups=8, **RELU),
        conv(rng, "pointwise", "depthwise_out", 8, 8, 1),
        FloatAdd(name="add", inputs=("stem_out", "pointwise_out"), output="add_out", **RELU),
        FloatPool(name="pool", inputs=("add_out",), output="pool_out", kind="average", kernel=(4, 4), stride=(4, 4)),
        dense(rng, "dense", "pool_out", (2, 2, 8), 5),
    ]
    shapes = dict.fromkeys(("stem_out", "depthwise_out", "pointwise_out", "add_out"), (8, 8, 8))
    return graph(ops, {"x": (8, 8, 3), **shapes, "pool_out": (2, 2, 8), "dense_out": (1, 1, 5)})


def images(net: FloatGraph, count: int = 64, seed: int = 2, classes: int = 5) -> Data:
    """Random inputs, labelled in turn."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (count, *net.shapes[net.input][1:])).astype(np.float32)
    return Data(x, np.arange(count) % classes, seed=0)
