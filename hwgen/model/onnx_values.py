"""What an ONNX value name stands for while a network is read, and how its axes map to the NHWC maps of the IR.

ONNX networks are NCHW, the IR is NHWC: instead of moving data, every value remembers in which order its axes store the
map's values, and the shape that the file sees. A Transpose permutes the order, a Reshape changes the shape; only an
operator that computes asks which axis of the map lies behind each of the file's (`hwgen.model.onnx_layout`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.model.graph import Tensor
from hwgen.model.ports import NHWC, IntegerType, Step

Shape = tuple[int, int, int, int]
Perm = tuple[int, int, int, int]
NCHW: Perm = (0, 3, 1, 2)


@dataclass(frozen=True, kw_only=True)
class Map:
    """A feature map. ``shape`` is the IR's (1, H, W, C), ``seen`` the file's: ``map.transpose(order).reshape(seen)`` is
    the value that the file has."""

    shape: Shape
    order: Perm = NHWC
    seen: tuple[int, ...]

    @property
    def axes(self) -> tuple[tuple[int, ...], ...] | None:
        """The IR's axes longer than 1 behind each axis of the file; None when one of them is split between two."""
        left = [axis for axis in self.order if self.shape[axis] != 1]
        found = []
        for size in self.seen:
            group: list[int] = []
            while math.prod(self.shape[a] for a in group) < size and left:
                group.append(left.pop(0))
            if math.prod(self.shape[a] for a in group) != size:
                return None
            found.append(tuple(group))
        return tuple(found)

    def to_map(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the shape ``seen`` as the IR's (1, H, W, C)."""
        placed = values.reshape([self.shape[a] for a in self.order])
        return placed.transpose([self.order.index(a) for a in range(4)])


@dataclass(frozen=True, kw_only=True)
class Source(Map):
    """A real input of the network before its scale is known. ``given`` is the order of the IR's axes in which the
    file's input holds its values, whatever was transposed since; ``steps`` is what the host has done to them."""

    name: str
    given: Perm
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, kw_only=True)
class View(Map):
    """An int8 map: its integers, of the file's type ``type``, or, ``real``, the numbers that they stand for."""

    tensor: Tensor
    real: bool = True
    type: IntegerType = "int8"


@dataclass(frozen=True, kw_only=True)
class Pending(Map):
    """The real-valued result of an operator that waits for its QuantizeLinear; ``lo``/``hi`` collect Relu and Clip,
    ``limits`` are the integers at which that QuantizeLinear saturates.

    ``kind`` is conv, add, average, concat or same; ``args`` belongs to it (see `hwgen.model.onnx_lower`).
    """

    kind: str
    node: str
    op: str
    inputs: tuple[View, ...]
    args: dict[str, Any] = field(default_factory=dict)
    lo: float = -np.inf
    hi: float = np.inf
    limits: tuple[int, int] = (-128, 127)

    @property
    def clamped(self) -> bool:
        """True when an activation has been fused already."""
        return self.lo != -np.inf or self.hi != np.inf


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """A quantised constant: integers of the file's type ``type``, float32 scales (one, or one along ``axis``) and zero
    points of the same form."""

    values: NDArray[Any]
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int = 0
    type: str = "int8"

    def real(self) -> NDArray[np.float64]:
        """The real values."""
        form = [1] * self.values.ndim
        if self.scale.size > 1:
            form[self.axis] = -1
        scale = self.scale.astype(np.float64).reshape(form)
        return np.asarray((self.values.astype(np.int64) - self.zero_point.reshape(form)) * scale)

    def transpose(self, perm: tuple[int, ...]) -> Weights:
        """The same weights with permuted axes."""
        axis = perm.index(self.axis) if self.scale.size > 1 else 0
        return replace(self, values=self.values.transpose(perm), axis=axis)


@dataclass(frozen=True, kw_only=True)
class Tail:
    """A value that the host computes from the device's map behind ``view``: ``steps`` in the file's layout give a value
    of the shape ``seen``, real, or integers of ``quantized`` = (scale, zero point, type)."""

    view: View
    steps: tuple[Step, ...]
    seen: tuple[int, ...]
    quantized: tuple[float, int, str] | None = None


@dataclass(frozen=True)
class Unknown:
    """What an operator gives that cannot be built: what reads it is not reported again."""


Value = Source | View | Pending | Weights | Tail | Unknown | NDArray[Any]
