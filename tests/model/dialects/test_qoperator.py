"""The QOperator format, as onnxruntime's quantize_static writes it, and by hand where it never does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType  # type: ignore[import-untyped]

from hwgen.errors import HwgenError
from hwgen.model import load_model
from hwgen.model.graph import Conv
from tests.model.dialects.judge import exact
from tests.model.onnx_networks import Net, quantise


def _network(rng: np.random.Generator) -> tuple[Net, str]:
    """Every operator that quantize_static turns into a QOperator form and that the machine has."""
    net = Net(rng, (1, 3, 12, 12))
    a = net.node("Relu", net.conv("x", 8, 3, (3, 3), pads=[1] * 4))
    b = net.conv(a, 8, 1, (3, 3), pads=[1] * 4, group=8)
    c = net.node("Add", a, b)
    d = net.node("AveragePool", c, kernel_shape=[2, 2], strides=[2, 2])
    e = net.node("Concat", d, net.node("MaxPool", c, kernel_shape=[2, 2], strides=[2, 2]), axis=1)
    f = net.node("Flatten", net.node("GlobalAveragePool", e))
    g = net.node("Gemm", f, net.random(10, 16), net.random(10), transB=1)
    return net, net.node("MatMul", g, net.random(10, 5))


@pytest.mark.parametrize("unsigned", [False, True])
@pytest.mark.parametrize("per_channel", [False, True])
def test_every_operator(tmp_path: Path, unsigned: bool, per_channel: bool) -> None:
    seed = 10 + 2 * unsigned + per_channel
    net, output = _network(np.random.default_rng(seed))
    path, _ = quantise(net, output, tmp_path, unsigned=unsigned, per_channel=per_channel, form=QuantFormat.QOperator)
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    assert {"QLinearConv", "QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearGlobalAveragePool", "QGemm",
            "QLinearMatMul"} <= kinds
    exact(path, maps=9, seed=seed)


def test_weights_with_zero_points(tmp_path: Path) -> None:
    net, output = _network(np.random.default_rng(20))
    path, _ = quantise(net, output, tmp_path, unsigned=True, per_channel=False, form=QuantFormat.QOperator,
                       weights=QuantType.QUInt8)
    graph = exact(path, maps=9)
    assert any(op.weight.dtype == np.int16 for op in graph.ops if isinstance(op, Conv))


def _by_hand(folder: Path, nodes: list[onnx.NodeProto], consts: dict[str, object], shape: list[int]) -> Path:
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", TensorProto.INT8, shape)],
                              [helper.make_tensor_value_info("y", TensorProto.INT8, None)],
                              [numpy_helper.from_array(np.asarray(value), name) for name, value in consts.items()])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "hand.onnx")
    return folder / "hand.onnx"


_SCALES = {"s": np.float32(0.05), "t": np.float32(0.07), "z": np.int8(3), "u": np.int8(-5)}


@pytest.mark.parametrize("op", ["QLinearAveragePool", "QLinearGlobalAveragePool"])
def test_channels_last(tmp_path: Path, op: str) -> None:
    attrs = {"kernel_shape": [3, 2], "strides": [2, 1]} if op == "QLinearAveragePool" else {}
    node = helper.make_node(op, ["x", "s", "z", "t", "u"], ["y"], domain="com.microsoft", channels_last=1, **attrs)
    graph = exact(_by_hand(tmp_path, [node], _SCALES, [1, 7, 6, 5]), maps=2)
    assert graph.tensors[graph.output].shape == ((1, 3, 5, 5) if attrs else (1, 1, 1, 5))


def test_alpha_of_a_gemm_scales_its_bias(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    consts = {**_SCALES, "w": rng.integers(-100, 100, (6, 4), dtype=np.int8), "ws": np.float32(0.01), "wz": np.int8(0),
              "b": rng.integers(-2000, 2000, 4, dtype=np.int32)}
    node = helper.make_node("QGemm", ["x", "s", "z", "w", "ws", "wz", "b", "t", "u"], ["y"], domain="com.microsoft",
                            alpha=0.5)
    exact(_by_hand(tmp_path, [node], consts, [1, 6]), maps=2)


def test_what_the_machine_lacks_is_named(tmp_path: Path) -> None:
    node = helper.make_node("QLinearSigmoid", ["x", "s", "z", "t", "u"], ["y"], name="gate", domain="com.microsoft")
    with pytest.raises(HwgenError, match="Sigmoid 'gate': not supported"):
        load_model(_by_hand(tmp_path, [node], _SCALES, [1, 3, 4, 4]))
