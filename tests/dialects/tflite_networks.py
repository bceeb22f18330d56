"""Seeded random networks as TFLite's exporters write them: types at the ends, types of weights, options."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tests.tflite_builder import TfliteBuilder

SAME, VALID = 0, 1
ACTIVATIONS = (0, 0, 1, 2, 3)
"""NONE twice, RELU, RELU_N1_TO_1, RELU6."""

SPREAD = 50.0
"""How far the integers of a map are from their mean, about; scales are chosen for it."""

MAX_VALUES, MAX_MACS, TRIES = 4000, 60_000, 40


@dataclass(frozen=True)
class Style:
    """How an exporter writes.

    ``ends``: type of inputs and outputs; ``inside``: of all maps; ``weights``: of weights, ``uint8`` with a zero point.
    """

    ends: str = "int8"
    inside: str = "int8"
    weights: str = "int8"


class Map(NamedTuple):
    """A tensor's number, and (height, width, channels); vectors have one pixel and ``flat``."""

    number: int
    shape: tuple[int, int, int]
    scale: float
    zero_point: int
    flat: bool = False


class Net:
    """Grows a network one operator at a time."""

    def __init__(self, seed: int, style: Style) -> None:
        self.rng, self.style = np.random.default_rng([seed, 1313]), style
        self.b = TfliteBuilder(deprecated_codes=style.weights != "int4")

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def chance(self, percent: int) -> bool:
        return bool(self.rng.integers(100) < percent)

    @property
    def lowest(self) -> int:
        """The least integer of a map."""
        return 0 if self.style.inside == "uint8" else -128

    def map(self, shape: tuple[int, int, int], scale: float, *, zero_point: int | None = None,
            flat: bool = False) -> Map:
        """Add a map; its zero point is any, in the middle, or an end of the range."""
        if zero_point is None:
            zero_point = self.lowest + self.pick(0, 128, 255, self.between(0, 255), *[self.between(64, 192)] * 4)
        scale = float(np.float32(scale))
        number = self.b.tensor((1, shape[2]) if flat else (1, *shape), scale=scale, zero_point=zero_point,
                               dtype=self.style.inside)
        return Map(number, shape, scale, zero_point, flat)

    def result(self, shape: tuple[int, int, int], activation: int = 0, *, flat: bool = False) -> Map:
        """Add a map of a new scale; behind ReLU and ReLU6 zero mostly is the least integer."""
        zero_point = self.lowest if activation in (1, 3) and self.chance(80) else None
        return self.map(shape, self.rng.uniform(0.02, 0.08), zero_point=zero_point, flat=flat)

    def weight(self, shape: tuple[int, ...], axis: int | None, mean: float) -> tuple[int, np.ndarray]:
        """A constant of random weights with a scale for each index of ``axis`` or one; its number and scales."""
        kind = self.style.weights
        scale = (mean * self.rng.uniform(0.5, 1.5, 1 if axis is None else shape[axis])).astype(np.float32)
        low, high = {"int8": (-127, 127), "int4": (-7, 7), "uint8": (0, 255)}[kind]
        zero = np.zeros(scale.shape, np.int64) + (self.pick(128, 0, 255, self.between(60, 200)) if low == 0 else 0)
        data = self.rng.integers(low, high + 1, shape).astype(np.uint8 if low == 0 else np.int8)
        if self.chance(20):
            data[self.rng.random(shape) < 0.8] = zero[0]
        return self.b.tensor(shape, scale=scale, zero_point=zero, dtype=kind, data=data, axis=axis or 0), scale

    def weighted(self, kind: str, x: Map, shape: tuple[int, ...], y: tuple[int, int, int], depth: int,
                 axis: int | None, like: Map | None = None, **options: Any) -> Map:
        """An operator with weights and bias, ``depth`` products a sum, whose weights have scales that suit its sums.

        The result is quantised ``like`` another map, or anyhow.
        """
        activation = self.pick(*ACTIVATIONS)
        flat = kind == "FULLY_CONNECTED"
        out = self.result(y, activation, flat=flat) if like is None else self.map(
            y, like.scale, zero_point=like.zero_point, flat=flat)
        sums = SPREAD * {"int8": 73.0, "int4": 4.3, "uint8": 85.0}[self.style.weights] * math.sqrt(depth)
        weight, scale = self.weight(shape, axis, SPREAD * out.scale / (sums * x.scale))
        inputs = [x.number, weight]
        if kind != "FULLY_CONNECTED" or self.style.weights == "uint8" or self.chance(80):  # LiteRT wants the others
            bias = np.round(self.rng.normal(0, sums, y[2])).astype(np.int32)
            inputs.append(self.b.constant(bias, scale=np.float32(x.scale) * scale))
        self.b.op(kind, inputs, out.number, FusedActivationFunction=activation, **options)
        return out

    def window(self, x: Map, kernel: tuple[int, int], dilations: bool) -> tuple[dict[str, Any], tuple[int, int]] | None:
        """Options of a window of a random stride, and the size of its result."""
        same = self.chance(50)
        stride = (self.between(1, 3), self.between(1, 3)) if self.chance(40) else (1, 1)
        dilation = (self.between(1, 3), self.between(1, 3)) if dilations and self.chance(25) else (1, 1)
        size = []
        for n, k, s, d in zip(x.shape[:2], kernel, stride, dilation, strict=True):
            size.append(-(-n // s) if same else (n - (k - 1) * d - 1) // s + 1)
            if size[-1] < 1:
                return None
        options = {"Padding": SAME if same else VALID, "StrideH": stride[0], "StrideW": stride[1]}
        if dilations:
            options |= {"DilationHFactor": dilation[0], "DilationWFactor": dilation[1]}
        return options, (size[0], size[1])

    def kernel(self) -> tuple[int, int]:
        return self.pick((1, 1), (3, 3), (3, 3), (1, 5), (4, 2), (self.between(1, 5), self.between(1, 5)))

    def axis(self, axis: int) -> int | None:
        """The axis along which weights have scales; one scale for all in the uint8 scheme."""
        return None if self.style.weights == "uint8" or self.chance(20) else axis

    def conv(self, x: Map) -> Map | None:
        (kh, kw), out = self.kernel(), self.between(1, 24)
        found = self.window(x, (kh, kw), dilations=True)
        if found is None or math.prod(found[1]) * kh * kw * x.shape[2] * out > MAX_MACS:
            return None
        return self.weighted("CONV_2D", x, (out, kh, kw, x.shape[2]), (*found[1], out), kh * kw * x.shape[2],
                             self.axis(0), **found[0])

    def depthwise(self, x: Map) -> Map | None:
        (kh, kw), multiplier = self.kernel(), self.pick(1, 1, 1, 2, 3)
        found, out = self.window(x, (kh, kw), dilations=True), x.shape[2] * multiplier
        if found is None or out > 48:
            return None
        return self.weighted("DEPTHWISE_CONV_2D", x, (1, kh, kw, out), (*found[1], out), kh * kw, self.axis(3),
                             DepthMultiplier=multiplier, **found[0])

    def dense(self, x: Map) -> Map:
        inputs, out = math.prod(x.shape), self.between(1, 32)
        axis = self.axis(0) if self.style.weights == "int4" else None if self.chance(70) else self.axis(0)
        return self.weighted("FULLY_CONNECTED", self.flatten(x), (out, inputs), (1, 1, out), inputs, axis)

    def flatten(self, x: Map) -> Map:
        if x.flat:
            return x
        y = self.map((1, 1, math.prod(x.shape)), x.scale, zero_point=x.zero_point, flat=True)
        self.b.op("RESHAPE", [x.number, self.b.constant(np.array([1, y.shape[2]], np.int32))], y.number)
        return y

    def pool(self, x: Map, kind: str) -> Map | None:
        kernel = (self.between(1, 4), self.between(1, 4))
        if kind == "AVERAGE_POOL_2D" and self.style.inside == "uint8":
            kernel = self.pick((2, 2), (1, 2), (4, 2))  # whose ties the machine can round as that scheme does
        found = self.window(x, kernel, dilations=False)
        if found is None or (self.style.inside == "uint8" and kind == "AVERAGE_POOL_2D"
                             and (found[0]["Padding"] == SAME or x.zero_point)):
            return None
        y = self.map((*found[1], x.shape[2]), x.scale, zero_point=x.zero_point)
        self.b.op(kind, [x.number], y.number, **found[0], FilterHeight=kernel[0], FilterWidth=kernel[1],
                  FusedActivationFunction=self.pick(*ACTIVATIONS))
        return y

    def average(self, x: Map) -> Map | None:
        return self.pool(x, "AVERAGE_POOL_2D")

    def maximum(self, x: Map) -> Map | None:
        return self.pool(x, "MAX_POOL_2D")

    def mean(self, x: Map) -> Map | None:
        if x.shape[:2] == (1, 1):
            return None
        keep = self.chance(50)
        scale, zero = (x.scale, x.zero_point) if self.chance(30) else (x.scale * self.rng.uniform(0.2, 1.2), None)
        y = self.map((1, 1, x.shape[2]), scale, zero_point=zero, flat=not keep)
        self.b.op("MEAN", [x.number, self.b.constant(np.array([1, 2], np.int32))], y.number, KeepDims=keep)
        return y

    def pad(self, x: Map) -> Map:
        top, bottom, left, right = (self.between(0, 2) for _ in range(4))
        h, w, c = x.shape
        y = self.map((h + top + bottom, w + left + right, c), x.scale, zero_point=x.zero_point)
        widths = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        self.b.op("PAD", [x.number, self.b.constant(widths)], y.number)
        return y

    def same(self, x: Map, channels: int, like: Map | None = None) -> Map:
        """A convolution of 1 x 1, quantised ``like`` another map or anyhow."""
        return self.weighted("CONV_2D", x, (channels, 1, 1, x.shape[2]), (*x.shape[:2], channels), x.shape[2],
                             self.axis(0), like, Padding=VALID, StrideH=1, StrideW=1, DilationHFactor=1,
                             DilationWFactor=1)

    def add(self, x: Map) -> Map:
        other = x if self.chance(10) else self.same(x, x.shape[2])
        if self.chance(50) and other is not x:
            x = self.same(x, x.shape[2])
        activation = self.pick(*ACTIVATIONS)
        y = self.result(x.shape, activation)
        pair = [x.number, other.number]
        self.b.op("ADD", pair[:: self.pick(1, -1)], y.number, FusedActivationFunction=activation)
        return y

    def concatenation(self, x: Map) -> Map | None:
        axis = self.between(1, 3)
        first = self.same(x, self.between(1, 12))
        if axis < 3:
            rest = [self.same(x, first.shape[2], first) for _ in range(self.between(1, 2))]
        else:
            rest = [self.same(x, self.between(1, 12), first) for _ in range(self.between(1, 2))]
        sizes = [m.shape for m in (first, *rest)]
        shape = list(first.shape)
        shape[axis - 1] = sum(size[axis - 1] for size in sizes)
        y = self.map((shape[0], shape[1], shape[2]), first.scale, zero_point=first.zero_point)
        self.b.op("CONCATENATION", [m.number for m in (first, *rest)], y.number, Axis=self.pick(axis, axis - 4))
        return y

    def relu(self, x: Map) -> Map:
        y = self.result(x.shape, 1, flat=x.flat)
        self.b.op(self.pick("RELU6", *["RELU"] * 7), [x.number], y.number)
        return y

    def requantize(self, x: Map) -> Map:
        y = self.map(x.shape, x.scale * self.rng.uniform(0.4, 2), flat=x.flat)
        self.b.op("QUANTIZE", [x.number], y.number)
        return y

    def input(self) -> tuple[Map, int]:
        """The first map and the file's input, which may be another tensor."""
        h, w = self.pick((1, 1), (1, self.between(2, 20)), (self.between(4, 12), self.between(3, 12)),
                         (8, 8), (self.between(4, 12),) * 2)
        channels = self.pick(1, 3, 8, self.between(1, 20))
        x = self.map((h, w, channels), self.rng.uniform(0.003, 0.1))
        if self.style.ends == self.style.inside:
            return x, x.number
        return x, self.quantised(x, "QUANTIZE", to_ends=False)

    def quantised(self, x: Map, kind: str, *, to_ends: bool) -> int:
        """The tensor at one end of the network beside the map ``x``."""
        shape = (1, x.shape[2]) if x.flat else (1, *x.shape)
        given: dict[str, Any] = {"scale": None}
        if self.style.ends == "uint8":
            given = {"scale": x.scale, "zero_point": x.zero_point + 128}
            if self.chance(40):
                given = {"scale": x.scale * self.rng.uniform(0.5, 1.5), "zero_point": self.between(0, 255)}
        end = self.b.tensor(shape, dtype=self.style.ends, **given)
        self.b.op(kind, *(([x.number], end) if to_ends else ([end], x.number)))
        return end

    def output(self, x: Map) -> int:
        """The file's output: a map, or what the host makes of it."""
        if self.chance(40):
            x = self.dense(x) if math.prod(x.shape) <= 600 else x
            if self.chance(60):
                y = self.map(x.shape, 1 / 256, zero_point=self.lowest, flat=x.flat)
                self.b.op("SOFTMAX", [x.number], y.number, Beta=1.0)
                x = y
        elif self.chance(20):
            x = self.flatten(x)
        if self.style.ends == self.style.inside:
            return x.number
        return self.quantised(x, "DEQUANTIZE" if self.style.ends == "float32" else "QUANTIZE", to_ends=True)


Kind = Callable[[Any, Map], Map | None]

KINDS: tuple[Kind, ...] = (
    Net.conv, Net.conv, Net.conv, Net.depthwise, Net.depthwise, Net.average, Net.maximum, Net.mean, Net.pad, Net.add,
    Net.concatenation, Net.relu, Net.requantize, Net.dense)


def grown(net: Net, x: Map, kinds: tuple[Kind, ...]) -> Map:
    """Put operators of random ``kinds`` behind a map, and return the last result."""
    steps = net.between(2, 6)
    for _ in range(TRIES):
        kind = net.pick(*kinds)
        if x.flat and kind.__name__ not in ("dense", "relu", "requantize"):
            continue
        y = kind(net, x) if math.prod(x.shape) <= MAX_VALUES else net.mean(x)
        if y is not None:
            x, steps = y, steps - 1
        if not steps:
            break
    return x


def write(style: Style, seed: int, folder: Path) -> Path:
    """Write the network of a seed."""
    net = Net(seed, style)
    x, entry = net.input()
    return net.b.save(folder / f"{seed}.tflite", [entry], [net.output(grown(net, x, KINDS))])
