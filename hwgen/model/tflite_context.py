"""What the operator converters share: the maps made so far, and one layer's view of the file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.model.graph import MAX_MAP, Op, Tensor
from hwgen.model.ports import FileView
from hwgen.model.tflite_file import FileModel, FileOperator, FileTensor

Pads = tuple[int, int, int, int]


@dataclass
class Context:
    """The graph under construction.

    ``names`` maps a file tensor's number to its map (aliases share one), ``folded`` a PAD output's number to its
    source's map and padding. ``orders`` says of a transposed tensor which axes of its map lie behind its own.
    ``litert``: the file's arithmetic is LiteRT's (`hwgen.model.tflite_kernels`).
    """

    path: str
    model: FileModel
    tensors: dict[str, Tensor] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    folded: dict[int, tuple[str, Pads]] = field(default_factory=dict)
    orders: dict[int, tuple[int, ...]] = field(default_factory=dict)
    litert: bool = False

    def emit(self, op: Op) -> None:
        """Append an operator."""
        self.ops.append(op)

    def map_of(self, index: int, where: str, *, transposed: bool = False) -> Tensor:
        """The map of a file tensor that an earlier operator wrote; ``transposed``: the caller minds the axes' order."""
        if index not in self.names:
            raise HwgenError(f"tensor {index} is read before any operator writes it", where=where)
        if index in self.orders and not transposed:
            raise HwgenError("reads a transposed map", where=where,
                             remedy="build the network channel-last (NHWC), so that the converter emits no transpose")
        return self.tensors[self.names[index]]

    def unpadded(self, index: int) -> tuple[Tensor, Pads]:
        """The map of a file tensor, or the source and padding of a PAD that its only reader absorbs."""
        if index in self.folded:
            name, pads = self.folded[index]
            return self.tensors[name], pads
        return self.map_of(index, self.path), (0, 0, 0, 0)

    def new_map(self, name: str, shape: Pads, like: Tensor, view: FileView | None = None) -> Tensor:
        """A map in the quantisation of another; ``view`` of the file's tensor, if it has one of this shape."""
        tensor = Tensor(self._unique(name), shape, like.scale, like.zero_point, view)
        self.tensors[tensor.name] = tensor
        return tensor

    def register(self, index: int, where: str) -> Tensor:
        """Make the map of a file tensor, checking its type, shape and quantisation."""
        source = self.model.tensors[index]
        name = source.name.split(";")[0].strip() or f"tensor_{index}"
        scale, zero_point = self.quantization(source, where)
        tensor = Tensor(self._unique(name), nhwc(source, where), scale, zero_point, view_of(source))
        self.tensors[tensor.name] = tensor
        self.names[index] = tensor.name
        return tensor

    def _unique(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self.tensors:
            candidate, number = f"{name}_{number}", number + 1
        return candidate

    def quantization(self, source: FileTensor, where: str) -> tuple[float, int]:
        """Scale and zero point of a map, its type checked."""
        if source.type != "INT8":
            raise HwgenError(f"'{source.name}' must be int8, not {source.type.lower()}", where=where,
                             remedy="quantise the whole network to int8")
        remedy = "quantise the network again with a representative data set"
        if len(source.scales) != 1:
            raise HwgenError(f"'{source.name}' must have one scale, not {len(source.scales)}: its quantisation is "
                             "missing or not per tensor", where=where, remedy=remedy)
        scale = float(source.scales[0])
        if not np.isfinite(scale) or scale <= 0:
            raise HwgenError(f"the scale of '{source.name}' must be finite and positive, not {scale}", where=where,
                             remedy=remedy)
        if len(source.zero_points) != 1:
            raise HwgenError(f"'{source.name}' must have one zero point, not {len(source.zero_points)}", where=where,
                             remedy=remedy)
        zero_point = int(source.zero_points[0])
        if not -128 <= zero_point <= 127:
            raise HwgenError(f"the zero point of '{source.name}' must be in [-128, 127], not {zero_point}",
                             where=where, remedy=remedy)
        return scale, zero_point


def view_of(source: FileTensor) -> FileView:
    """How the file sees the map that one of its tensors is."""
    return FileView(key=source.index, shape=source.shape, type="uint8" if source.file_type == "UINT8" else "int8")


def nhwc(source: FileTensor, where: str) -> Pads:
    """A tensor's shape as (1, H, W, C): (N, C) becomes (1, 1, 1, C), (N, W, C) becomes (1, 1, W, C)."""
    shape = source.shape if len(source.shape) > 1 else (1, *source.shape)
    if len(shape) > 4 or not source.shape or 0 in shape:
        raise HwgenError(f"'{source.name}' must have 1 to 4 dimensions and a fixed size, not the shape "
                         f"{list(source.shape)}", where=where)
    if shape[0] != 1:
        raise HwgenError(f"'{source.name}' must have batch 1, not {shape[0]}", where=where,
                         remedy="convert the network with batch size 1")
    middle = (1,) * (4 - len(shape))
    if math.prod(shape) > MAX_MAP:
        raise HwgenError(f"'{source.name}' must hold at most {MAX_MAP} values, not {math.prod(shape)}", where=where)
    one, two, three, four = (1, *middle, *shape[1:])
    return one, two, three, four


@dataclass(frozen=True)
class Layer:
    """One operator of the file with its output's map."""

    context: Context
    source: FileOperator
    output: Tensor
    where: str

    @property
    def activation(self) -> int:
        """Number of the fused activation."""
        return int(self.source.options.get("FusedActivationFunction", 0))

    def error(self, what: str, remedy: str | None = None) -> HwgenError:
        """An error that names this layer."""
        return HwgenError(what, where=self.where, remedy=remedy)

    def input(self, position: int = 0, *, transposed: bool = False) -> Tensor:
        """The map at an input position; ``transposed``: the caller minds its order of axes."""
        return self.context.map_of(self.source.inputs[position], self.where, transposed=transposed)

    @property
    def unsigned(self) -> bool:
        """Of the uint8 scheme, whose arithmetic of scales is its own."""
        return self.context.model.tensors[self.source.outputs[0]].file_type == "UINT8"

    def constant(self, position: int) -> FileTensor:
        """The stored tensor at an input position."""
        return self.context.model.tensors[self.source.inputs[position]]

    def integers(self, position: int) -> list[int]:
        """The values of a constant integer input."""
        data = self.constant(position).data
        if data is None or data.dtype not in (np.int32, np.int64):
            raise self.error(f"input {position} must be a constant of integers")
        return [int(value) for value in data.reshape(-1)]

    def axes(self, stored: Iterable[int]) -> set[int]:
        """Axes of the file's first input, negative ones counted from its end, as axes of the NHWC map."""
        rank = len(self.context.model.tensors[self.source.inputs[0]].shape)
        stored = list(stored)
        if any(not -rank <= axis < rank for axis in stored):
            raise self.error(f"axes {stored} must lie within {rank} dimensions")
        order = self.context.orders.get(self.source.inputs[0])
        if order is not None:
            return {order[axis % rank] for axis in stored}
        plain = [axis % rank for axis in stored]
        return {0 if axis == 0 and rank > 1 else axis + 4 - rank for axis in plain}

    def names(self, *inputs: Tensor) -> dict[str, Any]:
        """The name, inputs, output and source arguments of this layer's graph operator."""
        return {"name": self.output.name, "inputs": tuple(t.name for t in inputs), "output": self.output.name,
                "source": self.source.source}

    def same_quantization(self, x: Tensor) -> bool:
        """True when ``x`` and the output share scale and zero point."""
        return x.scale == self.output.scale and x.zero_point == self.output.zero_point

    def require_same_quantization(self, x: Tensor) -> None:
        """Raise `HwgenError` unless ``x`` and the output share scale and zero point."""
        if not self.same_quantization(x):
            raise self.error(f"input and output must share scale and zero point, not {x.scale:.9g}, {x.zero_point} "
                             f"and {self.output.scale:.9g}, {self.output.zero_point}",
                             "convert the network with the TFLite converter, which keeps them equal")
