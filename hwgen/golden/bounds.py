"""How large accumulators can get, over the real weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.model.graph import Conv, Graph
from hwgen.model.obstacles import Obstacles

LIMIT = 1 << 31
"""What no accumulator of 32 bits reaches."""


def accumulator_range(weight: NDArray[Any], bias: NDArray[Any], zero_point: int,
                      values: tuple[int, int] = (-128, 127)) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Least and greatest accumulator of each output channel before it wraps, bias included.

    Parameters
    ----------
    weight : integer array, shape (out_channels, ...)
        As of `hwgen.model.graph.Conv`.
    bias : integer array, shape (out_channels,)
    zero_point : int
        Of the input; also what padding holds.
    values : tuple of int
        Least and greatest value of the input.

    Returns
    -------
    low, high : int64 array, shape (out_channels,)
    """
    low, high = min(values[0] - zero_point, 0), max(values[1] - zero_point, 0)
    rows = weight.reshape(len(weight), -1)
    up = np.maximum(rows, 0).sum(axis=1, dtype=np.int64)
    down = np.minimum(rows, 0).sum(axis=1, dtype=np.int64)
    start = bias.astype(np.int64)
    return start + up * low + down * high, start + up * high + down * low


def check_accumulators(graph: Graph, where: str) -> None:
    """Refuse layers whose sums may not fit 32 bits.

    For ONNX, whose layers are those of real numbers. TFLite's kernels wrap as machines do.

    Raises
    ------
    HwgenError
        Names every such layer.
    """
    found = Obstacles(where)
    for op in graph.ops:
        if isinstance(op, Conv):
            low, high = accumulator_range(op.weight, op.bias, graph.tensors[op.inputs[0]].zero_point)
            wrong = np.flatnonzero((low < -LIMIT) | (high >= LIMIT))
            if len(wrong):
                c = wrong[0]
                most = low[c] if low[c] < -LIMIT else high[c]
                found.add(op.source, op.name,
                          f"the sums of channel {c}, up to {most} with its bias {op.bias[c]}, do not fit 32 bits",
                          "its weight scale is too small: quantise per tensor, or prune the channel")
    found.check("the network cannot run exactly:")
