"""Read a quantised ONNX network (QuantizeLinear / DequantizeLinear around standard operators) into the IR.

The graph is walked once in execution order. A QuantizeLinear gives the operator before it its output scale, so real
valued results wait (`Pending`), collecting Relu and Clip, until their QuantizeLinear comes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.model.graph import Graph
from hwgen.model.onnx_check import LAYOUT, SAME, preflight
from hwgen.model.onnx_file import OnnxFile, open_onnx
from hwgen.model.onnx_layers import Layers, Value
from hwgen.model.onnx_layout import relayout, source_shape
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Array, Node
from hwgen.model.onnx_passes import fold_pads
from hwgen.model.onnx_values import Map, Pending, Source, Tail, View, Weights
from hwgen.model.ports import FileView, Port, Step

_CALIBRATE = "calibrate with representative data and quantise again"
_AGAIN = "export the network again"


def read_onnx(path: str | Path) -> Graph:
    """Read an ONNX QDQ network.

    uint8 maps become int8 (values and zero points less 128), NCHW becomes NHWC. Outputs round half to even; adds
    follow TFLite's integer rule (`hwgen.model.graph.Add`), within one step of ONNX Runtime.

    Parameters
    ----------
    path : str or Path
        A .onnx file with one input and one output, batch 1 or symbolic.

    Returns
    -------
    Graph
        ``source`` is "onnx".

    Raises
    ------
    HwgenError
        Not an ONNX file; unsupported operators (all of them listed); a network that is not quantised; scales that are
        NaN or not positive; more than 8 bits; batch other than 1; dynamic sizes.
    """
    file = open_onnx(path)
    preflight(file)
    return Reader(file).read()


class Reader:
    """State of one walk: the meaning of every value name, and what has been emitted."""

    def __init__(self, file: OnnxFile, layers: Layers | None = None) -> None:
        self.file = file
        self.layers = layers or Layers(file, Emitter(file.name))
        self.emitter = self.layers.emitter
        self.values: dict[str, Value] = {}
        self.input: Port | None = None
        self.steps: list[Step] = []
        self.last: View | None = None

    def read(self) -> Graph:
        shape, perm, flat = source_shape(self.file)
        self.values[self.file.input] = Source(shape=shape, perm=perm, flat=flat, name=self.file.input, given=perm)
        for node in self.file.nodes:
            self.values[node.outputs[0]] = self._node(node)
        output = self._output()
        assert self.input is not None  # an output that depends on quantised layers has met the input
        graph = Graph(self.file.name, "onnx", self.emitter.tensors, tuple(self.emitter.ops), (self.input,), (output,))
        return fold_pads(graph)

    def _node(self, node: Node) -> Value:
        if node.op == "QuantizeLinear":
            return self._quantize(node)
        if node.op == "DequantizeLinear":
            return self._dequantize(node)
        value = self._value(node, 0)
        if isinstance(value, Tail):
            if node.op in SAME | LAYOUT:
                return value
            raise self._fail(node, "follows the softmax", "cut the network after the softmax")
        if node.op in SAME:
            return value
        if node.op in LAYOUT:
            if isinstance(value, np.ndarray):  # or it would have been folded into a constant
                raise self._fail(node, f"does not fit its constant input of shape {value.shape}", _AGAIN)
            return relayout(node, value, self.file, self.emitter)
        if node.op == "Softmax":
            return self._softmax(node, value)
        inputs = [value, *(self._value(node, i) for i in range(1, len(node.inputs)) if node.input(i))]
        return self.layers.build(node, inputs)

    def _value(self, node: Node, position: int) -> Value:
        name = node.input(position)
        if name in self.values:
            return self.values[name]
        if name in self.file.consts:
            return self.file.consts[name]
        raise self._fail(node, f"input {name!r} is not defined", "the file is damaged: export the network again")

    def _fail(self, node: Node, what: str, remedy: str | None = None) -> HwgenError:
        return self.emitter.fail(f"{node.op} {node.name!r}", what, remedy)

    # Quantise and dequantise

    def _parameters(self, node: Node) -> tuple[Array, Array, np.dtype]:
        """Scales (float32, 1-D), zero points (1-D, of the file's type) and the integer type."""
        scale, zero = (self.file.consts.get(node.input(i)) for i in (1, 2))
        if scale is None or (node.input(2) and zero is None):
            raise self._fail(node, "scale and zero point must be constants",
                             "use static quantisation (quantize_static)")
        if node.attrs.get("block_size", 0):
            raise self._fail(node, "block-wise scales are not supported", "quantise per tensor or per channel")
        scale = self._real(node, scale).reshape(-1)
        if not scale.size:
            raise self._fail(node, "there are no scales", _AGAIN)
        if not np.isfinite(scale).all() or (scale <= 0).any():
            bad = scale[~(np.isfinite(scale) & (scale > 0))][0]
            raise self._fail(node, f"scales must be positive and finite, not {bad:g}", _CALIBRATE)
        if zero is None:
            data = self.file.consts.get(node.input(0)) if node.op == "DequantizeLinear" else None
            zero = np.zeros(scale.shape, np.uint8 if data is None else data.dtype)
        zero = zero.reshape(-1)
        if zero.size != scale.size:
            raise self._fail(node, f"{scale.size} scales but {zero.size} zero points", _AGAIN)
        return scale, zero, zero.dtype

    def _activation(self, node: Node) -> tuple[float, int]:
        """Scale and int8 zero point of a map."""
        scale, zero, kind = self._parameters(node)
        if kind not in (np.int8, np.uint8):
            raise self._fail(node, f"maps must be int8 or uint8, not {kind}", "quantise activations to 8 bits")
        if scale.size != 1:
            raise self._fail(node, f"a map must have one scale, not {scale.size}", "quantise activations per tensor")
        return float(scale[0]), int(zero[0]) - (128 if kind == np.uint8 else 0)

    def _quantize(self, node: Node) -> Value:
        value = self._value(node, 0)
        if isinstance(value, np.ndarray):
            return self._quantized_constant(node, value)
        if isinstance(value, Tail):
            scale, zero = self._activation(node)
            self.steps.append(Step(name=node.name, output=node.outputs[0], source=node.op, kind="quantize",
                                   attrs={"scale": scale, "zero_point": zero}))
            return Tail(name=node.outputs[0])
        if isinstance(value, Weights):
            raise self._fail(node, "quantises a constant that is quantised already", _AGAIN)
        scale, zero = self._activation(node)
        if isinstance(value, Source):
            return self._enter(node, value, scale, zero)
        if isinstance(value, View):
            value = Pending(shape=value.shape, perm=value.perm, flat=value.flat, kind="same", node=node.name,
                            op=node.op, inputs=(value,))
        view = self._file_view(node, value, node.outputs[0])
        value = replace(value, limits=self._limits(node))
        return self.emitter.lower(value, node.outputs[0], scale, zero, view)

    def _limits(self, node: Node) -> tuple[int, int]:
        """The least and greatest int8 value that a QuantizeLinear gives."""
        if node.limits is None:
            return -128, 127
        offset = 128 if self._parameters(node)[2] == np.uint8 else 0
        return node.limits[0] - offset, node.limits[1] - offset

    def _enter(self, node: Node, value: Source, scale: float, zero: int) -> View:
        """The graph input gets its scale."""
        if self.input is None:
            key = node.outputs[0] if self.file.input_float else value.name
            view = self._file_view(node, value, key)
            tensor = self.emitter.tensor(key, value.shape, scale, zero, view)
            step = Step(name=node.name, output=key, source=node.op, kind="quantize",
                        attrs={"scale": scale, "zero_point": zero, "limits": self._limits(node)})
            self.emitter.limits[tensor.name] = self._limits(node)
            real = self.file.input_float
            seen = replace(view, shape=self.file.input_shape, order=value.given, type="int8" if real else view.type)
            self.input = Port(name=value.name, map=tensor.name, view=seen,
                              type="float32" if real else view.type, shape=self.file.input_shape,
                              steps=(step,) if real else (), scale=0.0 if real else scale,
                              zero_point=0 if real else zero + 128 * (view.type == "uint8"))
        tensor = self.emitter.tensors[self.input.map]
        same = (tensor.scale, tensor.zero_point) == (scale, zero) and tensor.shape == value.shape
        if not same or self.emitter.limits[tensor.name] != self._limits(node):
            raise self._fail(node, "the input is quantised in two ways", "quantise the network's input once")
        return View(shape=value.shape, perm=value.perm, flat=value.flat, tensor=tensor)

    def _quantized_constant(self, node: Node, value: Array) -> Weights:
        scale, zero, kind = self._parameters(node)
        self._check_kind(node, kind)
        axis = self._axis(node, value, scale)
        real = self._real(node, value)
        if not np.isfinite(real).all():
            raise self._fail(node, "a constant must be finite, it holds NaN or infinity", "retrain or re-export")
        form = [1] * value.ndim
        if scale.size > 1:
            form[axis] = -1
        limits = node.limits or (np.iinfo(kind).min, np.iinfo(kind).max)
        with np.errstate(over="ignore"):  # what overflows is clipped
            q = np.rint(real / scale.reshape(form)) + zero.astype(np.float64).reshape(form)
        return self._weights(node, np.clip(q, *limits).astype(kind), scale, zero)

    def _dequantize(self, node: Node) -> Value:
        value = self._value(node, 0)
        if isinstance(value, Source):
            return self._enter(node, value, *self._activation(node))
        if isinstance(value, Pending):
            raise self._fail(node, "dequantises a value that is not quantised", _AGAIN)
        if isinstance(value, np.ndarray | Weights):
            values = value.values if isinstance(value, Weights) else value
            scale, zero, _ = self._parameters(node)
            return self._weights(node, values, scale, zero)
        if isinstance(value, Tail):
            real = self._activation(node)
            self.steps.append(Step(name=node.name, output=node.outputs[0], source=node.op, kind="dequantize",
                                   attrs={"scale": real[0], "zero_point": real[1]}))
        if isinstance(value, View):
            own = (value.tensor.scale, value.tensor.zero_point)
            if self._activation(node) != own:
                raise self._fail(node, f"dequantises with scale and zero point {self._activation(node)}, but the map "
                                 f"was quantised with {own}", _AGAIN)
        return value

    def _weights(self, node: Node, values: Array, scale: Array, zero: Array) -> Weights:
        self._check_kind(node, values.dtype)
        if zero.any() and zero.dtype != values.dtype:
            raise self._fail(node, f"zero points of type {zero.dtype} for a constant of type {values.dtype}", _AGAIN)
        return Weights(values=values, scale=scale, zero_point=zero.astype(np.int64),
                       axis=self._axis(node, values, scale))

    def _real(self, node: Node, value: Array) -> NDArray[np.float32]:
        if value.dtype.kind not in "fiuV":  # V: bfloat16 and other types that NumPy does not know
            raise self._fail(node, f"constants must be numbers, not {value.dtype}", _AGAIN)
        return value.astype(np.float32)

    def _check_kind(self, node: Node, kind: np.dtype) -> None:
        if kind not in (np.int8, np.uint8, np.int32):
            raise self._fail(node, f"constants must be int8, uint8 or int32, not {kind}", "quantise weights to 8 bits")

    def _axis(self, node: Node, values: Array, scale: Array) -> int:
        """The axis that the scales of a constant belong to."""
        axis = int(node.attrs.get("axis", 1)) % max(values.ndim, 1)
        if scale.size > 1 and (not values.ndim or values.shape[axis] != scale.size):
            raise self._fail(node, f"{scale.size} scales for a constant of shape {values.shape}", _AGAIN)
        return axis

    # The network's end

    def _softmax(self, node: Node, value: Value) -> Tail:
        if not isinstance(value, View):
            raise self._fail(node, "its input is not quantised", "quantise the layer before it, or remove the softmax")
        axis = node.attrs.get("axis", -1) % len(value.onnx_shape)
        channels_only = value.shape[:3] == (1, 1, 1)
        if not channels_only and (value.flat or value.perm[axis] != 3):
            raise self._fail(node, "softmax must run over the channels", "apply it on the host")
        self.last = value
        real = Step(name=f"{node.name}/dequantize", source="DequantizeLinear", kind="dequantize",
                    attrs={"scale": value.tensor.scale, "zero_point": value.tensor.zero_point})
        self.steps += [real, Step(name=node.name, output=node.outputs[0], source=node.op, kind="softmax",
                                  attrs={"axis": axis})]
        return Tail(name=node.outputs[0])

    def _output(self) -> Port:
        """The network's output, and the device's last map behind it."""
        value = self.values.get(self.file.output)
        if isinstance(value, Pending):
            raise self.emitter.fail(f"{value.op} {value.node!r}", "the output is not quantised",
                                    "quantise the last layer too (QuantizeLinear, DequantizeLinear at the output)")
        view = self.last if isinstance(value, Tail) else value
        if not isinstance(view, View):
            raise HwgenError("the output does not depend on quantised layers", where=self.file.name, remedy=_CALIBRATE)
        tensor, kind = view.tensor, self.file.output_type
        steps = list(self.steps)
        integers = kind in ("int8", "uint8")
        if isinstance(value, View) and not integers:
            steps.append(Step(name=f"{self.file.output}/dequantize", output=self.file.output,
                              source="DequantizeLinear", kind="dequantize",
                              attrs={"scale": tensor.scale, "zero_point": tensor.zero_point}))
        seen = FileView(key=tensor.name, shape=view.onnx_shape, order=view.perm)
        if not integers:
            return Port(name=self.file.output, map=tensor.name, view=seen, type="float32", shape=view.onnx_shape,
                        steps=tuple(steps))
        zero = tensor.zero_point + 128 * (kind == "uint8")
        seen = replace(seen, type="uint8" if kind == "uint8" else "int8")
        return Port(name=self.file.output, map=tensor.name, view=seen, type=kind, shape=view.onnx_shape,
                    steps=tuple(steps), scale=tensor.scale, zero_point=zero)

    def _file_view(self, node: Node, value: Map, key: str) -> FileView:
        """How the file sees a map that ``node`` quantises or dequantises."""
        kind = self._parameters(node)[2]
        return FileView(key=key, shape=value.onnx_shape, order=value.perm,
                        type="uint8" if kind == np.uint8 else "int8",
                        real=node.input(0) if node.op == "QuantizeLinear" else "")
