"""Read an ONNX network as a float one: as PyTorch exports it, or with quantisers (QDQ), which are taken out.

The walk, the layout of axes and the operators are those of the quantised reader; only what a value becomes differs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hwgen.compress.graph import Activation, BatchNorm, FloatAdd, FloatConv, FloatGraph, FloatPool, softmaxes
from hwgen.compress.passes import fuse_activations
from hwgen.errors import HwgenError
from hwgen.model.graph import Concat, Op, Pool, Tensor
from hwgen.model.onnx_check import preflight
from hwgen.model.onnx_file import OnnxFile, open_onnx
from hwgen.model.onnx_layers import Layers, Value
from hwgen.model.onnx_layout import source_shape
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Array, Node
from hwgen.model.onnx_reader import Reader
from hwgen.model.onnx_values import Pending, Tail, View, Weights


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
    preflight(file, real=True)
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
            self.emit(FloatPool(**common, **clamp, **args, kind="average"))
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
            raise self.fail(pending.node, "its weights and bias must be finite, but hold NaN or infinity",
                            "train or export it again")
        return values


class _FloatLayers(Layers):
    """Operators whose weights are float constants."""

    def build(self, node: Node, inputs: list[Value]) -> Value:
        if node.op == "BatchNormalization":
            return self._normalise(node, inputs)
        return super().build(node, inputs)

    def _weights(self, node: Node, value: Value, rank: int) -> Weights:
        if not isinstance(value, np.ndarray) or value.ndim != rank or value.dtype.kind != "f":
            raise self._fail(node, f"its weights must be float constants with {rank} dimensions", "freeze the network")
        return Weights(values=value, scale=np.ones(1, np.float32), zero_point=np.zeros(1, np.int64))

    def _normalise(self, node: Node, inputs: list[Value]) -> View:
        x = self._view(node, inputs[0])
        if x.flat and x.shape[:3] != (1, 1, 1):
            raise self._fail(node, "normalises a flattened map", "put it before Flatten")
        if not x.flat:
            self._image(node, x)
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
        return View(shape=x.shape, perm=x.perm, flat=x.flat, tensor=output)


class _FloatReader(Reader):
    """A walk in which every map has its real values, and quantisers only pass them on."""

    def __init__(self, file: OnnxFile) -> None:
        super().__init__(file, _FloatLayers(file, _FloatEmitter(file.name)))

    def read_float(self) -> FloatGraph:
        shape, perm, flat = source_shape(self.file)
        start = self.emitter.tensor(self.file.input, shape, 1.0, 0)
        self.values[self.file.input] = View(shape=shape, perm=perm, flat=flat, tensor=start)
        for node in self.file.nodes:
            self.values[node.outputs[0]] = self._node(node)
        value = self._lowered(self.file.output) if self.file.output in self.values else None
        if not self.emitter.ops or not isinstance(value, View | Tail):
            raise HwgenError("the network computes nothing from its input", where=self.file.name)
        output = value.tensor.name if isinstance(value, View) else self._before_softmax()
        shapes = {name: tensor.shape for name, tensor in self.emitter.tensors.items()}
        after = softmaxes(self.steps, output)
        return fuse_activations(FloatGraph(self.file.name, shapes, (*self.emitter.ops, *after), start.name, output))

    def _before_softmax(self) -> str:
        assert self.last is not None  # a tail stands behind a map
        return self.last.tensor.name

    def _lowered(self, name: str) -> Value:
        value = self.values[name]
        if isinstance(value, Pending):
            self.values[name] = value = self.emitter.lower(value, name, 1.0, 0)
        return value

    def _node(self, node: Node) -> Value:
        if node.op == "Transpose" and isinstance(value := self.values.get(node.input(0)), np.ndarray):
            return value.transpose(node.attrs.get("perm"))  # a dequantised constant, which the file does not fold
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
        other = node.input(1 - position) if node.op == "Add" else ""
        constant = other in self.file.consts or isinstance(self.values.get(other), np.ndarray)
        return constant and value.kind == "conv" and not value.clamped and value.args.get("bias") is None

    def _quantize(self, node: Node) -> Value:
        value = self._value(node, 0)
        if isinstance(value, np.ndarray):
            return _real(self._quantized_constant(node, value))
        _, zero, kind = self._parameters(node)
        # The input's integers say nothing about a ReLU.
        if not isinstance(value, View) or value.tensor.name == self.file.input or int(zero[0]) != np.iinfo(kind).min:
            return value
        relu = Pending(shape=value.shape, perm=value.perm, flat=value.flat, kind="same", node=f"{node.name}/relu",
                       op=node.op, inputs=(value,), lo=0.0)
        return self.emitter.lower(relu, node.outputs[0], 1.0, 0)

    def _dequantize(self, node: Node) -> Value:
        value = self._value(node, 0)
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
            scale, zero, _ = self._parameters(node)
            return _real(self._weights(node, value, scale, zero))
        return value


def _real(value: Weights | Array) -> Array:
    """Real values of a constant, quantised or not."""
    if isinstance(value, Weights):
        return value.values if value.values.dtype.kind == "f" else value.real().astype(np.float32)
    return value
