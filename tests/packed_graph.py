"""A residual block with ReLUs, whose maps go through DRAM on machines with small activation buffers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwgen.golden.graph import execute
from hwgen.model.graph import Add, Graph, Requant, plain_graph
from tests.random_graphs import Builder
from tests.random_values import Limits

ACT_KIB = 4


def _relu(b: Builder) -> str:
    """Clamp the last result at its zero point."""
    op = b.ops[-1]
    zero = b.zero(op.output)
    b.ops[-1] = op = replace(op, requant=replace(op.requant, qmin=zero, qmax=127))  # type: ignore[attr-defined,call-arg]
    b.values[op.output] = execute(op, [b.values[n] for n in op.inputs], b.tensors)
    return op.output


def packed_graph(height: int = 14, width: int = 20, channels: int = 16) -> tuple[Graph, dict[str, str]]:
    """Return the graph, and the names of its maps: ``relu`` and ``sum`` have zeros, ``dense`` none to speak of."""
    b = Builder(np.random.default_rng(11), Limits(macs=1 << 24, values=1 << 20), 5)
    source = b.source((height, width, channels))

    def conv(name: str, kernel: int, outputs: int, zero_point: int) -> str:
        pad = kernel // 2
        weight = b.rng.integers(-60, 61, (outputs, kernel, kernel, b.shape(name)[2])).astype(np.int8)
        made = b.convolve(name, weight, 1, zero_point=zero_point, pad=(pad,) * 4)
        assert made is not None
        return made

    conv(source, 3, channels, -128)
    relu = _relu(b)
    dense = conv(relu, 3, channels, 3)
    values = {"multiplier": (1 << 30, 1 << 30), "shift": (0, 0),
              "requant": Requant(np.array([1 << 30]), np.array([-18]), -7)}
    b.put(Add, (relu, dense), (height, width, channels), -7, **values)
    total = _relu(b)
    last = conv(total, 1, 8, 0)
    mean = b.pool(last, "average", (height, width), (1, 1), (0, 0, 0, 0))
    assert mean is not None
    names = {"source": source, "relu": relu, "dense": dense, "sum": total, "last": last, "mean": mean}
    return plain_graph("packed", "tflite", b.tensors, tuple(b.ops), source, mean), names
