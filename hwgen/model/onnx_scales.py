"""The parameters of QuantizeLinear and DequantizeLinear: scales, zero points and the type of the integers.

What the operators' specification says for absent inputs: QuantizeLinear without zero point gives ``output_dtype``, or
uint8; DequantizeLinear without zero point takes 0 of the type of its input.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from hwgen.model.onnx_file import OnnxFile
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Array, Node
from hwgen.model.onnx_values import Weights
from hwgen.model.ports import IntegerType

_AGAIN = "export the network again"
_CALIBRATE = "calibrate with representative data and quantise again"

BITS = {"int2": (-2, 1), "uint2": (0, 3), "int4": (-8, 7), "uint4": (0, 15), "int8": (-128, 127), "uint8": (0, 255)}
"""The types of weights, and their least and greatest integers."""

_CONSTANTS = {**BITS, "int32": (-(2**31), 2**31 - 1)}


@dataclass(frozen=True, eq=False)
class Scales:
    """Scales (float32, 1-D), zero points (of the same length), NumPy's name of the integers' type, and the least and
    greatest integer that a QuantizeLinear gives."""

    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    type: str
    limits: tuple[int, int]


class Quantizers:
    """Reads the parameters of the nodes of a file."""

    def __init__(self, file: OnnxFile, emitter: Emitter) -> None:
        self.file, self.emitter = file, emitter

    def read(self, node: Node, of: str) -> Scales:
        """The parameters of a node; ``of`` is the type of the integers that a DequantizeLinear reads.

        Raises
        ------
        HwgenError
            When they are not constants, contradict each other or the type, or are of a kind that is not supported.
        """
        scale, zero = (self.file.consts.get(node.input(i)) for i in (1, 2))
        if scale is None or (node.input(2) and zero is None):
            raise self._fail(node, "scale and zero point must be constants",
                             "use static quantisation (quantize_static)")
        self._attributes(node)
        if scale.dtype != np.float32:
            raise self._fail(node, f"scales must be float32, not {scale.dtype}",
                             "export the network in float32, then quantise it")
        scale = scale.reshape(-1)
        if not scale.size:
            raise self._fail(node, "there are no scales", _AGAIN)
        if not np.isfinite(scale).all() or (scale <= 0).any():
            bad = scale[~(np.isfinite(scale) & (scale > 0))][0]
            raise self._fail(node, f"scales must be positive and finite, not {bad:g}", _CALIBRATE)
        kind = self._type(node, zero, of)
        points = np.zeros(scale.shape, np.int64) if zero is None else zero.reshape(-1).astype(np.int64)
        if points.size != scale.size:
            raise self._fail(node, f"{scale.size} scales but {points.size} zero points", _AGAIN)
        return Scales(scale, points, kind, node.limits or _CONSTANTS.get(kind, (0, 0)))

    def of_map(self, node: Node, of: str) -> tuple[float, int, IntegerType, tuple[int, int]]:
        """Scale, zero point, type and limits of a map; zero point and limits as int8, 128 less than uint8.

        Raises
        ------
        HwgenError
            As `read`, and when there are several scales, or the type is neither int8 nor uint8.
        """
        found = self.read(node, of)
        if found.type not in ("int8", "uint8"):
            raise self._fail(node, f"maps must be int8 or uint8, not {found.type}", "quantise activations to 8 bits")
        if found.scale.size != 1:
            raise self._fail(node, f"a map must have one scale, not {found.scale.size}",
                             "quantise activations per tensor")
        kind: IntegerType = "uint8" if found.type == "uint8" else "int8"
        offset = 128 if kind == "uint8" else 0
        low, high = found.limits
        return float(found.scale[0]), int(found.zero_point[0]) - offset, kind, (low - offset, high - offset)

    def weights(self, node: Node, value: Array | Weights) -> Weights:
        """Constant integers that a DequantizeLinear reads."""
        kind, values = (value.type, value.values) if isinstance(value, Weights) else (value.dtype.name, value)
        found = self.read(node, kind)
        self._constant(node, found)
        return Weights(values=_integers(values), scale=found.scale, zero_point=found.zero_point,
                       axis=self._axis(node, values, found), type=kind)

    def quantized(self, node: Node, value: Array) -> Weights:
        """A real constant that a QuantizeLinear reads."""
        found = self.read(node, "")
        self._constant(node, found)
        axis = self._axis(node, value, found)
        if value.dtype != np.float32:
            raise self._fail(node, f"a real constant must be float32, not {value.dtype}", _AGAIN)
        if not np.isfinite(value).all():
            raise self._fail(node, "a constant must be finite, it holds NaN or infinity", "retrain or re-export")
        form = [1] * value.ndim
        if found.scale.size > 1:
            form[axis] = -1
        with np.errstate(over="ignore"):  # what overflows is clipped
            q = np.rint(value / found.scale.reshape(form)) + found.zero_point.astype(np.float64).reshape(form)
        values = np.clip(q, *found.limits).astype(np.int64)
        kind = np.int32 if found.type == "int32" else np.uint8 if found.type[0] == "u" else np.int8
        return Weights(values=values.astype(kind), scale=found.scale, zero_point=found.zero_point,
                       axis=axis, type=found.type)

    def _attributes(self, node: Node) -> None:
        """Refuse the attributes that change what the operators compute."""
        attrs = node.attrs
        if attrs.get("block_size", 0):
            raise self._fail(node, f"scales per block of {attrs['block_size']} values (block_size) are not supported",
                             "quantise per tensor or per channel")
        if attrs.get("precision", 0) not in (0, TensorProto.FLOAT):
            raise self._fail(node, f"a division in {_name(attrs['precision'])} (precision) is not supported",
                             "leave precision out")
        if node.op == "DequantizeLinear" and attrs.get("output_dtype", 0) not in (0, TensorProto.FLOAT):
            raise self._fail(node, f"dequantises to {_name(attrs['output_dtype'])} (output_dtype)",
                             "export the network in float32, then quantise it")

    def _type(self, node: Node, zero: Array | None, of: str) -> str:
        """The type of the integers."""
        named = int(node.attrs.get("output_dtype", 0)) if node.op == "QuantizeLinear" else 0
        stated = _name(named) if named else of
        if zero is not None and stated and zero.dtype.name != stated:
            what = "output_dtype" if named else "its input"
            raise self._fail(node, f"the zero point is {zero.dtype.name}, {what} {stated}", _AGAIN)
        return zero.dtype.name if zero is not None else stated or "uint8"

    def _constant(self, node: Node, found: Scales) -> None:
        if found.type not in _CONSTANTS:
            raise self._fail(node, f"constants must be integers of 2, 4, 8 or 32 bits, not {found.type}",
                             "quantise weights to 8 bits")

    def _axis(self, node: Node, values: Array, found: Scales) -> int:
        """The axis that the scales of a constant belong to."""
        count = found.scale.size
        if count == 1:
            return 0
        axis = int(node.attrs.get("axis", 1))
        if not -values.ndim <= axis < values.ndim or values.shape[axis] != count:
            raise self._fail(node, f"{count} scales for a constant of shape {values.shape} on axis {axis}", _AGAIN)
        return axis % values.ndim

    def _fail(self, node: Node, what: str, remedy: str) -> Exception:
        return self.emitter.fail(node.op, node.name, what, remedy)


def _integers(values: Array) -> Array:
    """Integers in a container that NumPy computes with."""
    if values.dtype.name in ("int8", "uint8", "int32"):
        return values
    return values.astype(np.uint8 if values.dtype.name[0] == "u" else np.int8)


def _name(kind: int) -> str:
    try:
        return helper.tensor_dtype_to_np_dtype(kind).name
    except KeyError:
        return f"type {kind}"
