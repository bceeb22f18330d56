"""The preflight of ONNX networks: every unsupported operator at once, with its name and what to do about it."""

from __future__ import annotations

from hwgen.model.onnx_affine import AFFINE, has_constant
from hwgen.model.onnx_file import OnnxFile
from hwgen.model.onnx_node import Node
from hwgen.model.onnx_remedies import remedy

QUANTIZE = {"QuantizeLinear", "DequantizeLinear"}
SAME = {"Identity", "Dropout"}
LAYOUT = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}
POOLS = {"AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"}
TAILS = {"Softmax", "LogSoftmax"}
"""What the host computes at the network's end."""
HEADS = {"Cast"}
"""What it does at the beginning alone."""

SUPPORTED = QUANTIZE | SAME | LAYOUT | POOLS | {
    "Conv", "Gemm", "MatMul", "Pad", "Concat", "Relu", "Clip", "Slice", "Gather", "Split"} | HEADS | TAILS | AFFINE


_LENGTHS = {"kernel_shape": 2, "strides": 2, "dilations": 2, "pads": 4}
"""Of the attributes of convolutions and poolings."""


def problem(node: Node, file: OnnxFile, supported: set[str]) -> tuple[str, str] | None:
    """What keeps a node from being built whatever it reads, and its remedy."""
    if node.problem is not None:
        return node.problem
    if node.op not in supported or (node.op in ("Sub", "Mul", "Div") and not has_constant(node, file)):
        return "not supported", remedy(node, file)
    if node.domain not in ("", "ai.onnx") and (node.op not in QUANTIZE or node.domain != "com.microsoft"):
        return f"operator set {node.domain!r} is not supported", "export it with standard ONNX operators"
    used = {*file.consumers, *(end.name for end in file.outputs)}
    extra = [name for name in node.outputs[1:] if name in used and node.op != "Split"]
    if extra:
        return f"its further output {extra[0]!r} is not supported", "remove what reads it"
    attrs = node.attrs
    for key, length in _LENGTHS.items():
        windows = node.op in ("Conv", "AveragePool", "MaxPool")
        if windows and len(attrs.get(key, [0] * length)) not in (length, length // 2):
            return f"{key} must have {length} or {length // 2} numbers, not {len(attrs[key])}", (
                "only maps of one or two dimensions: use height 1")
    if node.op == "Conv":
        if any(n < 1 for key in ("strides", "dilations") for n in attrs.get(key, ())) or attrs.get("group", 1) < 1:
            return "strides, dilations and group must be positive", "export the network again"
    elif node.op in ("AveragePool", "MaxPool"):
        return _pool_problem(node)
    elif node.op == "Gemm":
        if attrs.get("alpha", 1.0) != 1.0 or attrs.get("beta", 1.0) != 1.0 or attrs.get("transA", 0):
            return "alpha and beta must be 1 and transA 0", "fold them into weights and bias"
    elif node.op == "Pad" and attrs.get("mode", "constant") != "constant":
        return f"mode {attrs['mode']!r}", "use constant padding with zero"
    elif node.op == "Dropout" and _training(node, file):
        return "it is in training mode", "export the network after .eval()"
    return None


def _training(node: Node, file: OnnxFile) -> bool:
    """True of a Dropout that drops values."""
    mode = file.consts.get(node.input(2))
    return bool(node.input(2)) and (mode is None or bool(mode.any()))


def _pool_problem(node: Node) -> tuple[str, str] | None:
    attrs = node.attrs
    if any(n < 1 for key in ("strides", "kernel_shape") for n in attrs.get(key, ())):
        return "strides and kernel_shape must be positive", "export the network again"
    if any(d != 1 for d in attrs.get("dilations", ())):
        return "dilated pooling", "use dilation 1"
    return None
