"""Write a float network as standard ONNX, which `hwgen compress`, Netron and ONNX Runtime read.

Input ``x`` is NHWC; between two transpositions the network is NCHW as ONNX wants it. A fully connected layer is a
convolution whose kernel covers its map.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hwgen.compress.graph import Clamped, FloatAdd, FloatConv, FloatGraph, FloatPool
from hwgen.errors import HwgenError

_OPSET, _IR_VERSION = 17, 8


def float_onnx(graph: FloatGraph) -> bytes:
    """The content of the file.

    Raises
    ------
    HwgenError
        When the network holds something other than convolutions, pooling and additions, or its clamps are no ReLU.
    """
    nodes: list[Any] = [helper.make_node("Transpose", ["x"], ["x_nchw"], "x/transpose", perm=[0, 3, 1, 2])]
    constants: list[Any] = []
    names = {graph.input: "x_nchw"}
    for op in graph.device_ops:
        inputs = [names[name] for name in op.inputs]
        kind, attributes = _node(op)
        if isinstance(op, FloatConv):
            for what, values in (("weight", op.weight.transpose(0, 3, 1, 2)), ("bias", op.bias)):
                constants.append(_constant(f"{op.name}/{what}", values))
                inputs.append(f"{op.name}/{what}")
        relu = isinstance(op, Clamped) and (op.lo, op.hi) == (0.0, np.inf)
        if isinstance(op, Clamped) and not relu and (op.lo, op.hi) != (-np.inf, np.inf):
            raise HwgenError(f"a clamp to {op.lo:g}..{op.hi:g} cannot be written", where=op.name)
        result = names[op.output] = f"map/{op.output}"
        first = f"{result}/sum" if relu else result
        nodes.append(helper.make_node(kind, inputs, [first], op.name, **attributes))
        if relu:
            nodes.append(helper.make_node("Relu", [first], [result], f"{op.name}/relu"))
    nodes.append(helper.make_node("Transpose", [names[graph.output]], ["y"], "y/transpose", perm=[0, 2, 3, 1]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *graph.shapes[of][1:]])
            for name, of in (("x", graph.input), ("y", graph.output))]
    made = helper.make_graph(nodes, graph.name, ends[:1], ends[1:], constants)
    model = helper.make_model(made, producer_name="hwgen", opset_imports=[helper.make_opsetid("", _OPSET)],
                              ir_version=_IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _node(op: Any) -> tuple[str, dict[str, Any]]:
    """ONNX's operator and its attributes."""
    if isinstance(op, FloatAdd):
        return "Add", {}
    if not isinstance(op, FloatConv | FloatPool):
        raise HwgenError(f"{type(op).__name__} cannot be written", where=op.name)
    top, bottom, left, right = op.pad
    common: dict[str, Any] = {"strides": list(op.stride), "pads": [top, left, bottom, right]}
    if isinstance(op, FloatConv):
        return "Conv", common | {"dilations": list(op.dilation), "group": op.groups,
                                 "kernel_shape": list(op.weight.shape[1:3])}
    common["kernel_shape"] = list(op.kernel)
    if op.kind == "max":
        return "MaxPool", common
    return "AveragePool", common | {"count_include_pad": int(op.include_pad)}


def _constant(name: str, values: NDArray[Any]) -> Any:
    return numpy_helper.from_array(np.ascontiguousarray(values, np.float32), name)
