"""What a user can do about an ONNX operator that the machine lacks: at the network's beginning and end the host can do
it, inside only another operator helps."""

from __future__ import annotations

from hwgen.model.onnx_file import OnnxFile
from hwgen.model.onnx_node import Node

QDQ = "quantise with onnxruntime.quantization.quantize_static(..., quant_format=QuantFormat.QDQ)"

def partly_float(file: str) -> str:
    """What can be done about a network of this name that a quantiser left partly in float."""
    return ("let the quantiser cover it (quantize_static: op_types_to_quantize; NNCF: no ignored_scope; PT2E: annotate "
            f"it), or quantise all of it: {compressed(file)}")


def compressed(file: str) -> str:
    """The command that quantises a network of this name."""
    return f"hwgen compress {file}.onnx --recipe int8 --data INPUTS.npz -o {file}_int8.onnx"


_PASSED = {"QuantizeLinear", "DequantizeLinear", "Identity", "Dropout", "Cast", "Transpose", "Reshape", "Flatten",
           "Squeeze", "Unsqueeze"}
"""Operators that change no more than type and place."""

_DYNAMIC = f"{QDQ}, not quantize_dynamic"
_RELU = "train with Relu or Clip (ReLU6) instead"
_GATE = "the machine multiplies no two maps: train without gates (squeeze-and-excite, hard swish)"
_UPSAMPLE = "the machine cannot enlarge maps: end the network before it, or train a network without it"
INSIDE = {
    "Mul": _GATE,
    "Div": "the machine divides maps by constants alone",
    "Sub": "the machine subtracts constants alone: train with Add",
    **dict.fromkeys(("Sigmoid", "HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "PRelu", "Tanh", "Gelu", "Erf", "Mish",
                     "Selu", "Celu", "Softplus", "Swish", "ThresholdedRelu"), _RELU),
    **dict.fromkeys(("ConvTranspose", "Resize", "Upsample", "DepthToSpace"), _UPSAMPLE),
    **dict.fromkeys(("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"), _DYNAMIC),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), "the machine has no state: use convolutions over time"),
    **dict.fromkeys(("If", "Loop", "Scan"), "export the network without control flow"),
    "LRN": "train with BatchNormalization instead",
    "InstanceNormalization": "train with BatchNormalization instead",
    "LayerNormalization": "train with BatchNormalization instead",
}
DEFAULT = "replace it by a supported operator before the network is quantised"


def remedy(node: Node, file: OnnxFile) -> str:
    """What can be done about a node."""
    if node.op in ("ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"):
        return _DYNAMIC
    if _ends(node, file):
        return "end the network before it and apply it to the output on the host"
    if _begins(node, file):
        return "begin the network after it and apply it to the input on the host"
    return INSIDE.get(node.op, DEFAULT)


def _ends(node: Node, file: OnnxFile) -> bool:
    """True when no operator that computes reads the result."""
    outputs = {end.name for end in file.outputs}
    names, seen = list(node.outputs), set(node.outputs)
    while names:
        name = names.pop()
        users = file.consumers.get(name, ())
        if any(user.op not in _PASSED for user in users) or not (users or name in outputs):
            return False
        new = [name for user in users for name in user.outputs if name not in seen]
        names += new
        seen.update(new)
    return True


def _begins(node: Node, file: OnnxFile) -> bool:
    """True when the node reads an input of the network and constants."""
    makers = {name: other for other in file.nodes for name in other.outputs}
    names, inputs, found = [n for n in node.inputs if n], {end.name for end in file.inputs}, False
    while names:
        name = names.pop()
        found = found or name in inputs
        if name in makers:
            if makers[name].op not in _PASSED:
                return False
            names += [n for n in makers[name].inputs if n]
    return found
