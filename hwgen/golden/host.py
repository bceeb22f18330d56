"""What the host does after the accelerator: from int8 results to real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.model.graph import Graph, Host


def host_output(graph: Graph, q: NDArray[np.int8]) -> NDArray[np.float64]:
    """Dequantise the accelerator's result and run the host operators that follow.

    Parameters
    ----------
    graph : Graph
    q : int8 array, shape (N, H, W, C)
        Values of ``graph.output``.

    Returns
    -------
    float64 array, shape (N, H, W, C)
        Real values; probabilities after a softmax (over C, in double precision: not TFLite's integer softmax).
    """
    tensor = graph.tensors[graph.output]
    real = (q.astype(np.float64) - tensor.zero_point) * tensor.scale
    current = graph.output
    for op in graph.ops:
        # A quantize at the network's start reads another tensor; quantize and dequantize keep real values.
        if isinstance(op, Host) and op.inputs == (current,):
            if op.kind == "softmax":
                real = softmax(real, op.attrs.get("beta", 1.0))
            current = op.output
    return real


def softmax(x: NDArray[Any], beta: float = 1.0) -> NDArray[np.float64]:
    """``exp(beta x) / sum(exp(beta x))`` over the last axis."""
    powers: NDArray[np.float64] = np.exp(beta * (x - x.max(axis=-1, keepdims=True)))
    total: NDArray[np.float64] = powers.sum(axis=-1, keepdims=True)
    return powers / total
