"""The preflight of ONNX networks: every unsupported operator at once, with its name and what to do about it."""

from __future__ import annotations

import numpy as np

from hwgen.errors import HwgenError
from hwgen.model.onnx_file import OnnxFile
from hwgen.model.onnx_node import Node

QUANTIZE = {"QuantizeLinear", "DequantizeLinear"}
SAME = {"Identity", "Dropout"}
LAYOUT = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}
POOLS = {"AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool", "ReduceMean"}
SUPPORTED = QUANTIZE | SAME | LAYOUT | POOLS | {
    "Conv", "Gemm", "MatMul", "Add", "Pad", "Concat", "Relu", "Clip", "Softmax"}

_QDQ = "quantise with onnxruntime.quantization.quantize_static(..., quant_format=QuantFormat.QDQ)"
_FOLD = "fold it into the convolution before it: onnxruntime.quantization.quant_pre_process, then quantise again"
_RELU = "train with Relu or Clip (ReLU6) instead"
_REMEDIES = {
    "BatchNormalization": _FOLD,
    "Mul": "fold the factor into the weights before quantising",
    "Div": "fold the divisor into the weights or into the input's scale before quantising",
    "Sub": "fold the offset into the bias, or into the input before the network",
    "Sigmoid": _RELU, "HardSigmoid": _RELU, "HardSwish": _RELU, "LeakyRelu": _RELU, "Elu": _RELU, "PRelu": _RELU,
    "Tanh": _RELU, "Gelu": _RELU, "Erf": _RELU, "Mish": _RELU, "Selu": _RELU, "Celu": _RELU, "Softplus": _RELU,
    "ConvTranspose": "use a resize on the host followed by Conv",
    "Resize": "resize the input on the host before the network",
    "Upsample": "resize the input on the host before the network",
    "ArgMax": "remove it and take the argmax of the output on the host",
    "TopK": "remove it and take the top classes of the output on the host",
    "LogSoftmax": "remove it and apply it to the output on the host",
    "DynamicQuantizeLinear": _QDQ + ", not quantize_dynamic",
    "ConvInteger": _QDQ + ", not quantize_dynamic", "MatMulInteger": _QDQ + ", not quantize_dynamic",
    "QLinearConv": _QDQ, "QLinearMatMul": _QDQ, "QLinearAdd": _QDQ, "QLinearGlobalAveragePool": _QDQ,
    "QLinearAveragePool": _QDQ, "QLinearConcat": _QDQ, "QGemm": _QDQ,
}
_DEFAULT = "remove it, run it on the host before or after the network, or replace it by a supported operator"

_LENGTHS = {"kernel_shape": 2, "strides": 2, "dilations": 2, "pads": 4}
"""Of the attributes of convolutions and poolings."""


def preflight(file: OnnxFile, *, real: bool = False) -> None:
    """Refuse the network when any operator cannot be built.

    Parameters
    ----------
    file : OnnxFile
    real : bool
        Read as a float network, which may hold batch normalisation and need not be quantised.

    Raises
    ------
    HwgenError
        One error that lists every unsupported operator; otherwise one for a network that is not quantised.
    """
    supported = SUPPORTED | {"BatchNormalization"} if real else SUPPORTED
    problems = [(node, *problem) for node in file.nodes if (problem := _problem(node, file, supported)) is not None]
    if problems:
        lines = [f"{len(problems)} unsupported operator{'s' if len(problems) > 1 else ''}:"]
        lines += [f"  {node.op} {node.name!r}: {what}; {remedy}" for node, what, remedy in problems]
        raise HwgenError("\n".join(lines), where=file.name, remedy=f"supported: {', '.join(sorted(supported))}")
    if not real and not any(node.op in QUANTIZE for node in file.nodes):
        raise HwgenError("the network is not quantised (it has no QuantizeLinear / DequantizeLinear)",
                         where=file.name, remedy=_QDQ)


def _problem(node: Node, file: OnnxFile, supported: set[str]) -> tuple[str, str] | None:
    """What is wrong with a node, and its remedy."""
    if node.problem is not None:
        return node.problem
    if node.op not in supported:
        return "not supported", _REMEDIES.get(node.op, _DEFAULT)
    if node.domain not in ("", "ai.onnx") and node.op not in QUANTIZE:
        return f"operator set {node.domain!r} is not supported", "export it with standard ONNX operators"
    attrs = node.attrs
    for key, length in _LENGTHS.items():
        if node.op in ("Conv", "AveragePool", "MaxPool") and len(attrs.get(key, [0] * length)) != length:
            return f"{key} must have {length} numbers, not {len(attrs[key])}", "only two-dimensional maps: use height 1"
    if node.op == "Conv":
        if any(n < 1 for key in ("strides", "dilations") for n in attrs.get(key, ())) or attrs.get("group", 1) < 1:
            return "strides, dilations and group must be positive", "export the network again"
    elif node.op in ("AveragePool", "MaxPool"):
        return _pool_problem(node)
    elif node.op == "Gemm":
        if attrs.get("alpha", 1.0) != 1.0 or attrs.get("beta", 1.0) != 1.0 or attrs.get("transA", 0):
            return "alpha and beta must be 1 and transA 0", "fold them into weights and bias"
    elif node.op == "Pad":
        return _pad_problem(node, file)
    return None


def _pool_problem(node: Node) -> tuple[str, str] | None:
    attrs = node.attrs
    if any(n < 1 for key in ("strides", "kernel_shape") for n in attrs.get(key, ())):
        return "strides and kernel_shape must be positive", "export the network again"
    if any(d != 1 for d in attrs.get("dilations", ())):
        return "dilated pooling", "use dilation 1"
    if len([o for o in node.outputs if o]) > 1:
        return "the second output (indices) is not supported", "remove it"
    if node.op == "AveragePool" and attrs.get("ceil_mode", 0) and attrs.get("count_include_pad", 0):
        return "ceil_mode together with count_include_pad", "pad explicitly and use ceil_mode=0"
    return None


def _pad_problem(node: Node, file: OnnxFile) -> tuple[str, str] | None:
    if node.attrs.get("mode", "constant") != "constant":
        return f"mode {node.attrs['mode']!r}", "use constant padding with zero"
    if node.input(1) and node.input(1) not in file.consts:
        return "the padding is computed at run time", "export with fixed sizes"
    value = node.attrs.get("value", 0.0)
    if node.input(2):
        constant = file.consts.get(node.input(2))
        if constant is None:
            return None  # a quantised constant: the reader checks its value
        value = float(np.ravel(constant)[0]) if constant.size else 0.0
    return None if value == 0 else (f"pads with {value:g}", "use constant padding with zero")
