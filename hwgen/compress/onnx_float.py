"""Read an ONNX network as a float one: as PyTorch exports it, or with quantisers (QDQ), which are taken out.

The walk, the layout of axes and the operators are those of the quantised reader; only what a value becomes differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.compress.graph import Activation, BatchNorm, FloatAdd, FloatConv, FloatGraph, FloatPool, softmaxes
from hwgen.compress.passes import fuse_activations
from hwgen.errors import HwgenError
from hwgen.model.graph import Concat, Op, Pool, Tensor
from hwgen.model.onnx_affine import AFFINE
from hwgen.model.onnx_check import LAYOUT
from hwgen.model.onnx_file import End, OnnxFile, open_onnx
from hwgen.model.onnx_layers import Layers
from hwgen.model.onnx_layout import CHANNELS_FIRST, as_placed, relayout, source_map
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Array, Node
from hwgen.model.onnx_reader import Reader
from hwgen.model.onnx_values import Map, Pending, Tail, Unknown, Value, View, Weights
from hwgen.model.ports import FileView, Port


def read_onnx_float(path: str | Path) -> FloatGraph:
    """Read a network.

    Of a quantised network, weights are dequantised, and rounding and saturation of maps are dropped; where a map's
    zero point is its smallest integer, which is how exporters write a ReLU, there is a ReLU.

    Parameters
    ----------
    path : str or Path
        A .onnx file with one input and one output, batch 1 or symbolic.

    Raises
    ------
    HwgenError
        Not an ONNX file; unsupported operators (all of them listed); NaN in weights; batch other than 1; dynamic sizes.
    """
    file = open_onnx(path)
    if (len(file.inputs), len(file.outputs)) != (1, 1):
        file.obstacles.add("", "", f"it has {len(file.inputs)} inputs and {len(file.outputs)} outputs",
                           "compress networks of one input and one output: onnx.utils.extract_model")
    for what, ends in (("input", file.inputs), ("output", file.outputs)):
        for end in ends:
            if end.type.startswith(("int", "uint")):
                file.obstacles.add(what, end.name, f"must be real numbers, not {end.type}",
                                   "compress the float network, or cut the quantisers off its ends "
                                   "(onnx.utils.extract_model)")
    return _FloatReader(file).read_float()


class _FloatEmitter(Emitter):
    """Emits operators of the float graph."""

    def emit(self, op: Op) -> None:
        if isinstance(op, Pool):
            op = FloatPool(name=op.name, inputs=op.inputs, output=op.output, source=op.source, kind=op.kind,
                           kernel=op.kernel, stride=op.stride, pad=op.pad)
        super().emit(op)

    def write(self, pending: Pending, output: Tensor) -> None:
        common: dict[str, Any] = {"name": pending.node, "inputs": tuple(v.tensor.name for v in pending.inputs),
                                  "output": output.name, "source": pending.op}
        clamp: dict[str, Any] = {"lo": pending.lo, "hi": pending.hi}
        args = dict(pending.args)
        if pending.kind == "conv":
            weight = _real(args.pop("weights"))
            bias = args.pop("bias", None)
            bias = np.zeros(len(weight)) if bias is None else _real(bias).reshape(-1)
            self.emit(FloatConv(**common, **clamp, **args, weight=self._finite(pending, weight),
                                bias=self._finite(pending, np.array(np.broadcast_to(bias, len(weight))))))
        elif pending.kind == "add":
            self.emit(FloatAdd(**common, **clamp))
        elif pending.kind == "average":
            counted = args.pop("counted")
            if any(counted) and counted != args["pad"]:
                raise self.fail(pending.op, pending.node, "ceil_mode together with count_include_pad",
                                "pad explicitly and use ceil_mode=0")
            self.emit(FloatPool(**common, **clamp, **args, include_pad=any(counted), kind="average"))
        elif pending.kind == "concat":
            joined = self.tensor(f"{output.name}/concat", output.shape, 1.0, 0) if pending.clamped else output
            self.emit(Concat(**{**common, "output": joined.name}, axis=args["axis"]))
            if pending.clamped:
                self.emit(Activation(name=f"{pending.node}/clamp", inputs=(joined.name,), output=output.name, **clamp))
        else:
            self.emit(Activation(**common, **clamp))

    def _finite(self, pending: Pending, values: Array) -> Array:
        values = np.ascontiguousarray(values, np.float32)
        if not np.isfinite(values).all():
            raise self.fail(pending.op, pending.node, "its weights and bias must be finite, but hold NaN or infinity",
                            "train or export it again")
        return values


class _FloatLayers(Layers):
    """Operators whose weights are float constants."""

    def build(self, node: Node, inputs: list[Value]) -> Value:
        if node.op == "BatchNormalization":
            return self._normalise(node, inputs)
        value = (inputs[2] if node.input(2) else node.attrs.get("value", 0.0)) if node.op == "Pad" else 0.0
        if isinstance(value, np.ndarray | float) and np.any(value):
            raise self._fail(node, f"pads with {np.asarray(value).reshape(-1)[0]:g}", "pad with zero")
        return super().build(node, inputs)

    def _weights(self, node: Node, value: Value, ranks: Sequence[int]) -> Weights:
        if not isinstance(value, np.ndarray) or value.ndim not in ranks or value.dtype.kind != "f":
            raise self._fail(node, f"its weights must be float constants with {' or '.join(map(str, ranks))} "
                             "dimensions", "freeze the network")
        return _plain(value)

    def _normalise(self, node: Node, inputs: list[Value]) -> View:
        x = self._view(node, inputs[0])
        x = as_placed(x, [CHANNELS_FIRST.get(len(x.seen), ())], node, self.emitter)
        names = ("gamma", "beta", "mean", "variance")
        values: dict[str, Any] = {}
        for name, value in zip(names, inputs[1:], strict=True):
            if not isinstance(value, np.ndarray) or value.shape != (x.shape[3],) or not np.isfinite(value).all():
                raise self._fail(node, f"its {name} must be {x.shape[3]} finite constants", "export the network again")
            values[name] = value.astype(np.float32)
        if node.attrs.get("training_mode", 0):
            raise self._fail(node, "is in training mode", "export the network after .eval()")
        output = self.emitter.tensor(node.outputs[0], x.shape, 1.0, 0)
        self.emitter.emit(BatchNorm(name=node.name, inputs=(x.tensor.name,), output=output.name, source=node.op,
                                    epsilon=float(node.attrs.get("epsilon", 1e-5)), **values))
        return replace(x, tensor=output)


class _FloatReader(Reader):
    """A walk in which every map has its real values, and quantisers only pass them on."""

    def __init__(self, file: OnnxFile) -> None:
        super().__init__(file, _FloatLayers(file, _FloatEmitter(file.name)))
        self.start: Map | None = None

    def read_float(self) -> FloatGraph:
        self.walk()
        self.check("the network cannot be compressed:")
        name = self.file.outputs[0].name
        value = self._lowered(name) if name in self.values else None
        if not self.emitter.ops or not isinstance(value, View | Tail):
            raise HwgenError("the network computes nothing from its input", where=self.file.name)
        view, steps = (value, ()) if isinstance(value, View) else (value.view, value.steps)
        steps = tuple(step for step in steps if step.kind != "dequantize")
        output, start = view.tensor.name, self.file.inputs[0]
        shapes = {name: tensor.shape for name, tensor in self.emitter.tensors.items()}
        assert self.start is not None and start.shape is not None  # or it would have been an obstacle
        ends = (Port(name=start.name, map=start.name, type="float32", shape=start.shape,
                     view=FileView(key=start.name, shape=self.start.seen, order=self.start.order)),
                Port(name=name, map=output, type="float32", shape=value.seen, steps=steps,
                     view=FileView(key=output, shape=view.seen, order=view.order)))
        return fuse_activations(FloatGraph(self.file.name, shapes, (*self.emitter.ops, *softmaxes(steps, output)),
                                           start.name, output, ends=ends))

    def _input(self, end: End) -> Value:
        if end.shape is None:  # the file's obstacles say so
            return Unknown()
        self.start = where = source_map(self.file, end.name, end.shape)
        start = self.emitter.tensor(end.name, where.shape, 1.0, 0)
        return View(shape=where.shape, order=where.order, seen=where.seen, tensor=start)

    def _lowered(self, name: str) -> Value:
        value = self.values[name]
        if isinstance(value, Pending):
            self.values[name] = value = self.emitter.lower(value, name, 1.0, 0)
        return value

    def _node(self, node: Node) -> Value:
        if node.op in LAYOUT and isinstance(value := self.values.get(node.input(0)), np.ndarray):
            # A dequantised constant, which the file does not fold.
            weights = relayout(node, _plain(value), self.file, self.emitter)
            assert isinstance(weights, Weights)
            return weights.values
        return super()._node(node)

    def _value(self, node: Node, position: int) -> Value:
        value = super()._value(node, position)
        if isinstance(value, Pending) and not self._fuses(node, value, position):
            return self._lowered(node.input(position))
        return value

    def _fuses(self, node: Node, value: Pending, position: int) -> bool:
        """Whether a node only changes the waiting operator before it: an activation, or a bias."""
        if len(self.file.consumers[node.input(position)]) > 1:
            return False
        if node.op in ("Relu", "Clip"):
            return True
        other = node.input(1 - position) if node.op in AFFINE - {"BatchNormalization"} else ""
        constant = other in self.file.consts or isinstance(self.values.get(other), np.ndarray)
        return constant and value.kind == "conv" and not value.clamped

    def _quantize(self, node: Node) -> Value:
        value = self._value(node, 0)
        if isinstance(value, np.ndarray):
            return _real(self.quantizers.quantized(node, value))
        found = self.quantizers.read(node, "")
        # The input's integers say nothing about a ReLU.
        if not isinstance(value, View) or value.tensor.name == self.file.inputs[0].name or (
                int(found.zero_point[0]) != found.limits[0]):
            return value
        relu = Pending(shape=value.shape, order=value.order, seen=value.seen, kind="same", node=f"{node.name}/relu",
                       op=node.op, inputs=(value,), lo=0.0)
        return self.emitter.lower(relu, node.outputs[0], 1.0, 0)

    def _dequantize(self, node: Node) -> Value:
        value = self._value(node, 0)
        if isinstance(value, np.ndarray) and value.dtype.kind in "iuV":
            return _real(self.quantizers.weights(node, value))
        return value


def _plain(value: Array) -> Weights:
    return Weights(values=value, scale=np.ones(1, np.float32), zero_point=np.zeros(1, np.int64))


def _real(value: Weights | Array) -> Array:
    """Real values of a constant, quantised or not."""
    if isinstance(value, Weights):
        return value.values if value.values.dtype.kind == "f" else value.real().astype(np.float32)
    return value
