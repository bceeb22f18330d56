"""QCDQ: integers clipped between QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen.model.graph import Add, Concat, Conv, Pool, Requantize
from tests.model.dialects.judge import exact
from tests.shared_data import shared_file


@pytest.mark.parametrize(("name", "maps"), [
    ("brev_w4a4", 4), ("brevitas_qcdq_dynamo_weight_q_clip_dq", 5), ("brevitas_qcdq_w4a4_clip_between_q_and_dq", 5),
    ("qcdq_clip_int8", 2), ("qcdq_clip_out", 2)])
def test_files_of_brevitas(name: str, maps: int) -> None:
    exact(shared_file("cases", f"{name}.onnx"), maps=maps)


class Qcdq:
    """A network by hand; every quantiser clips."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: object, dtype: object = np.float32) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def node(self, kind: str, *inputs: str, **attrs: object) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [f"t{name}"], name=name, **attrs))
        return f"t{name}"

    def quantised(self, source: str, scale: float, low: int, high: int, kind: type = np.int8, how: str = "Clip") -> str:
        s, z = self.constant(scale), self.constant(0, kind)
        q = self.node("QuantizeLinear", source, s, z)
        if how == "Clip":
            q = self.node("Clip", q, self.constant(low, kind), self.constant(high, kind))
        else:
            q = self.node("Max", self.node("Min", q, self.constant(high, kind)), self.constant(low, kind))
        return self.node("DequantizeLinear", q, s, z)

    def weights(self, *shape: int) -> str:
        """4 bits, kept as real numbers: QuantizeLinear and Clip of a constant."""
        return self.quantised(self.constant(self.rng.normal(0, 0.4, shape)), 0.1, -7, 7)

    def save(self, path: Path, shape: list[int], output: str) -> Path:
        graph = helper.make_graph(self.nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                                  [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)], self.constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return path


@pytest.mark.parametrize("how", ["Clip", "MinMax"])
def test_limits_of_every_operator(tmp_path: Path, how: str) -> None:
    """Convolution, sum, average, concatenation, a rescale alone and the input saturate at their own bit widths."""
    net = Qcdq(np.random.default_rng(3))
    x = net.quantised("x", 0.1, -8, 7, how=how)
    a = net.quantised(net.node("Conv", x, net.weights(6, 4, 3, 3)), 0.1, 0, 15, np.uint8, how)
    b = net.quantised(net.node("Conv", a, net.weights(6, 6, 1, 1)), 0.2, -16, 15, how=how)
    c = net.quantised(net.node("Add", a, b), 0.2, -4, 9, how=how)
    d = net.quantised(net.node("AveragePool", c, kernel_shape=[2, 2]), 0.2, -2, 3, how=how)
    e = net.quantised(net.node("Concat", d, d, axis=1), 0.2, -1, 2, how=how)
    f = net.quantised(e, 0.3, 0, 1, how=how)
    graph = exact(net.save(tmp_path / "n.onnx", [1, 4, 8, 8], f), maps=7)
    kinds = {type(op) for op in graph.ops}
    assert {Conv, Add, Pool, Concat, Requantize} <= kinds
    assert max(abs(int(op.weight.max())) for op in graph.ops if isinstance(op, Conv)) <= 7


def test_same_scale_but_narrower_is_not_the_same(tmp_path: Path) -> None:
    net = Qcdq(np.random.default_rng(4))
    wide = net.quantised(net.node("Conv", net.quantised("x", 0.1, -128, 127), net.weights(4, 4, 1, 1)), 0.1, -64, 63)
    narrow = net.quantised(wide, 0.1, -8, 7)
    again = net.quantised(narrow, 0.1, -16, 15)
    graph = exact(net.save(tmp_path / "n.onnx", [1, 4, 5, 5], again), maps=3)
    assert [type(op) for op in graph.ops] == [Conv, Requantize]


def test_one_quantiser_with_and_without_clip(tmp_path: Path) -> None:
    """Both maps are made, each with its own limits."""
    net = Qcdq(np.random.default_rng(6))
    x = net.quantised("x", 0.1, -128, 127)
    s, z = net.constant(0.1), net.constant(0, np.int8)
    q = net.node("QuantizeLinear", net.node("Conv", x, net.weights(4, 4, 1, 1)), s, z)
    clip = net.node("Clip", q, net.constant(-3, np.int8), net.constant(2, np.int8))
    clipped = net.node("DequantizeLinear", clip, s, z)
    total = net.quantised(net.node("Add", clipped, net.node("DequantizeLinear", q, s, z)), 0.1, -90, 90)
    exact(net.save(tmp_path / "n.onnx", [1, 4, 5, 5], total), maps=4)
