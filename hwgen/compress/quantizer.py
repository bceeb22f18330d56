"""Uniform quantisation of a tensor: integers ``q``, real value ``(q - zero_point) * scale``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError

MAX_BITS = 16


@dataclass(frozen=True, eq=False)
class Quantizer:
    """How a tensor is quantised.

    Parameters
    ----------
    bits : int
        1..16. Integers are in [-2**(bits - 1), 2**(bits - 1) - 1]; ``narrow`` leaves the smallest out, so that the
        range is symmetric. One narrow bit is -1 and +1, with nothing between.
    scale : float32 array
        Positive. Its shape broadcasts against the tensor's, () for one scale in all; with groups, against the tensor
        whose last axis is split in (groups, group size).
    zero_point : int64 array
        Of the same shape; the integer that stands for zero.
    narrow : bool
    group : int
        Values of the last axis that share a scale; 0 when they are not grouped.
    """

    bits: int
    scale: NDArray[np.float32]
    zero_point: NDArray[np.int64]
    narrow: bool = False
    group: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= MAX_BITS:
            raise HwgenError(f"bits must be in 1..{MAX_BITS}, not {self.bits}")
        if not (np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise HwgenError("scales must be finite and positive")

    @property
    def qmin(self) -> int:
        """Smallest integer."""
        return -1 if self.narrow and self.bits == 1 else -(1 << self.bits - 1) + int(self.narrow)

    @property
    def qmax(self) -> int:
        """Largest integer."""
        return 1 if self.narrow and self.bits == 1 else (1 << self.bits - 1) - 1

    def quantize(self, x: NDArray[Any]) -> NDArray[np.int32]:
        """The nearest integers, ties to even, saturated."""
        x = self._grouped(np.asarray(x))
        if self.narrow and self.bits == 1:
            q = np.where(x < 0, -1, 1)
        else:
            # In float32, as ONNX's QuantizeLinear does: a tie must fall the same way here and there.
            ratio = np.asarray(x, np.float32) / self.scale
            q = np.clip(np.rint(ratio.astype(np.float64)) + self.zero_point, self.qmin, self.qmax)
        return self._flat(q).astype(np.int32)

    def dequantize(self, q: NDArray[Any]) -> NDArray[np.float32]:
        """Real values."""
        return self._flat((self._grouped(np.asarray(q)) - self.zero_point).astype(np.float32) * self.scale)

    def fake(self, x: NDArray[Any]) -> NDArray[np.float32]:
        """The real values that ``x`` has once it is quantised."""
        return self.dequantize(self.quantize(x))

    @property
    def low(self) -> NDArray[np.float64]:
        """Smallest real value."""
        return np.asarray((self.qmin - self.zero_point) * self.scale.astype(np.float64))

    @property
    def high(self) -> NDArray[np.float64]:
        """Largest real value."""
        return np.asarray((self.qmax - self.zero_point) * self.scale.astype(np.float64))

    def _grouped(self, x: NDArray[Any]) -> NDArray[Any]:
        return x.reshape(*x.shape[:-1], -1, self.group) if self.group else x

    def _flat(self, x: NDArray[Any]) -> NDArray[Any]:
        return x.reshape(*x.shape[:-2], -1) if self.group else x

    def to_json(self) -> dict[str, Any]:
        """Plain values, see `from_json`."""
        return {"bits": self.bits, "narrow": self.narrow, "group": self.group, "shape": list(self.scale.shape),
                "scale": [float(s) for s in self.scale.reshape(-1)],
                "zero_point": [int(z) for z in self.zero_point.reshape(-1)]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Quantizer:
        """The quantizer that `to_json` describes."""
        shape = value["shape"]
        return cls(value["bits"], np.array(value["scale"], np.float32).reshape(shape),
                   np.array(value["zero_point"], np.int64).reshape(shape), value["narrow"], value["group"])


def from_range(low: NDArray[Any] | float, high: NDArray[Any] | float, bits: int, *, symmetric: bool,
               group: int = 0) -> Quantizer:
    """The quantizer whose integers span a range, zero always included.

    Parameters
    ----------
    low, high : array or float
        The range; one entry a scale.
    bits : int
    symmetric : bool
        Zero point 0 and the range -max to max; otherwise (affine) the zero point is the integer nearest to where
        zero lies.
    group : int
        See `Quantizer`.
    """
    bottom = np.minimum(np.asarray(low, np.float64), 0.0)
    top = np.maximum(np.asarray(high, np.float64), 0.0)
    tiny = np.finfo(np.float32).tiny
    if symmetric:
        levels = max((1 << bits - 1) - 1, 1)
        scale = np.maximum(np.maximum(-bottom, top) / levels, tiny).astype(np.float32)
        return Quantizer(bits, scale, np.zeros(scale.shape, np.int64), True, group)
    levels, qmin = (1 << bits) - 1, -(1 << bits - 1)
    scale = np.maximum((top - bottom) / levels, tiny).astype(np.float32)
    zero = np.clip(np.rint(qmin - bottom / scale.astype(np.float64)), qmin, qmin + levels).astype(np.int64)
    return Quantizer(bits, scale, zero, False, group)
