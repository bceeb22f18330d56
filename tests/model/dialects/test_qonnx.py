"""QONNX's quantisers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen.errors import HwgenError
from hwgen.model import load_model
from hwgen.model.graph import Conv
from tests.model.dialects.judge import exact
from tests.shared_data import shared_file

DOMAIN = "qonnx.custom_op.general"


def test_file_of_brevitas() -> None:
    exact(shared_file("cases", "brevitas_qonnx_quant_nodes.onnx"), maps=5)


class Qonnx:
    """A network by hand."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: object) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value, np.float32), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def node(self, kind: str, *inputs: str, **attrs: object) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [f"t{name}"], name=name, **attrs))
        return f"t{name}"

    def quant(self, source: str, scale: object, bits: float, zero: float = 0, op: str = "Quant",
              **attrs: object) -> str:
        inputs = [source, self.constant(scale)]
        if op != "BipolarQuant":
            inputs += [self.constant(zero), self.constant(bits)]
        return self.node(op, *inputs, domain=DOMAIN, **attrs)

    def random(self, *shape: int) -> str:
        return self.constant(self.rng.normal(0, 0.4, shape))

    def save(self, path: Path, shape: list[int], output: str) -> Path:
        graph = helper.make_graph(self.nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                                  [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)], self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
        return path


def test_widths_signs_zero_points_and_channels(tmp_path: Path) -> None:
    net = Qonnx(np.random.default_rng(1))
    attrs = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
    x = net.quant("x", 0.05, 8, **attrs)
    w = net.quant(net.random(6, 4, 3, 3), net.rng.uniform(0.05, 0.2, (6, 1, 1, 1)), 4, **{**attrs, "narrow": 1})
    bias = net.quant(net.random(6), 0.005, 16, **attrs)
    a = net.quant(net.node("Relu", net.node("Conv", x, w, bias)), 0.2, 5, op="IntQuant", signed=0, narrow=1)
    signs = net.quant(net.random(5, 6, 1, 1), 0.25, 1, op="BipolarQuant")
    b = net.quant(net.node("Conv", a, signs), 0.125, 8, 117, signed=0, narrow=0, rounding_mode="half_even")
    w2 = net.quant(net.random(7, 5, 1, 1), 0.1, 1, signed=1, narrow=0)
    c = net.quant(net.node("Conv", b, w2), 0.25, 6, -3, **attrs)
    graph = exact(net.save(tmp_path / "q.onnx", [1, 4, 9, 9], c), maps=4)
    first, second, third = (op for op in graph.ops if isinstance(op, Conv))
    assert np.abs(first.weight).max() == 7 and set(np.unique(second.weight)) == {-1, 1} == set(np.unique(third.weight))
    assert (first.requant.qmin, first.requant.qmax) == (-128, -128 + 30)
    assert (third.requant.qmin, third.requant.qmax) == (-32, 31)


@pytest.mark.parametrize(("quant", "what"), [
    ({"rounding_mode": "FLOOR"}, "rounding mode FLOOR"), ({"bits": 9}, "maps of 9 bits"),
    *(({"bits": bits}, "the bit width must be one integer") for bits in (0, 33, 1e30, float("inf"), float("nan"))),
    ({"bits": 2.5}, "the bit width must be one integer"), ({"zero": 0.5}, "zero points must be integers"),
    ({"op": "BipolarQuant"}, "maps of one bit"), ({"op": "FloatQuant"}, "not supported")])
def test_refused_by_name_once(tmp_path: Path, quant: dict[str, object], what: str) -> None:
    net = Qonnx(np.random.default_rng(2))
    bad = net.quant("x", 0.1, **{"bits": 8, "signed": 1, **quant})  # type: ignore[arg-type]
    w = net.quant(net.random(2, 3, 1, 1), 0.1, 8, signed=1)
    last = net.quant(net.node("Conv", bad, w), 0.1, 8, signed=1)
    with pytest.raises(HwgenError, match=what) as caught:
        load_model(net.save(tmp_path / "q.onnx", [1, 3, 4, 4], last))
    assert str(caught.value).count("Quant0'") == 1


def test_as_qkeras_converter_writes_it(tmp_path: Path) -> None:
    """Scales are doubles, zero points and widths integers, the operator set is not imported, and a relu comes first."""
    net = Qonnx(np.random.default_rng(6))

    def quant(source: str, scale: float, bits: int, **attrs: object) -> str:
        names = [f"p{len(net.constants) + i}" for i in range(3)]
        values = (np.float64(scale), np.int64(0), np.int64(bits))
        net.constants += [numpy_helper.from_array(np.asarray(v), n) for v, n in zip(values, names, strict=True)]
        return net.node("Quant", source, *names, domain=DOMAIN, **attrs)

    x = quant(net.node("Relu", "x"), 1 / 256, 8, signed=0)
    y = net.node("Conv", x, quant(net.random(4, 3, 3, 3), 1 / 128, 8), kernel_shape=[3, 3])
    path = net.save(tmp_path / "net.onnx", [1, 3, 6, 6], quant(y, 1 / 16, 8))
    model = onnx.load(path)
    del model.opset_import[1:]
    onnx.save(model, path)
    graph = exact(path, maps=2)
    assert [step.kind for step in graph.inputs[0].steps] == ["clip", "quantize"]
