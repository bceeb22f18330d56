"""Which channels of a network can only be removed together, and the network without them.

A residual addition ties the channels of its inputs, a concatenation puts them side by side, a depthwise layer carries
them through: Fang et al., "DepGraph: towards any structural pruning", CVPR 2023, calls this the dependency graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.graph import Activation, BatchNorm, Clamped, FloatAdd, FloatConv, FloatGraph, FloatPool, Shape
from hwgen.errors import HwgenError
from hwgen.model.graph import Concat, Op, Pad, Reshape

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Channels:
    """The channels of all maps of a network, in classes that are removed together."""

    graph: FloatGraph

    @cached_property
    def _found(self) -> tuple[dict[str, Indices], dict[int, str]]:
        start, total = {}, 0
        for name, shape in self.graph.shapes.items():
            start[name] = np.arange(total, total + shape[3])
            total += shape[3]
        walk = _Walk(self.graph, start, list(range(total)))
        walk.run()
        classes = {name: np.array([walk.root(int(slot)) for slot in slots], np.int64) for name, slots in start.items()}
        fixed: dict[int, str] = {}
        for slots, reason in walk.fixed:
            for slot in slots:
                fixed.setdefault(walk.root(int(slot)), reason)
        return classes, fixed

    def of(self, name: str) -> Indices:
        """The class of each channel of a map."""
        return self._found[0][name]

    def fixed(self, name: str) -> str | None:
        """Why channels of a map cannot be removed; None when all can."""
        return next((self._found[1][c] for c in self.of(name).tolist() if c in self._found[1]), None)

    def groups(self) -> list[list[FloatConv]]:
        """The layers that make new channels, those together whose channels are tied."""
        result: list[list[FloatConv]] = []
        for op in self.graph.convs:
            if op.depthwise:
                continue
            mine = set(self.of(op.output).tolist())
            tied = [group for group in result if any(mine & set(self.of(o.output).tolist()) for o in group)]
            result = [group for group in result if group not in tied]
            result.append([*(o for group in tied for o in group), op])
        return result


class _Walk:
    """One walk over the operators that ties channels."""

    def __init__(self, graph: FloatGraph, slots: dict[str, Indices], parent: list[int]) -> None:
        self.graph, self.slots, self.parent = graph, slots, parent
        self.fixed: list[tuple[Indices, str]] = []

    def root(self, slot: int) -> int:
        while self.parent[slot] != slot:
            self.parent[slot] = slot = self.parent[self.parent[slot]]
        return slot

    def tie(self, first: Iterable[int], second: Iterable[int]) -> None:
        for a, b in zip(first, second, strict=True):
            # The smaller number stays: classes do not depend on the order of ties.
            low, high = sorted((self.root(int(a)), self.root(int(b))))
            self.parent[high] = low

    def run(self) -> None:
        graph = self.graph
        self.fixed += [(self.slots[graph.input], "they are the network's input"),
                       (self.slots[graph.output], "they are the network's output")]
        for op in graph.device_ops:
            self._operator(op)

    def _operator(self, op: Op) -> None:
        out = self.slots[op.output]
        inputs = [self.slots[name] for name in op.inputs]
        if isinstance(op, Clamped) and not op.lo <= 0 <= op.hi:
            self.fixed.append((out, f"{op.name} clamps to a range without zero"))
        if isinstance(op, FloatConv):
            if op.depthwise:
                self.tie(out, np.repeat(inputs[0], len(out) // len(inputs[0])))
            elif op.groups > 1:
                for slots in (*inputs, out):
                    self.fixed.append((slots, f"{op.name} is a convolution of {op.groups} groups of several channels"))
        elif isinstance(op, FloatAdd | FloatPool | Activation | BatchNorm | Pad):
            for slots in inputs:
                self.tie(out, slots)
        elif isinstance(op, Concat) and op.axis == 3:
            self.tie(out, np.concatenate(inputs))
        elif isinstance(op, Reshape) and len(out) % len(inputs[0]) == 0 and self._flattens(op):
            self.tie(out, np.tile(inputs[0], len(out) // len(inputs[0])))
        else:
            for slots in (*inputs, out):
                self.fixed.append((slots, f"{op.name}, a {type(op).__name__}, mixes channels and places"))

    def _flattens(self, op: Reshape) -> bool:
        """Places become channels, with the channels of each place side by side, or nothing moves at all."""
        before, after = self.graph.shapes[op.inputs[0]], self.graph.shapes[op.output]
        return after[1:3] == (1, 1) or before[3] == after[3]


def without(graph: FloatGraph, channels: Channels, gone: Iterable[int]) -> FloatGraph:
    """The network without some classes of channels.

    Raises
    ------
    HwgenError
        When nothing would be left of a map.
    """
    lost = np.array(sorted(gone), np.int64)
    kept = {name: np.flatnonzero(~np.isin(channels.of(name), lost)) for name in graph.shapes}
    for name, left in kept.items():
        if not len(left):
            raise HwgenError("at least one channel of a map must be left", where=name)
    shapes: dict[str, Shape] = {name: (*shape[:3], len(kept[name])) for name, shape in graph.shapes.items()}
    return replace(graph, ops=tuple(_smaller(op, kept) for op in graph.ops), shapes=shapes)


def silenced(graph: FloatGraph, channels: Channels, gone: Iterable[int]) -> FloatGraph:
    """The network of the same shape whose channels of some classes are zero: what `without` computes."""
    lost = np.array(sorted(gone), np.int64)
    new: dict[Op, Iterable[Op]] = {}
    for op in graph.ops:
        if isinstance(op, FloatConv | BatchNorm):
            stays = ~np.isin(channels.of(op.output), lost)
            new[op] = (scaled(op, stays.astype(np.float32)),)
    return graph.replace_ops(new)


def scaled(op: FloatConv | BatchNorm, factor: NDArray[np.float32]) -> FloatConv | BatchNorm:
    """The operator with each channel of its result, before the clamp, times a factor."""
    if isinstance(op, FloatConv):
        return replace(op, weight=op.weight * factor.reshape(-1, 1, 1, 1), bias=op.bias * factor)
    return replace(op, gamma=op.gamma * factor, beta=op.beta * factor)


def _smaller(op: Op, kept: Mapping[str, Indices]) -> Op:
    if isinstance(op, BatchNorm):
        left = kept[op.output]
        return replace(op, gamma=op.gamma[left], beta=op.beta[left], mean=op.mean[left], variance=op.variance[left])
    if not isinstance(op, FloatConv):
        return op
    left = kept[op.output]
    weight, bias = op.weight[left], op.bias[left]
    if op.depthwise:
        return replace(op, weight=weight, bias=bias, groups=len(kept[op.inputs[0]]))
    # Grouped layers lose nothing, see `Channels`; a layer of one group reads what is left.
    return replace(op, weight=weight if op.groups > 1 else weight[:, :, :, kept[op.inputs[0]]], bias=bias)
