"""Exporters' arithmetic of shapes, with a symbolic batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from hwgen.model.onnx_file import open_onnx
from tests.model.dialects.judge import exact
from tests.model.passes.qdq import Qdq


def _start(seed: int) -> tuple[Qdq, str]:
    net = Qdq(np.random.default_rng(seed), (1, 4, 6, 6))
    x = net.quantised("x", 0.02)
    return net, net.quantised(net.node("Conv", x, net.weights(8, 4, 3, 3), pads=[1] * 4), 0.05)


def _dense(net: Qdq, flat: str, path: Path) -> None:
    y = net.quantised(net.node("Gemm", flat, net.weights(5, 288), transB=1), 0.05)
    exact(net.save(path / "n.onnx", y, batch="batch"), maps=3)


def test_flattening_of_torch(tmp_path: Path) -> None:
    """x.view(x.size(0), -1) and x.reshape(x.shape[0], x.shape[1] * x.shape[2] * x.shape[3])."""
    net, x = _start(1)
    sizes = [net.node("Gather", net.node("Shape", x), net.constant(axis, np.int64), axis=0) for axis in range(4)]
    first = net.node("Unsqueeze", sizes[0], net.integers(0))
    viewed = net.node("Reshape", x, net.node("Concat", first, net.integers(-1), axis=0))
    again = net.node("Reshape", viewed, net.node("Concat", first, net.integers(8, 6, 6), axis=0))
    rest = net.node("Mul", net.node("Mul", sizes[1], sizes[2]), sizes[3])
    shape = net.node("Concat", first, net.node("Unsqueeze", rest, net.integers(0)), axis=0)
    _dense(net, net.node("Reshape", again, shape), tmp_path)


def test_other_arithmetic(tmp_path: Path) -> None:
    """Shape with start and end, Slice, Size, ConstantOfShape, Range, Expand, Where, Equal, Cast, Sub, Div, Squeeze."""
    net, x = _start(2)
    first = net.node("Shape", x, end=1)
    count = net.node("Div", net.node("Size", x), net.node("Squeeze", net.node("Shape", x, start=0, end=1)))
    ones = net.node("ConstantOfShape", net.node("Sub", net.integers(3), net.integers(1)),
                    value=helper.make_tensor("v", onnx.TensorProto.INT64, [1], [-1]))
    ordered = net.node("Range", net.constant(0, np.int64), net.constant(2, np.int64), net.constant(1, np.int64))
    wide = net.node("Expand", net.node("Unsqueeze", net.node("Cast", net.node("Cast", count, to=1), to=7),
                                       net.integers(0)), net.integers(2))
    target = net.node("Where", net.node("Equal", ordered, net.integers(0, 0)), ones, wide)
    shape = net.node("Concat", first, net.node("Slice", target, net.integers(1), net.integers(2)), axis=0)
    _dense(net, net.node("Reshape", x, shape), tmp_path)


def test_shapes_behind_other_domains(tmp_path: Path) -> None:
    """ONNX's inference does not know ONNX Runtime's operators."""
    net = Qdq(np.random.default_rng(3), (1, 4, 6, 6))
    s, z = net.constant(0.02), net.constant(0, np.int8)
    q = net.node("QuantizeLinear", "x", s, z)
    q = net.node("QLinearAdd", q, s, z, q, s, z, s, z, domain="com.microsoft")
    q = net.node("QLinearConcat", s, z, q, s, z, q, s, z, axis=1, domain="com.microsoft")
    q = net.node("QLinearGlobalAveragePool", q, s, z, s, z, domain="com.microsoft")
    x = net.node("DequantizeLinear", q, s, z)
    y = net.node("Reshape", x, net.node("Concat", net.node("Shape", x, end=1), net.integers(-1), axis=0))
    y = net.quantised(net.node("Gemm", y, net.weights(5, 8), transB=1), 0.05)
    model = net.model(y, batch="batch")
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, tmp_path / "n.onnx")
    exact(tmp_path / "n.onnx", maps=5)


@pytest.mark.parametrize("kind", ["RandomNormal", "ConstantOfShape"])
def test_neither_chance_nor_terabytes_are_folded(tmp_path: Path, kind: str) -> None:
    net = Qdq(np.random.default_rng(4), (1, 4))
    made = (net.node("RandomNormal", shape=[1, 4]) if kind == "RandomNormal" else
            net.node("ConstantOfShape", net.integers(1 << 20, 1 << 20, 4)))
    path = net.save(tmp_path / "n.onnx", net.node("Add", net.quantised("x", 0.1), made))
    assert kind in [node.op for node in open_onnx(path).nodes]


def test_values_that_overflow_make_no_noise(tmp_path: Path) -> None:
    constant = numpy_helper.from_array(np.array([1000], np.float32), "big")
    nodes = [helper.make_node("Exp", ["big"], ["e"]), helper.make_node("Mul", ["x", "e"], ["y"])]
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", 1, [1, 4])],
                              [helper.make_tensor_value_info("y", 1, None)], [constant])
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    assert np.isinf(open_onnx(path).consts["e"]).all()
