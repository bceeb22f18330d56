"""Write a quantised graph as a standard ONNX QDQ network, which Netron, ONNX Runtime and our reader load.

Inputs and outputs are float with a symbolic batch, laid out as in the ONNX file that the graph comes from, else NHWC;
between them the network is NCHW as ONNX wants it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from hwgen.errors import HwgenError
from hwgen.model.graph import Add, Concat, Conv, Graph, Op, Pad, Pool, Requantize, Reshape, Tensor
from hwgen.model.onnx_places import write_input, write_output, write_steps
from hwgen.model.ports import FileView, Port

OPSET = 17
IR_VERSION = 8
_End = tuple[str, int, list[Any]]
_TO_NCHW, _TO_NHWC = [0, 3, 1, 2], [0, 2, 3, 1]


def write_onnx(graph: Graph, path: str | Path) -> None:
    """Write a graph to a file.

    Weight scales are ``Conv.weight_scale``, or follow from the multipliers. A graph that `read_onnx` made comes back
    with the same integers; of other graphs the rounding (TFLite's) is not kept: it becomes half to even.

    Parameters
    ----------
    graph : Graph
    path : str or Path
        Written as .onnx, weights inside.

    Raises
    ------
    HwgenError
        When the graph holds something ONNX QDQ cannot state.
    """
    graph = _renamed(_with_ends(graph))
    builder = Builder(graph)
    for port in graph.inputs:
        tensor = graph.tensors[port.map]
        builder.quantize(write_input(builder, port.name, port.view, tensor.shape), tensor)
    for op in graph.ops:
        builder.operator(op)
    for port in graph.outputs:
        value = write_output(builder, builder.dequantized(port.map), port.name, port.view,
                             graph.tensors[port.map].shape)
        steps = port.steps[1:] if port.steps and port.steps[0].kind == "dequantize" else port.steps
        value = write_steps(builder, value, port.name, steps)
        builder.node("Identity", [value], port.name, f"{port.name}/identity")
    model = builder.model(_ends(graph.inputs), _ends(graph.outputs))
    onnx.checker.check_model(model, full_check=True)
    Path(path).write_bytes(model.SerializeToString(deterministic=True))


def _ends(ports: Iterable[Port]) -> list[_End]:
    return [(port.name, TensorProto.FLOAT, ["batch", *port.shape[1:]]) for port in ports]


def _with_ends(graph: Graph) -> Graph:
    """The graph with real ends: the ports of an ONNX file as they are, others as NHWC ``x`` and ``y``."""
    if graph.source == "onnx" and all(port.real for port in (*graph.inputs, *graph.outputs)):
        return graph
    return replace(graph, inputs=tuple(_plain(graph, "x", graph.inputs)),
                   outputs=tuple(_plain(graph, "y", graph.outputs)))


def _plain(graph: Graph, name: str, ports: tuple[Port, ...]) -> Iterator[Port]:
    for number, port in enumerate(ports):
        shape = graph.tensors[port.map].shape
        steps = tuple(replace(step, kind="softmax", attrs={**step.attrs, "axis": -1}) for step in port.steps
                      if step.kind in ("softmax", "tflite_softmax"))
        yield replace(port, name=name if len(ports) == 1 else f"{name}{number}", view=FileView(key="", shape=shape),
                      shape=shape, type="float32", steps=steps)


def _renamed(graph: Graph) -> Graph:
    """The graph with maps renamed that are called as the values around them are."""
    ends = [port.name for port in (*graph.inputs, *graph.outputs)]
    taken = {f"{end}{suffix}" for end in ends for suffix in ("", "_nchw", "_nhwc", "_parts", "_placed", "_softmax")}
    names = {name: name for name in graph.tensors}
    for name in taken & set(names):
        while names[name] in taken | set(graph.tensors):
            names[name] += "_map"
    if all(old == new for old, new in names.items()):
        return graph
    return replace(
        graph, tensors={names[n]: replace(t, name=names[n]) for n, t in graph.tensors.items()},
        ops=tuple(replace(op, inputs=tuple(names.get(n, n) for n in op.inputs), output=names.get(op.output, op.output))
                  for op in graph.ops),
        inputs=tuple(replace(port, map=names[port.map]) for port in graph.inputs),
        outputs=tuple(replace(port, map=names[port.map]) for port in graph.outputs))


class Builder:
    """Collects nodes and constants. A map's quantised name is its tensor's; nothing is emitted twice."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}
        self.known: set[str] = set()

    def model(self, inputs: list[_End], outputs: list[_End]) -> onnx.ModelProto:
        """The finished model."""
        proto = helper.make_graph(self.nodes, self.graph.name, [helper.make_tensor_value_info(*v) for v in inputs],
                                  [helper.make_tensor_value_info(*v) for v in outputs], list(self.constants.values()))
        return helper.make_model(proto, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
                                 producer_name="hwgen")

    def node(self, kind: str, inputs: list[str], output: str, name: str, **attrs: Any) -> str:
        """Append a node; returns its output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=name, **attrs))
        return output

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """A constant, once per name."""
        self.constants.setdefault(name, numpy_helper.from_array(value, name))
        return name

    def quantize(self, value: str, tensor: Tensor) -> str:
        """``value`` quantised into the map ``tensor``."""
        return self.node("QuantizeLinear", [value, *self._scale(tensor)], tensor.name, f"{tensor.name}/quantize")

    def dequantized(self, name: str) -> str:
        """The real values of a map."""
        output = f"{name}/real"
        if output not in self.known:
            self.known.add(output)
            self.node("DequantizeLinear", [name, *self._scale(self.graph.tensors[name])], output, f"{name}/dequantize")
        return output

    def _scale(self, tensor: Tensor) -> list[str]:
        return [self.constant(f"{tensor.name}/scale", np.array(tensor.scale, np.float32)),
                self.constant(f"{tensor.name}/zero_point", np.array(tensor.zero_point, np.int8))]

    def operator(self, op: Op) -> None:
        """Append an operator between the maps it reads and the map it writes."""
        inputs = [self.dequantized(name) for name in op.inputs]
        output = self.graph.tensors[op.output]
        limits = (-128, 127)
        real = f"{op.output}/before"
        if isinstance(op, Conv):
            self._conv(op, inputs[0], real)
            limits = (op.requant.qmin, op.requant.qmax)
        elif isinstance(op, Pool):
            self._pool(op, inputs[0], real)
            limits = op.limits
        elif isinstance(op, Add):
            self.node("Add", inputs, real, op.name)
            limits = (op.requant.qmin, op.requant.qmax)
        elif isinstance(op, Requantize):
            real = inputs[0]
            limits = (op.requant.qmin, op.requant.qmax)
        elif isinstance(op, Concat):
            self.node("Concat", inputs, real, op.name, axis={1: 2, 2: 3, 3: 1}[op.axis])
        elif isinstance(op, Pad):
            top, bottom, left, right = op.pad
            pads = self.constant(f"{op.name}/pads", np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
            value = self.constant(f"{op.name}/value", np.array(0, np.float32))
            self.node("Pad", [inputs[0], pads, value], real, op.name)
        elif isinstance(op, Reshape):
            source = self.graph.tensors[op.inputs[0]]
            if (source.scale, source.zero_point) != (output.scale, output.zero_point):
                raise HwgenError("integers that get another scale or zero point have no form in QDQ", where=op.name)
            nhwc = self.node("Transpose", [inputs[0]], f"{real}/nhwc", f"{op.name}/to_nhwc", perm=_TO_NHWC)
            shape = self.constant(f"{op.name}/shape", np.array([-1, *output.shape[1:]], np.int64))
            shaped = self.node("Reshape", [nhwc, shape], f"{real}/shaped", op.name)
            self.node("Transpose", [shaped], real, f"{op.name}/to_nchw", perm=_TO_NCHW)
        else:
            raise HwgenError(f"ONNX has no {type(op).__name__} for it", where=op.name)
        self.quantize(self._clamp(op, real, output, limits), output)

    def _clamp(self, op: Op, real: str, output: Tensor, limits: tuple[int, int]) -> str:
        qmin, qmax = limits
        name = op.name if isinstance(op, Requantize) else f"{op.name}/activation"
        if limits == (-128, 127):
            return real
        if limits == (output.zero_point, 127):
            return self.node("Relu", [real], f"{op.output}/clamped", name)
        bounds = [self.constant(f"{op.name}/{key}", np.array((q - output.zero_point) * output.scale, np.float32))
                  for key, q in (("min", qmin), ("max", qmax))]
        return self.node("Clip", [real, *bounds], f"{op.output}/clamped", name)

    def _conv(self, op: Conv, source: str, real: str) -> None:
        scale = weight_scale(op, self.graph)
        weight, zero = _eight_bits(op)
        input_scale = np.float32(self.graph.tensors[op.inputs[0]].scale)
        axis: dict[str, int] = {"axis": 0}
        w = self.node("DequantizeLinear", [
            self.constant(f"{op.name}/weight", weight), self.constant(f"{op.name}/weight_scale", scale),
            self.constant(f"{op.name}/weight_zero_point", zero)], f"{op.name}/weight_real",
            f"{op.name}/weight_dequantize", **axis)
        b = self.node("DequantizeLinear", [
            self.constant(f"{op.name}/bias", op.bias.astype(np.int32)),
            self.constant(f"{op.name}/bias_scale", (scale * input_scale).astype(np.float32)),
            self.constant(f"{op.name}/bias_zero_point", np.zeros(len(scale), np.int32))], f"{op.name}/bias_real",
            f"{op.name}/bias_dequantize", **axis)
        top, bottom, left, right = op.pad
        self.node("Conv", [source, w, b], real, op.name, kernel_shape=list(weight.shape[2:]), strides=list(op.stride),
                  dilations=list(op.dilation), pads=[top, left, bottom, right], group=op.groups)

    def _pool(self, op: Pool, source: str, real: str) -> None:
        shape = self.graph.tensors[op.inputs[0]].shape
        if op.kind == "average" and op.kernel == shape[1:3] and not any(op.pad):
            self.node("GlobalAveragePool", [source], real, op.name)
            return
        top, bottom, left, right = op.pad
        attrs: dict[str, Any] = {"kernel_shape": list(op.kernel), "strides": list(op.stride),
                                 "pads": [top, left, bottom, right]}
        if op.kind == "average":
            if op.by_count and any(op.counted) and op.counted != op.pad:
                raise HwgenError("ONNX counts all of the padding of a pooling or none of it", where=op.name)
            attrs["count_include_pad"] = int(op.requant is not None or any(op.counted))
        self.node("AveragePool" if op.kind == "average" else "MaxPool", [source], real, op.name, **attrs)


def weight_scale(op: Conv, graph: Graph) -> NDArray[np.float32]:
    """Scale of each output channel's weights: the reader's, or what the multipliers say (1e-30 where they are 0)."""
    if op.weight_scale is not None:
        return np.broadcast_to(op.weight_scale, (len(op.weight),)).astype(np.float32)
    real = op.requant.multiplier * np.exp2(op.requant.shift.astype(np.float64) - 31)
    real = np.broadcast_to(real, (len(op.weight),))
    scale = real * graph.tensors[op.output].scale / graph.tensors[op.inputs[0]].scale
    return np.maximum(scale, 1e-30).astype(np.float32)


def _eight_bits(op: Conv) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Weights (O, I, kh, kw) and zero points of an int8 file; weights less their zero point may need nine bits."""
    low = op.weight.min(axis=(1, 2, 3)).astype(np.int64)
    high = op.weight.max(axis=(1, 2, 3)).astype(np.int64)
    zero = np.where(high > 127, 127 - high, np.where(low < -128, -128 - low, 0))
    if ((low + zero < -128) | (high + zero > 127)).any():
        raise HwgenError(f"the weights of a channel must span at most 256 values, not {int((high - low).max()) + 1}",
                         where=op.name)
    weight = (op.weight.astype(np.int64) + zero.reshape(-1, 1, 1, 1)).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(weight, np.int8), zero.astype(np.int8)
