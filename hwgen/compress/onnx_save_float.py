"""Write a float network as standard ONNX, which `hwgen compress`, Netron and ONNX Runtime read.

Its ends are those of the file that the network was read from, else NHWC; between them it is NCHW as ONNX wants it. A
fully connected layer is a convolution whose kernel covers its map.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hwgen.compress.graph import Activation, Clamped, FloatAdd, FloatConv, FloatGraph, FloatPool
from hwgen.errors import HwgenError
from hwgen.model.graph import Concat, Op, Pad
from hwgen.model.onnx_places import write_input, write_output, write_steps

_OPSET, _IR_VERSION = 17, 8
_NCHW_AXIS = {1: 2, 2: 3, 3: 1}


def float_onnx(graph: FloatGraph) -> bytes:
    """The content of the file.

    Raises
    ------
    HwgenError
        When the network holds batch normalisation or a reshape: fold the one; the other has no form here.
    """
    x, y = graph.ports
    to = _Nodes()
    names = {graph.input: write_input(to, x.name, x.view, graph.shapes[graph.input])}
    for op in graph.device_ops:
        inputs = [names[name] for name in op.inputs]
        kind, attributes, given = _node(op)
        for what, values in given.items():
            inputs.append(to.constant(f"{op.name}/{what}", np.ascontiguousarray(values)))
        result = names[op.output] = f"map/{op.output}"
        clamp = _clamp(op)
        first = f"{result}/sum" if clamp else result
        to.node(kind, inputs, first, op.name, **attributes)
        if clamp:
            kind, bounds = clamp
            limits = [to.constant(f"{op.name}/{what}", value) for what, value in bounds.items()]
            to.node(kind, [first, *limits], result, f"{op.name}/{kind.lower()}")
    last = write_output(to, names[graph.output], y.name, y.view, graph.shapes[graph.output])
    last = write_steps(to, last, y.name, y.steps)
    to.node("Identity", [last], y.name, f"{y.name}/identity")
    ends = [helper.make_tensor_value_info(port.name, TensorProto.FLOAT, ["batch", *port.shape[1:]])
            for port in (x, y)]
    made = helper.make_graph(to.nodes, graph.name, ends[:1], ends[1:], to.constants)
    model = helper.make_model(made, producer_name="hwgen", opset_imports=[helper.make_opsetid("", _OPSET)],
                              ir_version=_IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


class _Nodes:
    """Nodes and constants in the order in which they come."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, kind: str, inputs: list[str], output: str, name: str, **attrs: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name, **attrs))
        return output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(value, name))
        return name


def _node(op: Op) -> tuple[str, dict[str, Any], dict[str, NDArray[Any]]]:
    """ONNX's operator, its attributes, and the constants that it reads."""
    if isinstance(op, FloatAdd):
        return "Add", {}, {}
    if isinstance(op, Activation):
        return "Identity", {}, {}
    if isinstance(op, Concat):
        return "Concat", {"axis": _NCHW_AXIS[op.axis]}, {}
    if isinstance(op, Pad):
        top, bottom, left, right = op.pad
        return "Pad", {}, {"pads": np.array([0, 0, top, left, 0, 0, bottom, right], np.int64),
                           "value": np.zeros((), np.float32)}
    if not isinstance(op, FloatConv | FloatPool):
        raise HwgenError(f"{type(op).__name__} cannot be written", where=op.name)
    top, bottom, left, right = op.pad
    common: dict[str, Any] = {"strides": list(op.stride), "pads": [top, left, bottom, right]}
    if isinstance(op, FloatConv):
        weight = op.weight.transpose(0, 3, 1, 2).astype(np.float32)
        return "Conv", common | {"dilations": list(op.dilation), "group": op.groups,
                                 "kernel_shape": list(op.weight.shape[1:3])}, {
                                     "weight": weight, "bias": op.bias.astype(np.float32)}
    common["kernel_shape"] = list(op.kernel)
    if op.kind == "max":
        return "MaxPool", common, {}
    return "AveragePool", common | {"count_include_pad": int(op.include_pad)}, {}


def _clamp(op: Op) -> tuple[str, dict[str, NDArray[Any]]] | None:
    """ONNX's operator for an operator's clamp, and its bounds; None where there is no clamp."""
    if not isinstance(op, Clamped) or (op.lo, op.hi) == (-np.inf, np.inf):
        return None
    if (op.lo, op.hi) == (0.0, np.inf):
        return "Relu", {}
    lowest, highest = np.finfo(np.float32).min, np.finfo(np.float32).max
    return "Clip", {"low": np.array(max(op.lo, lowest), np.float32), "high": np.array(min(op.hi, highest), np.float32)}
