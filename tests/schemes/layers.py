"""Small layers to try rules on."""

from __future__ import annotations

import numpy as np

from hwgen.schemes import Layer

MAY_LOSE = {"scnn", "sparten"}
"""Zeros may cost them cycles: products that met no bank twice may now, filters are paired by density alone."""


def matrix(weights: list[list[int]], inputs: list[int]) -> Layer:
    """A fully connected layer: a row of weights for each output."""
    w = np.array(weights, np.bool_)
    return Layer(w.reshape(len(w), 1, 1, -1), np.array(inputs, np.bool_).reshape(1, 1, -1))


def dense(filters: int, positions: int, pixels: int = 1) -> Layer:
    """A 1x1 convolution without zeros."""
    return Layer(np.ones((filters, 1, 1, positions), np.bool_), np.ones((1, pixels, positions), np.bool_))


def random_layer(seed: int) -> Layer:
    """Any geometry: strides, dilation, padding, groups, depthwise, fully connected, every density."""
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 2, 4]))
    depth = int(rng.choice([1, 3, 16, 20]))
    kh, kw = rng.integers(1, 4, 2)
    stride, dilation = rng.integers(1, 4, 2), rng.integers(1, 3, 2)
    pad = tuple(int(v) for v in rng.integers(0, 3, 4))
    size = (kh - 1) * dilation[0] + 1 + rng.integers(0, 7), (kw - 1) * dilation[1] + 1 + rng.integers(0, 7)
    if rng.random() < 0.25:
        size, pad, groups = (kh, kw), (0, 0, 0, 0), 1
        dilation = np.array([1, 1])
    w, a = rng.choice([0, 0.1, 0.5, 0.9, 1], 2)
    return Layer(
        rng.random((groups * int(rng.integers(1, 40)), kh, kw, depth)) < w,
        rng.random((*size, groups * depth)) < a,
        (int(stride[0]), int(stride[1])),
        (int(dilation[0]), int(dilation[1])),
        pad,
        groups,
    )
