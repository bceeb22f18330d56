"""Seeded random float networks as PyTorch and others export them to ONNX, small enough for a simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tests.model.onnx_networks import Net

MAX_VALUES, MAX_MACS, TRIES = 4000, 60_000, 40


class Map(NamedTuple):
    """A value's name and its shape, (1, C, H, W) or (1, F)."""

    name: str
    shape: tuple[int, ...]


class Floats(Net):
    """Grows a network one operator at a time.

    ``calm`` leaves out what quantize_static does not quantise, or not always: BatchNormalization, constants, parts,
    means, global maxima and padding.
    """

    def __init__(self, seed: int, *, calm: bool = False) -> None:
        rng = np.random.default_rng([seed, 1717])
        super().__init__(rng, (1, int(rng.integers(1, 9)), int(rng.integers(4, 13)), int(rng.integers(4, 13))))
        self.calm = calm

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def chance(self, percent: int) -> bool:
        return bool(self.rng.integers(100) < percent)

    def grow(self) -> str:
        """A whole network; the name of its output."""
        start = Map("x", self.shape)
        x = self.activated(self.conv_map(start) or self.pointwise(start, self.between(1, 8)))
        for _ in range(self.between(2, 6)):
            for _ in range(TRIES):
                y = self.pick(*(_FLAT if len(x.shape) == 2 else _MAPS if self.calm else _MAPS + _MORE))(self, x)
                if y is not None and math.prod(y.shape) <= MAX_VALUES:
                    x = y
                    break
        if self.chance(60):
            x = self.activated(self.dense(x), 20)
        return x.name

    def window(self, x: Map, kernel: tuple[int, int], *, dilate: bool) -> tuple[dict[str, Any], tuple[int, int]] | None:
        """Attributes of a random window, and the height and width of its result."""
        attrs: dict[str, Any] = {"kernel_shape": list(kernel)}
        strides = (self.between(1, 3), self.between(1, 3)) if self.chance(40) else (1, 1)
        dilations = (self.between(1, 2), self.between(1, 2)) if dilate and self.chance(25) else (1, 1)
        spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
        pads = [self.between(0, min(span - 1, 2)) if self.chance(50) else (span - 1) // 2 for span in spans * 2]
        sizes = [(n + pads[a] + pads[a + 2] - spans[a]) // strides[a] + 1 for a, n in enumerate(x.shape[2:])]
        if min(sizes) < 1:
            return None
        attrs |= {"strides": list(strides)} if strides != (1, 1) or self.chance(50) else {}
        attrs |= {"dilations": list(dilations)} if dilate else {}
        return attrs | {"pads": pads}, (sizes[0], sizes[1])

    def kernel(self) -> tuple[int, int]:
        return self.pick((1, 1), (3, 3), (3, 3), (1, 5), (4, 2), (self.between(1, 4), self.between(1, 4)))

    def conv_map(self, x: Map) -> Map | None:
        """A convolution, now and then in groups, depthwise or normalised."""
        channels, kernel = x.shape[1], self.kernel()
        groups = self.pick(1, 1, 1, channels, math.gcd(channels, 2), math.gcd(channels, 4))
        out = groups * self.between(1, max(1, 16 // groups))
        found = self.window(x, kernel, dilate=True)
        if found is None or math.prod(found[1]) * math.prod(kernel) * (channels // groups) * out > MAX_MACS:
            return None
        depth = channels // groups * math.prod(kernel)
        weight = self.random(out, channels // groups, *kernel, scale=1 / math.sqrt(depth))
        bias = (self.random(out),) if self.chance(80) else ()
        y = Map(self.node("Conv", x.name, weight, *bias, group=groups, **found[0]), (1, out, *found[1]))
        return self.normalised(y) if not self.calm and self.chance(20) else y

    def normalised(self, x: Map) -> Map:
        count = x.shape[1]
        numbers = (self.rng.uniform(0.5, 1.5, count) * self.rng.choice([1, 1, -1], count),
                   self.rng.normal(0, 0.3, count), self.rng.normal(0, 0.3, count), self.rng.uniform(0.5, 1.5, count))
        return Map(self.node("BatchNormalization", x.name, *map(self.constant, numbers)), x.shape)

    def activated(self, x: Map, percent: int = 60) -> Map:
        if not self.chance(percent):
            return x
        bounds = self.pick(None, None, (0, 6), (-1, 1), (0, 1.5), (-0.5, 2))
        if bounds is None:
            return Map(self.node("Relu", x.name), x.shape)
        return Map(self.node("Clip", x.name, *map(self.constant, bounds)), x.shape)

    def layer(self, x: Map) -> Map | None:
        y = self.conv_map(x)
        return None if y is None else self.activated(y)

    def pool(self, x: Map) -> Map | None:
        found = self.window(x, (self.between(1, 3), self.between(1, 3)), dilate=False)
        if found is None:
            return None
        kind = self.pick("MaxPool", "MaxPool", "AveragePool")
        attrs = {"count_include_pad": self.between(0, 1)} if kind == "AveragePool" else {}
        return Map(self.node(kind, x.name, **found[0], **attrs), (*x.shape[:2], *found[1]))

    def whole(self, x: Map) -> Map:
        kind = self.pick("GlobalAveragePool", "GlobalAveragePool" if self.calm else "GlobalMaxPool")
        return Map(self.node(kind, x.name), (*x.shape[:2], 1, 1))

    def pointwise(self, x: Map, channels: int) -> Map:
        weight = self.random(channels, x.shape[1], 1, 1, scale=1 / math.sqrt(x.shape[1]))
        return self.activated(Map(self.node("Conv", x.name, weight, self.random(channels)),
                                  (1, channels, *x.shape[2:])))

    def add(self, x: Map) -> Map:
        other = self.pointwise(x, x.shape[1])
        names = [x.name, other.name][:: self.pick(1, -1)]
        return self.activated(Map(self.node("Add", *names), x.shape))

    def concat(self, x: Map) -> Map:
        axis = self.pick(1, 1, 2, 3)
        parts = [self.pointwise(x, self.between(1, 8) if axis == 1 else x.shape[1]) for _ in range(self.between(1, 2))]
        parts.insert(self.between(0, 1), x)
        shape = list(x.shape)
        shape[axis] = sum(part.shape[axis] for part in parts)
        return Map(self.node("Concat", *(part.name for part in parts), axis=axis), tuple(shape))

    def scaled(self, x: Map) -> Map:
        """A constant for all or for each channel."""
        size = self.pick((), (x.shape[1], 1, 1))
        number = self.constant(self.rng.uniform(0.5, 1.5, size) * self.rng.choice([1, -1], size))
        kind = self.pick("Add", "Sub", "Mul", "Div")
        first = kind != "Div" and self.chance(30)
        return self.activated(Map(self.node(kind, *((number, x.name) if first else (x.name, number))), x.shape), 30)

    def part(self, x: Map) -> Map | None:
        axis = self.pick(1, 1, 2, 3)
        size = x.shape[axis]
        start = self.between(0, size - 1)
        end, step = self.between(start + 1, size), self.between(1, 2)
        numbers = [self.constant([n], np.int64) for n in (start, end, axis, step)]
        shape = list(x.shape)
        shape[axis] = -(-(end - start) // step)
        return Map(self.node("Slice", x.name, *numbers), tuple(shape))

    def shuffle(self, x: Map) -> Map | None:
        channels, (height, width) = x.shape[1], x.shape[2:]
        groups = math.gcd(channels, 4)
        if groups == 1:
            return None
        y = self.node("Reshape", x.name, self.constant([1, groups, channels // groups, height, width], np.int64))
        y = self.node("Transpose", y, perm=[0, 2, 1, 3, 4])
        return Map(self.node("Reshape", y, self.constant([1, channels, height, width], np.int64)), x.shape)

    def pad(self, x: Map) -> Map:
        top, left, bottom, right = (self.between(0, 2) for _ in range(4))
        y = self.node("Pad", x.name, self.constant([0, 0, top, left, 0, 0, bottom, right], np.int64))
        return Map(y, (*x.shape[:2], x.shape[2] + top + bottom, x.shape[3] + left + right))

    def mean(self, x: Map) -> Map:
        keep = self.chance(50)
        y = self.node("ReduceMean", x.name, axes=[2, 3], keepdims=int(keep))
        return Map(y, (*x.shape[:2], 1, 1) if keep else x.shape[:2])

    def dense(self, x: Map) -> Map:
        if len(x.shape) == 4:
            x = Map(self.node("Flatten", x.name), (1, math.prod(x.shape)))
        inputs, out = x.shape[1], self.between(1, 24)
        if self.chance(30):
            return Map(self.node("MatMul", x.name, self.random(inputs, out, scale=1 / math.sqrt(inputs))), (1, out))
        turned = self.between(0, 1)
        weight = self.random(*((out, inputs) if turned else (inputs, out)), scale=1 / math.sqrt(inputs))
        bias = (self.random(out),) if self.chance(80) else ()
        return Map(self.node("Gemm", x.name, weight, *bias, transB=turned), (1, out))

    def vector(self, x: Map) -> Map:
        return self.activated(self.dense(x))


_MAPS: tuple[Callable[[Floats, Map], Map | None], ...] = (
    Floats.layer, Floats.layer, Floats.layer, Floats.pool, Floats.pool, Floats.add, Floats.concat, Floats.whole)
_MORE = (Floats.scaled, Floats.part, Floats.shuffle, Floats.pad, Floats.mean)
_FLAT = (Floats.vector,)
