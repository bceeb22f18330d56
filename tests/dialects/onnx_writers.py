"""Float networks quantised by hand, each exporter's way: what reads a map that it computes with is given a quantised
one. What only picks or clips values may read what is not quantised yet.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tests.dialects.onnx_floats import Floats
from tests.model.onnx_networks import Net, ranges

WEIGHTED = {"Conv": 0, "Gemm": 0, "MatMul": 1}
"""Operators with weights, and the axis of their output channels."""

PASSED = {"Relu": True, "Clip": True, **dict.fromkeys(("BatchNormalization", "Mul", "Div", "Sub"), False)}
"""Operators that read what a layer gives, and whether also what was clipped or picked."""

LAYERS = {*WEIGHTED, "BatchNormalization", "Mul", "Div", "Sub"}

PICKS = {"MaxPool", "GlobalMaxPool", "Slice", "Pad", "Reshape", "Transpose", "Flatten", "Concat"}


class Writer(Net, ABC):
    """Writes a network node by node; a dialect says how quantisers look."""

    domains: tuple[str, ...] = ()
    """Operator sets besides ONNX's."""

    late = True
    """Whether quantisers may come behind what picks values."""

    def __init__(self, floats: Floats, output: str) -> None:
        super().__init__(floats.rng, floats.shape)
        self.floats, self.output = floats, output
        self.values = {tensor.name: numpy_helper.to_array(tensor) for tensor in floats.constants}
        self.ranges = ranges(floats)
        self.kinds = {name: node.op_type for node in floats.nodes for name in node.output}
        self.uses = [name for node in floats.nodes for name in node.input]
        self.made: dict[str, str] = {"x": "x"}
        self.quantisers: dict[str, str] = {}

    @abstractmethod
    def activation(self, source: str, low: float, high: float) -> str:
        """The quantised value."""

    @abstractmethod
    def weight(self, value: NDArray[np.float32], axis: int) -> str:
        """A quantised constant."""

    def bias(self, value: NDArray[np.float32]) -> str:
        return self.constant(value)

    def save(self, path: Path) -> Path:
        for node in self.floats.nodes:
            self.made[node.output[0]] = self.written(node)
        output = self.map(self.output)
        model = self.model(output, batch=self.pick(1, "batch"))
        del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid("", self.pick(13, 15, 17)))
        model.opset_import.extend(helper.make_opsetid(domain, 1) for domain in self.domains)
        onnx.save(model, path)
        return path

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def written(self, node: onnx.NodeProto) -> str:
        attrs = {attr.name: helper.get_attribute_value(attr) for attr in node.attribute}
        kind = node.op_type
        inputs = []
        for position, name in enumerate(node.input):
            value = self.values.get(name)
            if value is None:
                alone = self.uses.count(name) == 1 and name != "x"
                raw = alone and (PASSED.get(kind) or (kind in PASSED and self.kinds[name] in LAYERS)
                                 or (kind in PICKS and self.late and self.rng.integers(2)))
                inputs.append(self.made[name] if raw else self.map(name))
            elif kind in WEIGHTED and position == 1:
                inputs.append(self.weight(value, 0 if attrs.get("transB") or kind == "Conv" else 1))
            else:
                inputs.append(self.bias(value) if kind in WEIGHTED else self.constant(value, value.dtype))
        return self.node(kind, *inputs, **attrs)

    def map(self, name: str) -> str:
        """A value of the float network, quantised once."""
        if name not in self.quantisers:
            self.quantisers[name] = self.activation(self.made[name], *self.ranges[name])
        return self.quantisers[name]

    def scales(self, value: NDArray[np.float32], axis: int, top: int) -> NDArray[np.float32]:
        """For each place of an axis."""
        others = tuple(a for a in range(value.ndim) if a != axis)
        return np.maximum(np.abs(value).max(axis=others), 1e-3).astype(np.float32) / np.float32(top)


class _Affine(Writer):
    """uint8 with a zero point, or int8 around 0."""

    def activation(self, source: str, low: float, high: float) -> str:
        low, high = min(low, 0.0), max(high, 1e-3)
        if self.rng.integers(2):
            scale, kind = (high - low) / 255, np.uint8
            zero = int(np.clip(np.rint(-low / scale), 0, 255))
        else:
            scale, zero, kind = max(high, -low) / 127, 0, np.int8
        s, z = self.constant(scale), self.constant(zero, kind)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", source, s, z), s, z)


