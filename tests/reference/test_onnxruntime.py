"""The comparison with ONNX Runtime finds differences where there are some."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwgen.embedded import MODEL, digit_images, embedded_model
from hwgen.golden.inputs import quantize_input
from hwgen.model.graph import Conv, Graph, Op
from tests.references import compared


def changed(graph: Graph, name: str, **fields: object) -> Graph:
    """The graph with one operator changed."""
    ops: tuple[Op, ...] = tuple(replace(op, **fields) if op.name == name else op for op in graph.ops)  # type: ignore[arg-type]
    return replace(graph, ops=ops)


@pytest.mark.parametrize("steps", [0.2, 1, 3])
def test_a_wrong_bias_is_found(steps: float) -> None:
    """Also one that moves results by a fifth of a step, which one step more or less would have hidden."""
    graph = embedded_model()
    x = quantize_input(graph, digit_images()[0][:20])
    dense = next(op for op in graph.ops if op.name == "dense")
    assert isinstance(dense, Conv)
    assert compared(MODEL, graph, x).equal
    step = np.round(steps / (dense.requant.multiplier * np.exp2(dense.requant.shift - 31.0))).astype(np.int32)
    report = compared(MODEL, changed(graph, "dense", bias=dense.bias + step), x)
    assert not report.equal
    assert report.examples[0].startswith("Conv 'dense', (y, x, c) = (0, 0, ")


def test_a_wrong_layout_is_found() -> None:
    graph = embedded_model()
    view = graph.outputs[0].view
    port = replace(graph.outputs[0], view=replace(view, shape=(1, 10)), shape=(1, 10))
    x = quantize_input(graph, digit_images()[0][:1])
    report = compared(MODEL, replace(graph, outputs=(port,)), x)
    assert not report.equal and "output 'y': float32 (1, 10), not float32 (1, 1, 1, 10)" in report.examples[-1]
