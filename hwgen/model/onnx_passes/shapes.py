"""The shapes of a file's values, as far as they follow from its inputs: ONNX's shape inference.

It knows no operators but ONNX's own, so it is shown those of the dialects as the standard ones with the same shapes.
"""

from __future__ import annotations

import onnx

_SHAPED_AS: dict[str, tuple[str, tuple[int, ...]]] = {
    "QLinearConv": ("Conv", (0, 3)), "QLinearMatMul": ("MatMul", (0, 3)), "QGemm": ("Gemm", (0, 3)),
    "QLinearAdd": ("Add", (0, 3)), "QLinearMul": ("Mul", (0, 3)), "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)), "QLinearReduceMean": ("ReduceMean", (0,)),
    **dict.fromkeys(("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax", "Quant", "IntQuant", "BipolarQuant",
                     "QuantizeLinear", "DequantizeLinear"), ("Identity", (0,))),
}
"""Operators of other domains: one of ONNX's with the same output shape, and which inputs it takes."""

_JOINED = {"QLinearConcat": "Concat"}
"""Operators that take every third input from the third on."""


def infer(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the shapes that ONNX's inference finds, best effort."""
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return model


def contradiction(model: onnx.ModelProto) -> str:
    """What ONNX's inference finds wrong with attributes and shapes, as runtimes do on loading; or nothing."""
    try:
        onnx.shape_inference.infer_shapes(model, strict_mode=True)
    except onnx.shape_inference.InferenceError as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0]
    except (RuntimeError, ValueError):  # of other kinds: it is no judge of them
        return ""
    return ""


def known_shapes(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """Every shape that is fully known, by the value's name."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    for node in shown.graph.node:
        if node.domain not in ("", "ai.onnx"):
            _standard(node)
    known = {}
    graph = infer(shown).graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            known[value.name] = tuple(dim.dim_value for dim in tensor.shape.dim)
    return known


def _standard(node: onnx.NodeProto) -> None:
    """Make a node the standard one whose output has the same shape, where there is one."""
    inputs = list(node.input)
    if node.op_type in _JOINED:
        kept, kind = inputs[2::3], _JOINED[node.op_type]
    elif node.op_type in _SHAPED_AS and not any(a.name == "channels_last" and a.i for a in node.attribute):
        kind, places = _SHAPED_AS[node.op_type]
        kept = [inputs[place] for place in places if place < len(inputs)]
    else:
        return
    node.op_type, node.domain = kind, ""
    node.input[:] = kept
    if kind == "Identity":
        del node.attribute[:]