class Nncf(_Affine):
    """Weights are real constants behind QuantizeLinear and DequantizeLinear, biases real."""

    late = False

    def weight(self, value: NDArray[np.float32], axis: int) -> str:
        scale = self.scales(value, axis, 127)
        s, z = self.constant(scale), self.constant(np.zeros(scale.shape), np.int8)
        q = self.node("QuantizeLinear", self.constant(value), s, z, axis=axis)
        return self.node("DequantizeLinear", q, s, z, axis=axis)


class Pt2e(_Affine):
    """Weights are integers behind DequantizeLinear, biases real; quantisers stand in front of what reads them."""

    def weight(self, value: NDArray[np.float32], axis: int) -> str:
        scale = self.scales(value, axis, 127)
        form = [-1 if a == axis else 1 for a in range(value.ndim)]
        q = np.clip(np.rint(value / scale.reshape(form)), -127, 127)
        return self.node("DequantizeLinear", self.constant(q, np.int8), self.constant(scale),
                         self.constant(np.zeros(scale.shape), np.int8), axis=axis)


class Qcdq(Writer):
    """Brevitas: integers of any width, clipped between QuantizeLinear and DequantizeLinear, without zero points."""

    def activation(self, source: str, low: float, high: float) -> str:
        bits = int(self.rng.choice([8, 8, 7, 6, 5, 4]))
        unsigned = low >= 0
        least, top = (0, (1 << bits) - 1) if unsigned else (-(1 << bits - 1), (1 << bits - 1) - 1)
        scale = max(high, -low, 1e-3) / top
        if self.rng.integers(2):
            scale = 2.0 ** np.ceil(np.log2(scale))
        return self.clipped(source, self.constant(scale), least, top, np.uint8 if unsigned else np.int8, bits < 8, {})

    def clipped(self, source: str, scale: str, least: int, top: int, kind: type, clip: bool,
                attrs: dict[str, int]) -> str:
        zero = self.constant(np.zeros(self.scale_shape(scale)), kind)
        q = self.node("QuantizeLinear", source, scale, zero, **attrs)
        q = self.node("Clip", q, self.constant(least, kind), self.constant(top, kind)) if clip else q
        return self.node("DequantizeLinear", q, scale, zero, **attrs)

    def scale_shape(self, scale: str) -> tuple[int, ...]:
        return next(tuple(tensor.dims) for tensor in self.constants if tensor.name == scale)

    def weight(self, value: NDArray[np.float32], axis: int) -> str:
        bits = int(self.rng.choice([8, 6, 4, 3]))
        top = (1 << bits - 1) - 1
        scale = self.constant(self.scales(value, axis, top))
        return self.clipped(self.constant(value), scale, -top, top, np.int8, True, {"axis": axis})


class Qonnx(Writer):
    """Quantisers of one node, of any width, for weights and biases, too."""

    domains = ("qonnx.custom_op.general",)

    def activation(self, source: str, low: float, high: float) -> str:
        bits = int(self.rng.choice([8, 8, 7, 6, 5, 4]))
        signed = int(low < 0)
        return self.quant(source, max(high, -low, 1e-3) / (1 << bits - signed), bits, signed)

    def quant(self, source: str, scale: object, bits: int, signed: int = 1, narrow: int = 0) -> str:
        return self.node("Quant", source, self.constant(scale), self.constant(0.0), self.constant(float(bits)),
                         domain="qonnx.custom_op.general", signed=signed, narrow=narrow, rounding_mode="ROUND")

    def weight(self, value: NDArray[np.float32], axis: int) -> str:
        bits = int(self.rng.choice([8, 6, 4, 3]))
        form = [-1 if a == axis else 1 for a in range(value.ndim)]
        return self.quant(self.constant(value), self.scales(value, axis, (1 << bits - 1) - 1).reshape(form), bits,
                          narrow=1)

    def bias(self, value: NDArray[np.float32]) -> str:
        return self.quant(self.constant(value), 1e-3, 16) if self.rng.integers(2) else self.constant(value)


def by_hand(writer: type[Writer], seed: int, folder: Path) -> Path:
    """The file of a seed, quantised by a writer."""
    floats = Floats(seed)
    return writer(floats, floats.grow()).save(folder / f"{writer.__name__.lower()}{seed}.onnx")
