"""The ends of an ONNX network: how its inputs become maps, and what the host does behind the last ones."""

from __future__ import annotations

import math
from dataclasses import replace

from onnx import TensorProto

from hwgen.model.onnx_check import LAYOUT, SAME
from hwgen.model.onnx_file import End, OnnxFile
from hwgen.model.onnx_layout import source_map
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Node
from hwgen.model.onnx_remedies import partly_float
from hwgen.model.onnx_scales import Quantizers
from hwgen.model.onnx_values import Map, Pending, Source, Tail, Unknown, Value, View, Weights
from hwgen.model.ports import FileView, IntegerType, Port, Step

_CALIBRATE = "calibrate with representative data and quantise again"


class Inputs:
    """The inputs of a network, which become ports when their scale is known."""

    def __init__(self, file: OnnxFile, emitter: Emitter, quantizers: Quantizers) -> None:
        self.file, self.emitter, self.quantizers = file, emitter, quantizers
        self.ports: dict[str, Port] = {}

    def value(self, end: End) -> Value:
        """What an input stands for: a `Source`, or the `View` of one that is integers already.

        Raises
        ------
        HwgenError
            When its type is none that the machine's maps can be made from.
        """
        if end.shape is None:  # the file's obstacles say so
            return Unknown()
        where = source_map(self.file, end.name, end.shape)
        if end.type == "float32" or self._is_cast(end.name):
            return Source(shape=where.shape, order=where.order, seen=where.seen, name=end.name, given=where.order)
        if end.type in ("int8", "uint8"):
            return self._integers(end, where, "uint8" if end.type == "uint8" else "int8")
        raise self.emitter.fail("input", end.name, f"must be float32, int8 or uint8, not {end.type}",
                                "export the network in float32, then quantise it to 8 bits")

    def _is_cast(self, name: str) -> bool:
        """Whether the first operators that do not only move integers make real numbers of them."""
        users = self.file.consumers.get(name, ())
        return bool(users) and all(
            user.op == "Cast" or (user.op in LAYOUT | SAME and self._is_cast(user.outputs[0])) for user in users)

    def cast(self, node: Node, value: Value) -> Value:
        """Real numbers of the input's integers; of what is real already, the same.

        Raises
        ------
        HwgenError
            When it makes anything but float32, or reads quantised integers.
        """
        if node.attrs.get("to") != TensorProto.FLOAT:
            raise self.emitter.fail(node.op, node.name, "makes other numbers than float32",
                                    "compute in float32, and quantise with QuantizeLinear")
        integers = isinstance(value, View) and not value.real
        if integers or isinstance(value, Weights) or (isinstance(value, Tail) and value.quantized is not None):
            raise self.emitter.fail(node.op, node.name, "reads integers, not the numbers that they stand for",
                                    "put DequantizeLinear before it")
        kind = next((end.type for end in self.file.inputs if isinstance(value, Source) and end.name == value.name), "")
        if not isinstance(value, Source) or kind == "float32":
            return value
        step = Step(name=node.name, output=node.outputs[0], source=node.op, kind="cast",
                    attrs={"type": "float32", "from": kind})
        return replace(value, steps=(*value.steps, step))

    def _integers(self, end: End, where: Map, kind: IntegerType) -> View:
        node = self._dequantized(end.name)
        if node is None:
            raise self.emitter.fail("input", end.name, "is integers of no known scale",
                                    "put DequantizeLinear behind it")
        scale, zero, _, _ = self.quantizers.of_map(node, kind)
        view = FileView(key=end.name, shape=where.seen, order=where.order, type=kind)
        tensor = self.emitter.tensor(end.name, where.shape, scale, zero, view)
        self.ports[end.name] = Port(name=end.name, map=tensor.name, view=view, type=kind, shape=where.seen,
                                    scale=scale, zero_point=zero + 128 * (kind == "uint8"))
        return View(shape=where.shape, order=where.order, seen=where.seen, tensor=tensor, real=False, type=kind)

    def _dequantized(self, name: str) -> Node | None:
        """The first DequantizeLinear behind integers."""
        for node in self.file.consumers.get(name, ()):
            if node.op == "DequantizeLinear" and node.input(0) == name:
                return node
            if node.op in LAYOUT | SAME | {"MaxPool", "Pad", "Concat"}:
                found = self._dequantized(node.outputs[0])
                if found is not None:
                    return found
        return None

    def quantized(self, node: Node, value: Source) -> View:
        """The map that a QuantizeLinear makes of an input.

        Raises
        ------
        HwgenError
            When the input is quantised in two ways.
        """
        scale, zero, kind, limits = self.quantizers.of_map(node, "")
        seen = FileView(key=node.outputs[0], shape=value.seen, order=value.order, type=kind, real=node.input(0),
                        limits=limits)
        if value.name not in self.ports:
            end = next(end for end in self.file.inputs if end.name == value.name)
            assert end.shape is not None  # it would be unknown
            tensor = self.emitter.tensor(node.outputs[0], value.shape, scale, zero, seen)
            self.emitter.limits[tensor.name] = limits
            step = Step(name=node.name, output=tensor.name, source=node.op, kind="quantize",
                        attrs={"scale": scale, "zero_point": zero, "limits": limits})
            port = FileView(key=node.outputs[0], shape=end.shape, order=value.given, real=node.input(0))
            self.ports[value.name] = Port(name=value.name, map=tensor.name, view=port, type=end.type, shape=end.shape,
                                          steps=(*value.steps, step), scale=float(end.type != "float32"))
        tensor = self.emitter.tensors[self.ports[value.name].map]
        same = (tensor.scale, tensor.zero_point, tensor.shape) == (scale, zero, value.shape)
        if not same or self.emitter.limits[tensor.name] != limits or self.ports[value.name].steps[:-1] != value.steps:
            raise self.emitter.fail(node.op, node.name, "the input is quantised in two ways",
                                    "quantise the network's input once")
        return View(shape=value.shape, order=value.order, seen=value.seen, tensor=tensor, real=False, type=kind)


