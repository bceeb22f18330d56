"""What an ONNX value name stands for while a network is read, and how its axes map to the NHWC maps of the IR.

ONNX networks are NCHW, the IR is NHWC: instead of moving data, every value remembers which IR axis lies behind each
of its own axes. Transpose then only permutes that record, and Flatten only sets a mark that the fully connected layer
after it resolves by permuting its weight columns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.model.graph import Tensor

Shape = tuple[int, int, int, int]
Perm = tuple[int, int, int, int]
NCHW: Perm = (0, 3, 1, 2)
NHWC: Perm = (0, 1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class Map:
    """A feature map. ``shape`` is the IR's (1, H, W, C); ``perm[i]`` is the IR axis behind ONNX axis i; ``flat`` says
    that ONNX sees (1, H*W*C) instead, the values in the order that ``perm`` gives."""

    shape: Shape
    perm: Perm = NCHW
    flat: bool = False

    @property
    def onnx_shape(self) -> tuple[int, ...]:
        """The shape ONNX sees."""
        return (1, int(np.prod(self.shape))) if self.flat else tuple(self.shape[a] for a in self.perm)

    @property
    def order(self) -> tuple[int, ...]:
        """IR axes longer than 1 in ONNX order: maps of one shape and order hold their values in the same places."""
        return tuple(a for a in self.perm if self.shape[a] != 1)

    @property
    def row_major(self) -> bool:
        """True when ONNX and the IR store the values in the same order."""
        return self.order == tuple(sorted(self.order))


@dataclass(frozen=True, kw_only=True)
class Source(Map):
    """The graph input before it is quantised (or before its scale is known). ``given`` is the order of the IR's axes in
    which the file's input holds its values, whatever was transposed since."""

    name: str
    given: Perm


@dataclass(frozen=True, kw_only=True)
class View(Map):
    """An int8 map, either as its integers or dequantised."""

    tensor: Tensor


@dataclass(frozen=True, kw_only=True)
class Pending(Map):
    """The real-valued result of an operator that waits for its QuantizeLinear; ``lo``/``hi`` collect Relu and Clip,
    ``limits`` are the integers at which that QuantizeLinear saturates.

    ``kind`` is conv, dense, add, average, concat or same; ``args`` belongs to it (see `hwgen.model.onnx_lower`).
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
    """A quantised constant: integers, float32 scales (one, or one along ``axis``) and zero points of the same form."""

    values: NDArray[Any]
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    axis: int = 0

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
        return Weights(values=self.values.transpose(perm), scale=self.scale, zero_point=self.zero_point, axis=axis)


@dataclass(frozen=True, kw_only=True)
class Tail:
    """A value the host computes, after the device's last map."""

    name: str
    softmax: bool = True


def flat_columns(value: Map) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """How the columns of a fully connected layer map to the map it reads.

    Returns
    -------
    sizes : tuple of int
        Form of the columns in ONNX order.
    axes : tuple of int
        ``columns.reshape(sizes).transpose(axes)`` is (H, W, C).
    """
    order = [a for a in value.perm if a != 0]
    sizes = (value.shape[order[0]], value.shape[order[1]], value.shape[order[2]])
    axes = (order.index(1), order.index(2), order.index(3))
    return sizes, axes
