"""QONNX's quantisers as standard operators, by QONNX's own definition, for a runtime that does not know them.

QONNX rounds ``clip(x / scale + zero_point)``, half to even, and gives ``(q - zero_point) * scale``.
"""

from __future__ import annotations

from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hwgen.model.onnx_dialects.qonnx import DOMAINS, INTEGERS

_QUANTISERS = ("Quant", "IntQuant", "BipolarQuant")


def expand(model: onnx.ModelProto) -> None:
    """Replace the quantisers of a model; rounding modes other than half to even stay for the runtime to refuse."""
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    constants |= {n.output[0]: numpy_helper.to_array(n.attribute[0].t) for n in model.graph.node
                  if n.op_type == "Constant" and n.attribute[0].name == "value"}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        known = node.domain in DOMAINS and node.op_type in _QUANTISERS
        nodes += _standard(node, constants) if known else [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _standard(node: onnx.NodeProto, constants: dict[str, NDArray[Any]]) -> list[onnx.NodeProto]:
    attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    bipolar = node.op_type == "BipolarQuant"
    width = 1.0 if bipolar else float(constants[node.input[3]].reshape(-1)[0])
    signed, narrow = attrs.get("signed", 1), attrs.get("narrow", 0)
    if bipolar or (width == 1 and signed):
        return _bipolar(node)
    if attrs.get("rounding_mode", b"ROUND").upper() not in (b"ROUND", b"HALF_EVEN"):
        return [node]
    low = narrow - 2.0 ** (width - 1) if signed else 0.0
    high = 2.0 ** (width - 1) - 1 if signed else 2.0**width - 1 - narrow
    (x, scale, zero), (y,) = node.input[:3], node.output
    kind = TensorProto.INT32 if width > 8 else TensorProto.INT8 if signed else TensorProto.UINT8
    return [
        _constant(f"{y}/low", low), _constant(f"{y}/high", high),
        _real(scale, f"{y}/scale"), _real(zero, f"{y}/zero_point"),
        helper.make_node("Div", [x, f"{y}/scale"], [f"{y}/scaled"]),
        helper.make_node("Add", [f"{y}/scaled", f"{y}/zero_point"], [f"{y}/shifted"]),
        helper.make_node("Clip", [f"{y}/shifted", f"{y}/low", f"{y}/high"], [f"{y}/clipped"]),
        helper.make_node("Round", [f"{y}/clipped"], [f"{y}/rounded"]),
        helper.make_node("Cast", [f"{y}/rounded"], [y + INTEGERS], to=kind),
        helper.make_node("Sub", [f"{y}/rounded", f"{y}/zero_point"], [f"{y}/centred"]),
        helper.make_node("Mul", [f"{y}/centred", f"{y}/scale"], [y]),
    ]


def _bipolar(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    (x, scale), (y,) = node.input[:2], node.output
    return [
        _constant(f"{y}/plus", 1.0), _constant(f"{y}/minus", -1.0), _constant(f"{y}/zero", 0.0),
        _real(scale, f"{y}/scale"),
        helper.make_node("Div", [x, f"{y}/scale"], [f"{y}/scaled"]),
        helper.make_node("GreaterOrEqual", [f"{y}/scaled", f"{y}/zero"], [f"{y}/positive"]),
        helper.make_node("Where", [f"{y}/positive", f"{y}/plus", f"{y}/minus"], [f"{y}/signs"]),
        helper.make_node("Mul", [f"{y}/signs", f"{y}/scale"], [y]),
    ]


def _real(source: str, name: str) -> onnx.NodeProto:
    """As float32, whatever type it has: qkeras' converter writes scales as doubles, zero points as integers."""
    return helper.make_node("Cast", [source], [name], to=TensorProto.FLOAT)


def _constant(name: str, value: float) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value_float=value)