def dequantize_step(view: View, name: str, output: str) -> Step:
    """What the host does to a map whose real values it goes on with."""
    return Step(name=name, output=output, source="DequantizeLinear", kind="dequantize",
                attrs={"scale": view.tensor.scale, "zero_point": view.tensor.zero_point})


def softmax(node: Node, value: Value, opset: int, emitter: Emitter) -> Tail:
    """Softmax or LogSoftmax: before operator set 13, over all axes from ``axis`` (1 if not given) on.

    Raises
    ------
    HwgenError
        When its input is not a quantised map, or the axis is none of it.
    """
    if not isinstance(value, View) or not value.real:
        raise emitter.fail(node.op, node.name, "its input is not quantised", partly_float(emitter.file))
    old = opset < 13
    rank, axis = len(value.seen), int(node.attrs.get("axis", 1 if old else -1))
    if not -rank <= axis < rank:
        raise emitter.fail(node.op, node.name, f"its input has no axis {axis}", "export the network again")
    axis += rank if axis < 0 else 0
    several = old and math.prod(value.seen[axis + 1 :]) != 1
    kind = Step(name=node.name, output=node.outputs[0], source=node.op,
                kind="log_softmax" if node.op == "LogSoftmax" else "softmax",
                attrs={"axis": axis, "flatten": True} if several else {"axis": axis})
    return Tail(view=value, seen=value.seen, steps=(dequantize_step(value, f"{node.name}/dequantize", ""), kind))


def requantized(node: Node, value: Tail, quantizers: Quantizers) -> Tail:
    """A QuantizeLinear or DequantizeLinear behind what the host computes."""
    if node.op == "QuantizeLinear":
        scale, zero, kind, (low, high) = quantizers.of_map(node, "")
        offset = 128 if kind == "uint8" else 0
        attrs = {"scale": scale, "zero_point": zero + offset, "type": kind, "limits": (low + offset, high + offset)}
        quantized = (scale, zero + offset, str(kind))
    else:
        of = "" if value.quantized is None else value.quantized[2]
        scale, zero, kind, _ = quantizers.of_map(node, of)
        attrs = {"scale": scale, "zero_point": zero + 128 * (kind == "uint8"), "type": kind}
        quantized = None
    step = Step(name=node.name, output=node.outputs[0], source=node.op,
                kind="quantize" if quantized else "dequantize", attrs=attrs)
    return replace(value, steps=(*value.steps, step), quantized=quantized)


def output_port(end: End, value: Value | None, emitter: Emitter) -> Port:
    """An output of the network.

    Raises
    ------
    HwgenError
        When it is no quantised map, nor what the host makes of one.
    """
    if isinstance(value, Pending):
        raise emitter.fail(value.op, value.node, "the output is not quantised", partly_float(emitter.file))
    if not isinstance(value, View | Tail):
        raise emitter.fail("output", end.name, "does not depend on quantised layers", _CALIBRATE)
    view = value.view if isinstance(value, Tail) else value
    tensor = view.tensor
    if isinstance(value, View) and not value.real:
        seen = FileView(key=tensor.name, shape=view.seen, order=view.order, type=view.type)
        return Port(name=end.name, map=tensor.name, view=seen, type=view.type, shape=view.seen, scale=tensor.scale,
                    zero_point=tensor.zero_point + 128 * (view.type == "uint8"))
    seen = FileView(key=tensor.name, shape=view.seen, order=view.order)
    if isinstance(value, View):
        steps: tuple[Step, ...] = (dequantize_step(view, f"{end.name}/dequantize", end.name),)
        return Port(name=end.name, map=tensor.name, view=seen, type="float32", shape=view.seen, steps=steps)
    scale, zero, kind = value.quantized or (0.0, 0, "float32")
    return Port(name=end.name, map=tensor.name, view=seen, type=kind, shape=value.seen, steps=value.steps, scale=scale,
                zero_point=zero)
