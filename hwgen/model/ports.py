"""How a file sees the maps of its network: types, shapes, orders of axes, and what the host does at both ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Axes = tuple[int, int, int, int]
NHWC: Axes = (0, 1, 2, 3)

IntegerType = Literal["int8", "uint8"]
_FLIP = np.uint8(128)


@dataclass(frozen=True, kw_only=True)
class FileView:
    """A quantised tensor of the file and how a map's bytes lie in it.

    Parameters
    ----------
    key : str or int
        Name (ONNX) or number (TFLite) of the file's tensor.
    shape : tuple of int
        Its shape in the file, batch included.
    order : tuple of int
        ``map.transpose(order).reshape(shape)`` is the file's tensor; axes of the (1, H, W, C) map.
    type : str
        ``uint8`` values are 128 above the map's.
    real : str
        ONNX: the float tensor that was quantised to it, by which a result next to a tie is told from a wrong one; empty
        when there is none.
    limits : tuple of int
        ONNX: the least and greatest integer, as the map's, that its quantiser gives.
    """

    key: str | int
    shape: tuple[int, ...]
    order: Axes = NHWC
    type: IntegerType = "int8"
    real: str = ""
    limits: tuple[int, int] = (-128, 127)

    def to_file(self, q: NDArray[Any]) -> NDArray[Any]:
        """Maps (N, H, W, C) as tensors of the file, (N, *shape)."""
        values = _placed(q, self.order, self.shape)
        return values.view(np.uint8) ^ _FLIP if self.type == "uint8" else values

    def from_file(self, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.int8]:
        """Tensors of the file (N, *shape) as maps of the shape (1, H, W, C): (N, H, W, C).

        Raises
        ------
        ValueError
            When ``values`` does not hold as many values as the maps.
        """
        if self.type == "uint8":
            values = (np.ascontiguousarray(values, np.uint8) ^ _FLIP).view(np.int8)
        in_order = values.reshape(len(values), *(shape[a] for a in self.order))
        axes = [self.order.index(a) + 1 for a in range(4)]
        return np.ascontiguousarray(in_order.transpose(0, *axes).reshape(len(values), *shape[1:]), np.int8)

    def of_real(self, values: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """As `from_file` for values of any type that lie as the tensor's do (``real``)."""
        in_order = values.reshape(len(values), *(shape[a] for a in self.order))
        axes = [self.order.index(a) + 1 for a in range(4)]
        return np.ascontiguousarray(in_order.transpose(0, *axes).reshape(len(values), *shape[1:]))


def _placed(q: NDArray[Any], order: Axes, shape: tuple[int, ...]) -> NDArray[Any]:
    with_batch = q.reshape(len(q), 1, *q.shape[1:]).transpose(0, *(a + 1 for a in order))
    return np.ascontiguousarray(with_batch).reshape(len(q), *shape)


StepKind = Literal["quantize", "dequantize", "requantize", "softmax", "log_softmax", "tflite_softmax",
                   "tflite_log_softmax", "reshape", "transpose", "cast", "affine", "clip"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """What the host does to a value at one end of the network.

    Parameters
    ----------
    kind : str
        See `hwgen.golden.host`, which says what each computes and which ``attrs`` it has.
    name, source : str
        The operator's name and kind in the file.
    output : str
        Name of its result in the file.
    attrs : mapping
        Plain numbers, strings and tuples.
    """

    kind: StepKind
    name: str
    source: str
    output: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Port:
    """An input or output of the network as its file defines it.

    Input: value of the file -> ``steps`` -> ``view.from_file`` -> the map ``map``. Output: the map -> ``view.to_file``
    -> ``steps`` -> value of the file.

    Parameters
    ----------
    name : str
        The file's name of it.
    map : str
        The device's map.
    view : FileView
        How the file sees that map.
    type : str
        NumPy's name of the file's type, e.g. ``float32``.
    shape : tuple of int
        In the file, with a symbolic batch set to 1.
    steps : tuple of Step
    scale, zero_point : float, int
        Of a quantised value of the file (``type`` is an integer): real = scale * (q - zero_point). 0, 0 of real values.
    """

    name: str
    map: str
    view: FileView
    type: str
    shape: tuple[int, ...]
    steps: tuple[Step, ...] = ()
    scale: float = 0.0
    zero_point: int = 0

    @property
    def real(self) -> bool:
        """True when the file's values are real numbers, not integers of a scale."""
        return np.dtype(self.type).kind == "f"


def plain_port(name: str, shape: tuple[int, ...], scale: float, zero_point: int) -> Port:
    """The port of a map that its user sees as it is: int8, (1, H, W, C)."""
    return Port(name=name, map=name, view=FileView(key=name, shape=shape), type="int8", shape=shape, scale=scale,
                zero_point=zero_point)
