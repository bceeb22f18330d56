"""Random numbers that look like a quantised network: scales, weights, biases, windows, images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.model.graph import Requant, Rounding

ROUNDINGS: tuple[Rounding, ...] = ("double", "single", "half_even", "half_away")
KINDS = (
    "conv",
    "conv",
    "grouped",
    "depthwise",
    "depthwise",
    "full",
    "add",
    "add",
    "concat",
    "average",
    "max",
    "mean",
    "pad",
    "requantize",
    "reshape",
)


@dataclass(frozen=True)
class Limits:
    """How large a graph may get, and what it may use."""

    macs: int = 100_000
    """Of one convolution."""
    values: int = 6_000
    """Of one map."""
    ops: int = 5
    """Steps; an addition or concatenation is one with its branches."""
    weight_bits: int = 8
    sparse: bool = False
    """Most weights are zero, in every pattern that matters to machines that skip them."""
    ends: bool = False
    """Some networks have several inputs, or several outputs."""
    without: tuple[str, ...] = ()
    """Names out of `KINDS` that are left out."""

    @property
    def weight_type(self) -> type[np.signedinteger[Any]]:
        return np.int16 if self.weight_bits > 8 else np.int8


@dataclass
class Draws:
    """Draws everything from one generator, within limits."""

    rng: np.random.Generator
    limits: Limits

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, percent: int) -> bool:
        return bool(self.rng.integers(100) < percent)

    def between(self, low: int, high: int) -> int:
        """Return a number in low..high."""
        return int(self.rng.integers(low, high + 1))

    def zero_point(self) -> int:
        return int(self.pick(-128, 127, 0, *(self.between(-128, 127) for _ in range(6))))

    def clamp(self, zero_point: int) -> tuple[int, int]:
        """Return bounds of an activation: none, ReLU, ReLU6, any."""
        low, high = sorted((self.between(-128, 127), self.between(-128, 127)))
        relu = min(zero_point, 60)
        return self.pick((-128, 127), (-128, 127), (-128, 127), (relu, 127), (relu, min(127, relu + 60)), (low, high))

    def requant(self, acc: NDArray[np.int64], zero_point: int, mean: bool = False, single: bool = False) -> Requant:
        """Return multipliers that spread accumulators (pixels, channels) over the int8 range, or extreme ones."""
        n = 1 if single or self.chance(10) else acc.shape[1]
        multiplier = self.rng.integers(1 << 29 if mean else 1 << 30, 1 << 31, n)
        spread = np.maximum(acc.std(axis=0) if n > 1 and len(acc) > 4 else np.full(n, acc.std()), 0.5)
        style = self.between(0, 19)
        if style < 16:
            shift = np.clip(np.round(np.log2(60 / spread)).astype(int) + self.rng.integers(-1, 2, n), -31, 7)
        elif style < 18:
            shift = self.rng.choice([-31, -30, -9, -8, -1, 0, 1, 6, 7], n)
        else:
            shift = self.rng.integers(-31, 8, n)
        if self.chance(15 if n > 1 else 3):
            multiplier[self.rng.random(n) < 0.4] = 0
        if self.chance(10):
            multiplier[:] = self.pick(1 << 30, (1 << 31) - 1)
        low, high = self.clamp(zero_point)
        return Requant(
            multiplier.astype(np.int64), shift.astype(np.int64), zero_point, low, high, self.pick(*ROUNDINGS)
        )

    def _sparse(self, low: int, high: int, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return weights with single ones, whole channels, alternate ones, or all but one left out."""
        w = self.rng.integers(low, high + 1, shape).astype(self.limits.weight_type)
        style = self.between(0, 4)
        if style == 0:
            w[self.rng.random(shape) >= self.pick(0.02, 0.1, 0.3, 0.5)] = 0
        elif style == 1:
            w[self.rng.random(shape[0]) < 0.5] = 0
        elif style == 2:
            w.reshape(-1)[:: self.pick(2, 3)] = 0
        elif style == 3:
            w[..., self.rng.random(shape[-1]) < 0.6] = 0
        else:
            kept = self.between(0, w.size - 1)
            w.reshape(-1)[np.arange(w.size) != kept] = 0
        return w

    def weight(self, shape: tuple[int, ...]) -> NDArray[Any]:
        """Return weights: of 9 bits those of a uint8 layer, less its zero point."""
        bits, kind = min(self.limits.weight_bits, 8), self.limits.weight_type
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        if self.limits.weight_bits > 8:
            zero = self.pick(0, 128, 255, self.between(0, 255), self.between(100, 160))
            low, high = -zero, 255 - zero
        if self.limits.sparse and self.between(0, 5):
            return self._sparse(low, high, shape)
        style = self.between(0, 9)
        if style == 0:
            return np.full(shape, self.pick(0, low, high), kind)
        w = self.rng.integers(low, high + 1, shape).astype(kind)
        if style == 1:
            w[self.rng.random(shape) < 0.8] = 0
        elif style == 2:
            w = self.rng.choice(np.array([low, high], kind), shape)
        return w

    def bias(self, acc: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return biases that centre most channels of accumulators (pixels, channels), or any."""
        n = acc.shape[1]
        style = self.between(0, 9)
        if style == 0:
            return np.zeros(n, np.int32)
        if style == 1:
            return self.rng.integers(-(1 << 30), 1 << 30, n, np.int32, endpoint=True)
        centred: NDArray[np.float64] = self.rng.normal(0, 0.5, n) * acc.std() - acc.mean(axis=0)
        return np.round(centred).astype(np.int32)

    def kernel(self) -> tuple[int, int]:
        if self.chance(30):
            return self.pick((1, 1), (3, 3))
        return self.pick((1, 5), (4, 2), (2, 4), (7, 1), (2, 2), (self.between(1, 7), self.between(1, 7)))

    def window(self, name: str) -> dict[str, Any]:
        """Return stride, dilation and padding for a convolution."""

        def pair(high: int, percent: int) -> tuple[int, int]:
            return (self.between(1, high), self.between(1, high)) if self.chance(percent) else (1, 1)

        style = self.between(0, 2)
        pad = (0, 0, 0, 0) if style == 0 else tuple(self.between(0, 2 if style == 1 else 5) for _ in range(4))
        return {"stride": pair(4, 40), "dilation": pair(4, 25), "pad": pad}


def noise(shape: tuple[int, ...], seed: int) -> NDArray[np.int8]:
    """Return an image: noise, or now and then all at the ends of the range."""
    rng = np.random.default_rng([seed, 815])
    style = rng.integers(0, 12)
    if style == 0:
        return np.full(shape, rng.choice([-128, 127]), np.int8)
    x = rng.integers(-128, 128, shape)
    return (np.where(x < 0, -128, 127) if style == 1 else x).astype(np.int8)
