"""Seeded random quantised graphs: every operator, odd shapes, extreme scales. One seed, one graph, on every machine."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.fixedpoint import quantize_multiplier
from hwgen.golden.operators import accumulators, execute
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
    Tensor,
    plain_graph,
)
from tests.random_values import KINDS, Draws, Limits, noise

STANDARD = Limits()
TRIES = 40
IDENTITY = Requant(np.array([1 << 30]), np.array([1]), 0)


@dataclass
class Builder(Draws):
    """Grows a graph one operator at a time, and runs it: scales and biases follow from what really flows.

    ``image`` is the seed of the input that scales are chosen for.
    """

    image: int = 0
    tensors: dict[str, Tensor] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    values: dict[str, NDArray[np.int8]] = field(default_factory=dict)
    """Every map for the input."""

    def shape(self, name: str) -> tuple[int, int, int]:
        return self.tensors[name].shape[1:]

    def zero(self, name: str) -> int:
        return self.tensors[name].zero_point

    def tensor(self, shape: tuple[int, int, int], zero_point: int) -> str:
        name = f"t{len(self.tensors)}"
        self.tensors[name] = Tensor(name, (1, *shape), 0.1, zero_point)
        return name

    def put(
        self, what: type[Op], inputs: tuple[str, ...], shape: tuple[int, int, int], zero_point: int, /, **values: Any
    ) -> str:
        """Append an operator and return the name of its output."""
        output = self.tensor(shape, zero_point)
        op = what(name=f"{len(self.ops)}_{what.__name__.lower()}", inputs=inputs, output=output, **values)
        self.ops.append(op)
        self.values[output] = execute(op, [self.values[n] for n in inputs], self.tensors)
        return output

    def sums(self, op: Op, shape: tuple[int, int, int]) -> NDArray[np.int64]:
        """Return the accumulators of an operator that is not in the graph yet, (pixels, channels)."""
        tensors = self.tensors | {op.output: Tensor(op.output, (1, *shape), 0.1, 0)}
        acc = accumulators(op, [self.values[n] for n in op.inputs], tensors)
        return acc.reshape(-1, shape[2]).astype(np.int64)

    def source(self, shape: tuple[int, int, int], zero_point: int | None = None) -> str:
        """Add an input of the network."""
        seed = self.image + len(self.sources)
        name = self.tensor(shape, self.zero_point() if zero_point is None else zero_point)
        self.values[name] = noise((1, *shape), seed)
        return name

    @property
    def sources(self) -> list[str]:
        """The network's inputs."""
        made = {op.output for op in self.ops}
        return [name for name in self.tensors if name not in made]

    def other(self) -> bool:
        """Return whether an operator should read another input of the network."""
        return self.limits.ends and self.chance(25)

    def undo(self, ops: int, tensors: int) -> None:
        """Forget what came after the first ``ops`` operators and ``tensors`` maps."""
        del self.ops[ops:]
        for name in list(self.tensors)[tensors:]:
            del self.tensors[name]
            self.values.pop(name, None)

    def convolve(
        self, name: str, weight: NDArray[Any], groups: int, *, zero_point: int | None = None, **window: Any
    ) -> str | None:
        """Append a convolution; None when it has no output or is too large."""
        h, w, _ = self.shape(name)
        out, kh, kw, _ = weight.shape
        (sy, sx), (dy, dx) = window.get("stride", (1, 1)), window.get("dilation", (1, 1))
        top, bottom, left, right = window.get("pad", (0, 0, 0, 0))
        rows, columns = h + top + bottom - (kh - 1) * dy - 1, w + left + right - (kw - 1) * dx - 1
        if rows < 0 or columns < 0:
            return None
        shape = (rows // sy + 1, columns // sx + 1, out)
        macs = shape[0] * shape[1] * weight.size
        if macs > self.limits.macs or np.prod(shape) > self.limits.values:
            return None
        z = self.zero_point() if zero_point is None else zero_point
        plain = Conv(
            name="probe",
            inputs=(name,),
            output="probe",
            weight=weight,
            bias=np.zeros(out, np.int32),
            requant=IDENTITY,
            groups=groups,
            **window,
        )
        acc = self.sums(plain, shape)
        return self.put(
            Conv,
            (name,),
            shape,
            z,
            weight=weight,
            bias=self.bias(acc),
            requant=self.requant(acc, z),
            groups=groups,
            **window,
        )

    def conv(self, name: str) -> str | None:
        kernel = self.kernel()
        return self.convolve(
            name, self.weight((self.between(1, 40), *kernel, self.shape(name)[2])), 1, **self.window(name)
        )

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
        return self.convolve(
            name,
            self.weight((shape[2], kh, kw, self.shape(name)[2])),
            1,
            zero_point=zero_point,
            pad=(top, kh - 1 - top, left, kw - 1 - left),
        )

    def add(self, name: str) -> str | None:
        h, w, c = self.shape(name)
        style = self.between(0, 3)
        target = (h, w, c if style != 1 else self.between(1, 24))
        first = self.same(name, target)
        second = name if style == 0 else self.same(name, target) if style < 3 else first
        if first is None or second is None:
            return None
        if self.other():
            second = self.source(target)
        if self.chance(50):
            first, second = second, first
        z = self.zero_point()
        shift = self.between(-12, 0) if self.chance(80) else self.between(-31, 0)
        multiplier = 1 << 30 if shift == 0 else int(self.rng.integers(1 << 30, 1 << 31))
        values: dict[str, Any] = {"multiplier": (1 << 30, multiplier), "shift": (0, shift)}
        acc = self.sums(Add(name="probe", inputs=(first, second), output="probe", requant=IDENTITY, **values), target)
        return self.put(Add, (first, second), target, z, requant=self.requant(acc, z, single=True), **values)

    def concat(self, name: str) -> str | None:
        h, w, c = self.shape(name)
        z, axis, parts = self.zero(name), self.between(1, 3), self.between(2, 3)
        inputs: list[str] = [name] if self.chance(50) else []
        while len(inputs) < parts:
            shape = (h, w, self.pick(8, 16, self.between(1, 24)) if axis == 3 else c)
            part = self.source(shape, z) if self.other() else self.same(name, shape, z)
            if part is None:
                return None
            if axis < 3 and self.chance(50):
                shrinks = "max" not in self.limits.without and self.shape(part)[axis - 1] > 1
                kernel = self.pick((2, 1), (1, 2))
                part = self.pool(part, "max", kernel, (1, 1), (0, 0, 0, 0)) if shrinks else part
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

    def pool(
        self,
        name: str,
        kind: str,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        pad: tuple[int, int, int, int],
        rescale: bool = False,
        counted: tuple[int, int, int, int] | None = None,
    ) -> str | None:
        """Append a pooling; None when a window would be empty. With ``counted`` each divisor has a multiplier."""
        h, w, c = self.shape(name)
        z = self.zero(name)
        low, high = self.clamp(z)
        values: dict[str, Any] = {"kind": kind, "kernel": kernel, "stride": stride, "pad": pad}
        probe = Pool(name="probe", inputs=(name,), output="probe", requant=IDENTITY if rescale else None, **values)
        if h + pad[0] + pad[1] < kernel[0] or w + pad[2] + pad[3] < kernel[1]:
            return None
        try:
            counts = pool_counts(probe, h, w)
        except HwgenError:
            return None
        shape = (*counts.shape[1:3], c)
        if not rescale:
            return self.put(Pool, (name,), shape, z, qmin=low, qmax=high, **values)
        z = self.zero_point()
        acc = self.sums(probe, shape)
        if counted is not None:
            one = self.requant(acc, z, single=True)
            by_count = {n: divided(one, n, kernel[0] * kernel[1]) for n in range(1, kernel[0] * kernel[1] + 1)}
            return self.put(Pool, (name,), shape, z, by_count=by_count, counted=counted, **values)
        return self.put(Pool, (name,), shape, z, requant=self.requant(acc, z, mean=True, single=True), **values)

    def pooling(self, name: str, kind: str) -> str | None:
        kernel = self.kernel()
        h, w, _ = self.shape(name)
        if self.chance(20):
            kernel = (h, w)
        pad = tuple(
            self.between(0, k - 1) if self.chance(40) else 0 for k in (kernel[0], kernel[0], kernel[1], kernel[1])
        )
        stride = kernel if self.chance(40) else (self.between(1, 3), self.between(1, 3))
        if kind == "average" and self.chance(40):
            counted = pad if self.chance(30) else tuple(self.between(0, n) for n in pad)
            return self.pool(name, kind, kernel, stride, pad, True, counted)  # type: ignore[arg-type]
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

    def requantize(self, name: str) -> str:
        z = self.zero_point()
        acc = self.sums(Requantize(name="probe", inputs=(name,), output="probe", requant=IDENTITY), self.shape(name))
        return self.put(Requantize, (name,), self.shape(name), z, requant=self.requant(acc, z, single=True))

    def reshape(self, name: str) -> str | None:
        """Append a reshape that moves no byte on any configuration."""
        h, w, c = self.shape(name)
        shape = self.pick((1, h * w, c), (h * w, 1, c), (w, h, c), (1, 1, h * w * c))
        if not (aligned(h, w, c) and aligned(*shape)) or (shape[2] != c and c % 16):
            return None
        return self.put(Reshape, (name,), shape, self.zero(name))


def divided(requant: Requant, count: int, whole: int) -> Requant:
    """Return ``requant``, which is for windows of ``whole`` pixels, for those of ``count``."""
    real = math.ldexp(int(requant.multiplier[0]), int(requant.shift[0]) - 31) * whole / count
    multiplier, shift = quantize_multiplier(min(real, 127.9))
    return replace(requant, multiplier=np.array([multiplier]), shift=np.array([shift]))


def aligned(height: int, width: int, channels: int) -> bool:
    """True when the rows of a map fill DMA words of 32 bytes, with activation words of 8 and of 16 bytes."""
    return all(width * -(-channels // word) * word % 32 == 0 for word in (8, 16))


def _input(b: Builder) -> str:
    channels = b.pick(1, 3, 8, 16, b.between(1, 40), b.between(1, 40))
    big = b.between(4, 14)
    h, w = b.pick(
        (1, 1),
        (1, b.between(2, 30)),
        (b.between(2, 30), 1),
        (40, 2),
        (big, big),
        (big, b.between(3, 12)),
        (b.between(1, 12), b.between(1, 12)),
    )
    while h * w * channels > b.limits.values:
        channels = max(1, channels // 2)
    return b.source((h, w, channels))


def dull(values: NDArray[np.int8]) -> bool:
    """True when nearly all values of a map are clamped to the same."""
    return values.size > 4 and np.bincount(values.reshape(-1).view(np.uint8)).max() > 0.8 * values.size


def random_graph(seed: int, limits: Limits = STANDARD) -> Graph:
    """Return the graph of a seed."""
    b = Builder(np.random.default_rng([seed, 4711]), limits, seed)
    at = _input(b)
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
        if found is None or (b.chance(90) and dull(b.values[found])):
            b.undo(*before)
            continue
        at, done = found, done + 1
    if b.chance(6):
        at = b.put(Reshape, (at,), (1, 1, int(np.prod(b.shape(at)))), b.zero(at))
    if all(isinstance(op, Reshape) for op in b.ops):
        at = b.requantize(at)
    ends = [at]
    if limits.ends:
        ends += [op.output for op in b.ops if op.output != at and b.chance(15)]
        ends += [name for name in b.sources if b.chance(3)]
        ends = [ends[i] for i in b.rng.permutation(len(ends))]
    return plain_graph(f"random-{seed}", "tflite", b.tensors, tuple(b.ops), b.sources, ends)


def random_input(graph: Graph, seed: int) -> NDArray[np.int8]:
    """Return the image (1, H, W, C), of the first input, that the scales of `random_graph` suit."""
    return noise(graph.tensors[graph.input].shape, seed)


def random_inputs(graph: Graph, seed: int) -> dict[str, NDArray[np.int8]]:
    """Return the images (1, H, W, C) of all inputs that the scales of `random_graph` suit."""
    return {name: noise(graph.tensors[name].shape, seed + i) for i, name in enumerate(graph.input_maps)}
