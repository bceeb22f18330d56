"""Seeded random quantised graphs: every operator, odd shapes, extreme scales. One seed, one graph, on every machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.pooling import pool_counts
from hwgen.model.graph import (
    Add,
    Concat,
    Conv,
    Graph,
    Op,
    Pad,
    Pool,
    Requant,
    Requantize,
    Reshape,
    Rounding,
    Tensor,
)

ROUNDINGS: tuple[Rounding, ...] = ("double", "single", "half_even", "half_away")
KINDS = ("conv", "conv", "grouped", "depthwise", "depthwise", "full", "add", "add", "concat", "average", "max", "mean",
         "pad", "requantize", "reshape")
TRIES = 40


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
    without: tuple[str, ...] = ()
    """Names out of `KINDS` that are left out."""


@dataclass
class Builder:
    """Grows a graph one operator at a time. ``zero_points`` and ``shapes`` are those of the maps made so far."""

    rng: np.random.Generator
    limits: Limits
    tensors: dict[str, Tensor] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, percent: int) -> bool:
        return bool(self.rng.integers(100) < percent)

    def between(self, low: int, high: int) -> int:
        """Return a number in low..high."""
        return int(self.rng.integers(low, high + 1))

    def shape(self, name: str) -> tuple[int, int, int]:
        return self.tensors[name].shape[1:]

    def zero(self, name: str) -> int:
        return self.tensors[name].zero_point

    def zero_point(self) -> int:
        return int(self.pick(-128, 127, 0, self.between(-128, 127), self.between(-128, 127)))

    def tensor(self, shape: tuple[int, int, int], zero_point: int) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = Tensor(name, (1, *shape), 0.1, zero_point)
        return name

    def put(self, what: type[Op], inputs: tuple[str, ...], shape: tuple[int, int, int], zero_point: int, /, **values: Any) -> str:
        """Append an operator and return the name of its output."""
        output = self.tensor(shape, zero_point)
        self.ops.append(what(name=f"{len(self.ops)}_{what.__name__.lower()}", inputs=inputs, output=output, **values))
        return output

    def undo(self, ops: int, tensors: int) -> None:
        """Forget what came after the first ``ops`` operators and ``tensors`` maps."""
        del self.ops[ops:]
        for name in list(self.tensors)[tensors:]:
            del self.tensors[name]

    def clamp(self, zero_point: int) -> tuple[int, int]:
        low, high = sorted((self.between(-128, 127), self.between(-128, 127)))
        return self.pick((-128, 127), (-128, 127), (zero_point, 127), (low, high), (zero_point, min(127, zero_point + 60)))

    def requant(self, channels: int, spread: float, zero_point: int, mean: bool = False) -> Requant:
        """Return multipliers that spread accumulators of about ``spread`` over the int8 range, or extreme ones."""
        n = channels if self.chance(85) else 1
        multiplier = self.rng.integers(1 << 29 if mean else 1 << 30, 1 << 31, n)
        fit = int(np.round(np.log2(60 / max(spread, 1e-3))))
        style = self.between(0, 9)
        if style < 7:
            shift = np.clip(fit + self.rng.integers(-1, 2, n), -31, 7)
        elif style == 7:
            shift = self.rng.choice([-31, -30, -9, -8, -1, 0, 1, 6, 7], n)
        else:
            shift = self.rng.integers(-31, 8, n)
        if self.chance(15):
            multiplier[self.rng.random(n) < 0.5] = 0
        if self.chance(10):
            multiplier[:] = self.pick(1 << 30, (1 << 31) - 1)
        low, high = self.clamp(zero_point)
        return Requant(multiplier.astype(np.int64), shift.astype(np.int64), zero_point, low, high, self.pick(*ROUNDINGS))

    def weight(self, shape: tuple[int, ...]) -> NDArray[np.int8]:
        low, high = -(1 << self.limits.weight_bits - 1), (1 << self.limits.weight_bits - 1) - 1
        style = self.between(0, 9)
        if style == 0:
            return np.full(shape, self.pick(0, low, high), np.int8)
        w = self.rng.integers(low, high + 1, shape).astype(np.int8)
        if style == 1:
            w[self.rng.random(shape) < 0.8] = 0
        elif style == 2:
            w = self.rng.choice(np.array([low, high], np.int8), shape)
        return w

    def bias(self, channels: int, spread: float) -> NDArray[np.int32]:
        style = self.between(0, 9)
        high = int(max(2, spread * 2)) if style < 7 else 1 if style == 7 else 1 << 30
        return self.rng.integers(-high, high, channels, endpoint=True).astype(np.int32)

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

    def convolve(self, name: str, weight: NDArray[np.int8], groups: int, *, zero_point: int | None = None, **window: Any) -> str | None:
        """Append a convolution; None when it has no output or is too large."""
        h, w, _ = self.shape(name)
        out, kh, kw, depth = weight.shape
        (sy, sx), (dy, dx) = window.get("stride", (1, 1)), window.get("dilation", (1, 1))
        top, bottom, left, right = window.get("pad", (0, 0, 0, 0))
        rows, columns = h + top + bottom - (kh - 1) * dy - 1, w + left + right - (kw - 1) * dx - 1
        if rows < 0 or columns < 0:
            return None
        shape = (rows // sy + 1, columns // sx + 1, out)
        macs = shape[0] * shape[1] * weight.size
        if macs > self.limits.macs or np.prod(shape) > self.limits.values:
            return None
        spread = float(75 * np.sqrt(kh * kw * depth) * max(1.0, np.abs(weight.astype(float)).mean()))
        z = self.zero_point() if zero_point is None else zero_point
        return self.put(Conv, (name,), shape, z, weight=weight, bias=self.bias(out, spread), requant=self.requant(out, spread, z),
                        groups=groups, **window)

    def conv(self, name: str) -> str | None:
        kernel = self.kernel()
        return self.convolve(name, self.weight((self.between(1, 40), *kernel, self.shape(name)[2])), 1, **self.window(name))

    def grouped(self, name: str) -> str | None:
        channels = self.shape(name)[2]
        groups = int(self.pick(*[g for g in range(1, channels + 1) if channels % g == 0]))
        out = groups * self.between(1, 9)
        if out > 64:
            return None
        return self.convolve(name, self.weight((out, *self.kernel(), channels // groups)), groups, **self.window(name))

    def depthwise(self, name: str) -> str | None:
        channels = self.shape(name)[2]
        out = channels * self.pick(1, 1, 1, 2, 3)
        return self.convolve(name, self.weight((out, *self.kernel(), 1)), channels, **self.window(name))

    def full(self, name: str) -> str | None:
        h, w, channels = self.shape(name)
        return self.convolve(name, self.weight((self.between(1, 40), h, w, channels)), 1)

    def same(self, name: str, shape: tuple[int, int, int], zero_point: int | None = None) -> str | None:
        """Append a convolution that keeps rows and columns and has the channels of ``shape``."""
        kh, kw = self.pick((1, 1), (1, 1), (3, 3), (1, 3), (2, 2))
        top, left = self.between(0, kh - 1), self.between(0, kw - 1)
        return self.convolve(name, self.weight((shape[2], kh, kw, self.shape(name)[2])), 1, zero_point=zero_point,
                             pad=(top, kh - 1 - top, left, kw - 1 - left))

    def add(self, name: str) -> str | None:
        h, w, c = self.shape(name)
        style = self.between(0, 3)
        target = (h, w, c if style != 1 else self.between(1, 24))
        first = self.same(name, target)
        second = name if style == 0 else self.same(name, target) if style < 3 else first
        if first is None or second is None:
            return None
        if self.chance(50):
            first, second = second, first
        z = self.zero_point()
        shift = self.between(-12, 0) if self.chance(80) else self.between(-31, 0)
        multiplier = 1 << 30 if shift == 0 else int(self.rng.integers(1 << 30, 1 << 31))
        return self.put(Add, (first, second), target, z, multiplier=(1 << 30, multiplier), shift=(0, shift),
                        requant=self.requant(1, 75.0 * (1 << 19), z))

    def concat(self, name: str) -> str | None:
        h, w, c = self.shape(name)
        z, axis, parts = self.zero(name), self.between(1, 3), self.between(2, 3)
        inputs: list[str] = [name] if self.chance(50) else []
        while len(inputs) < parts:
            shape = (h, w, self.pick(8, 16, self.between(1, 24)) if axis == 3 else c)
            part = self.same(name, shape, z)
            if part is None:
                return None
            if axis < 3 and self.chance(50):
                part = self.pool(part, "max", self.pick((2, 1), (1, 2)), (1, 1), (0, 0, 0, 0)) if self._shrinks(part, axis) else part
            if part is None:
                return None
            inputs.append(part)
        inputs = [inputs[i] for i in self.rng.permutation(parts)]
        sizes = [self.shape(n) for n in inputs]
        if any(s[i] != sizes[0][i] for s in sizes for i in range(3) if i != axis - 1):
            return None
        shape3 = tuple(sum(s[i] for s in sizes) if i == axis - 1 else sizes[0][i] for i in range(3))
        if np.prod(shape3) > self.limits.values:
            return None
        return self.put(Concat, tuple(inputs), shape3, z, axis=axis)  # type: ignore[arg-type]

    def _shrinks(self, name: str, axis: int) -> bool:
        return "max" not in self.limits.without and self.shape(name)[axis - 1] > 1

    def pool(self, name: str, kind: str, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int, int, int],
             rescale: bool = False) -> str | None:
        """Append a pooling; None when a window would be empty."""
        h, w, c = self.shape(name)
        z = self.zero(name)
        low, high = self.clamp(z)
        probe = Pool(name="probe", inputs=(name,), output="", kind=kind, kernel=kernel, stride=stride, pad=pad)  # type: ignore[arg-type]
        if h + pad[0] + pad[1] < kernel[0] or w + pad[2] + pad[3] < kernel[1]:
            return None
        try:
            counts = pool_counts(probe, h, w)
        except HwgenError:
            return None
        if not rescale:
            return self.put(Pool, (name,), (*counts.shape[1:3], c), z, kind=kind, kernel=kernel, stride=stride, pad=pad,
                            qmin=low, qmax=high)
        z = self.zero_point()
        return self.put(Pool, (name,), (*counts.shape[1:3], c), z, kind=kind, kernel=kernel, stride=stride, pad=pad,
                        requant=self.requant(1, 75 * float(np.sqrt(kernel[0] * kernel[1])), z, mean=True))

    def pooling(self, name: str, kind: str) -> str | None:
        kernel = self.kernel()
        h, w, _ = self.shape(name)
        if self.chance(20) and (kind == "average" or h <= 32):
            kernel = (h, w)  # a maximum is never cut in pieces, and each of its rows is a segment
        pad = tuple(self.between(0, k - 1) if self.chance(40) else 0 for k in (kernel[0], kernel[0], kernel[1], kernel[1]))
        stride = kernel if self.chance(40) else (self.between(1, 3), self.between(1, 3))
        return self.pool(name, kind, kernel, stride, pad)  # type: ignore[arg-type]

    def average(self, name: str) -> str | None:
        return self.pooling(name, "average")

    def max(self, name: str) -> str | None:
        return self.pooling(name, "max")

    def mean(self, name: str) -> str | None:
        h, w, _ = self.shape(name)
        return self.pool(name, "average", self.pick((h, w), (h, w), (1, w), (h, 1)), (1, 1), (0, 0, 0, 0), rescale=True)

    def pad(self, name: str) -> str | None:
        h, w, c = self.shape(name)
        t, b, left, right = (self.between(0, 3) for _ in range(4))
        shape = (h + t + b, w + left + right, c)
        if np.prod(shape) > self.limits.values:
            return None
        return self.put(Pad, (name,), shape, self.zero(name), pad=(t, b, left, right))

    def requantize(self, name: str) -> str | None:
        z = self.zero_point()
        return self.put(Requantize, (name,), self.shape(name), z, requant=self.requant(1, 75.0, z))

    def reshape(self, name: str) -> str | None:
        """Append a reshape that moves no byte on any configuration."""
        h, w, c = self.shape(name)
        shape = self.pick((1, h * w, c), (h * w, 1, c), (w, h, c), (1, 1, h * w * c))
        if not (aligned(h, w, c) and aligned(*shape)) or (shape[2] != c and c % 16):
            return None
        return self.put(Reshape, (name,), shape, self.zero(name))


def aligned(height: int, width: int, channels: int) -> bool:
    """True when the rows of a map fill DMA words of 32 bytes, with activation words of 8 and of 16 bytes."""
    return all(width * -(-channels // word) * word % 32 == 0 for word in (8, 16))


def _input(b: Builder) -> str:
    channels = b.pick(1, 3, 8, 16, b.between(1, 40), b.between(1, 40))
    big = b.between(4, 14)
    h, w = b.pick((1, 1), (1, b.between(2, 30)), (b.between(2, 30), 1), (40, 2), (big, big), (big, b.between(3, 12)),
                  (b.between(1, 12), b.between(1, 12)))
    while h * w * channels > b.limits.values:
        channels = max(1, channels // 2)
    return b.tensor((h, w, channels), b.zero_point())


def random_graph(seed: int, limits: Limits = Limits()) -> Graph:  # noqa: B008 - frozen
    """Return the graph of a seed."""
    b = Builder(np.random.default_rng([seed, 4711]), limits)
    first = at = _input(b)
    h, w, c = b.shape(at)
    if b.chance(6) and h * w > 1:
        at = b.put(Reshape, (at,), (w, c, h), b.zero(at))  # the host's: it is the network's first operator
    kinds = [k for k in KINDS if k not in limits.without]
    steps = b.between(1, limits.ops)
    tries = done = 0
    while done < steps and (tries < TRIES or done == 0):
        tries += 1
        before = len(b.ops), len(b.tensors)
        method = {"add": b.add, "average": b.average, "max": b.max}.get(kind := b.pick(*kinds)) or getattr(b, kind)
        found = method(at)
        if found is None:
            b.undo(*before)
            continue
        at, done = found, done + 1
    if b.chance(6):
        at = b.put(Reshape, (at,), (1, 1, int(np.prod(b.shape(at)))), b.zero(at))
    if all(isinstance(op, Reshape) for op in b.ops):
        at = str(b.requantize(at))
    return Graph(f"random-{seed}", "tflite", b.tensors, tuple(b.ops), first, at)


def random_input(graph: Graph, seed: int) -> NDArray[np.int8]:
    """Return one image (1, H, W, C): noise, or all at one end."""
    rng = np.random.default_rng([seed, 815])
    shape = graph.tensors[graph.input].shape
    style = rng.integers(0, 8)
    if style == 0:
        return np.full(shape, rng.choice([-128, 127]), np.int8)
    x = rng.integers(-128, 128, shape)
    return (np.where(x < 0, -128, 127) if style == 1 else x).astype(np.int8)


def describe(graph: Graph) -> str:
    """Return the graph as one line an operator, for the report of a failure."""
    lines = [f"{graph.name}: input {graph.tensors[graph.input].shape[1:]} zero point {graph.tensors[graph.input].zero_point}"]
    for op in graph.ops:
        t = graph.tensors[op.output]
        values = {k: getattr(op, k) for k in ("stride", "dilation", "pad", "groups", "kind", "kernel", "axis", "multiplier", "shift",
                                              "qmin", "qmax") if hasattr(op, k)}
        if isinstance(op, Conv):
            values["weight"] = op.weight.shape
        if (requant := getattr(op, "requant", None)) is not None:
            values["requant"] = (f"{requant.rounding} zp {requant.zero_point} [{requant.qmin}, {requant.qmax}] "
                                 f"multiplier {requant.multiplier[:4].tolist()} shift {requant.shift[:4].tolist()}")
        lines.append(f"  {op.output} {t.shape[1:]} = {op.name}({', '.join(op.inputs)}) "
                     + ", ".join(f"{k} {v}" for k, v in values.items()))
    return "\n".join(lines)
