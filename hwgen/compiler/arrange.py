"""Arrangement of channels, where zeros are skipped: dead ones are left out, the others ordered for equal lanes.

A filter without weights gives a constant, and a channel that nothing reads need not be there. Both are left out of the
machine's maps: what a constant adds to the sums of its readers goes into their biases, so that every value that is
computed stays the same. The channels that remain are ordered by `hwgen.compiler.balance`, those of fully connected
layers by `hwgen.compiler.cluster`. The weights of all operators follow; the result is another graph with equal outputs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.balance import balanced, heaviest
from hwgen.compiler.cluster import clustered
from hwgen.compiler.constant import Constant, constants, foldable, per_channel
from hwgen.compiler.density import Samples, activity
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.model.graph import Add, Conv, Graph, Op, Pool, Requant, Requantize, Reshape

LEAST = 2
"""Channels that a map keeps at least, so that a depthwise convolution stays one."""

GAIN = 0.005
"""Of the heaviest block's cost, for less of which channels stay in their order."""

MORE = 1.01
"""Most that reordering may add to the positions to walk: in channel mapping those at which any of P channels has a
weight, and pruning by vectors keeps them few."""


@dataclass(frozen=True)
class Arrangement:
    """Channels of the network's maps in those of the machine.

    Attributes
    ----------
    kept : dict of str to int64 array
        Network's channel of every channel of the machine's map; maps that are alike are left out.
    constant : dict of str to Constant
        Of the same maps: channels whose value is known without computing it.
    """

    kept: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    constant: dict[str, Constant] = field(default_factory=dict)

    def channel(self, name: str, channel: int) -> int:
        """Return the network's channel of one of the machine's."""
        return int(self.kept[name][channel]) if name in self.kept else channel

    def restore(self, name: str, values: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
        """Return the network's map (..., channels) from the machine's, and which channels are meant by it.

        The others are computed by nobody, since nothing reads them.
        """
        if name not in self.kept:
            return values, np.ones(values.shape[-1], np.bool_)
        constant, kept = self.constant[name], self.kept[name]
        out = np.broadcast_to(constant.value, (*values.shape[:-1], len(constant.value))).copy()
        there = constant.known.copy()
        out[..., kept], there[kept] = values, True
        return out, there


def arrange(graph: Graph, config: Config, samples: Samples | None = None) -> tuple[Graph, Arrangement]:
    """Rearrange the channels of a graph for a machine; nothing changes where no zeros are skipped.

    Inputs and outputs stay as they are, and so do maps whose channels move (concatenation, grouped convolution,
    reshape). Where there are ``samples``, weights count as much as the activations that they meet are not zero.
    """
    if config.skip == "none":
        return graph, Arrangement()
    found = constants(graph)
    needed = _needed(graph, found)
    result = Arrangement()
    for names in _components(graph):
        keep = np.logical_or.reduce([needed[n] for n in names])
        channels = np.flatnonzero(keep)
        if len(channels) < LEAST:
            channels = np.union1d(channels, np.arange(min(LEAST, len(keep))))
        if config.skip in ("weight", "both"):
            channels = channels[_order(graph, names, channels, config, samples)]
        if len(channels) < len(keep) or (np.diff(channels) < 0).any():
            for n in names:
                result.kept[n], result.constant[n] = channels, found[n]
    tensors = {n: replace(t, shape=(*t.shape[:3], len(result.kept[n]))) if n in result.kept else t
               for n, t in graph.tensors.items()}
    ops = tuple(_rearranged(op, graph, found, result) for op in graph.ops)
    return replace(graph, tensors=tensors, ops=ops), result


def _components(graph: Graph) -> Iterator[list[str]]:
    """Yield the maps that must agree in their channels, but for those that must stay as they are."""
    root = {n: n for n in graph.tensors}

    def find(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    fixed = {*graph.input_maps, *graph.output_maps}
    for op in graph.ops:
        names = (*op.inputs, op.output)
        alike = isinstance(op, Reshape) and graph.tensors[names[0]].shape == graph.tensors[names[1]].shape
        if per_channel(op) or alike:
            for n in names:
                root[find(n)] = find(op.output)
        elif not (isinstance(op, Conv) and op.groups == 1):
            fixed |= set(names)
    stay = {find(n) for n in fixed if n in root}
    groups: dict[str, list[str]] = {}
    for n in graph.tensors:
        groups.setdefault(find(n), []).append(n)
    yield from (names for r, names in groups.items() if r not in stay)


def _needed(graph: Graph, found: dict[str, Constant]) -> dict[str, NDArray[np.bool_]]:
    """Return which channels of every map somebody reads whose result they change."""
    needed = {n: np.zeros(t.shape[3], np.bool_) for n, t in graph.tensors.items()}
    for name in graph.output_maps:
        needed[name][:] = True
    for op in reversed(graph.ops):
        for name in op.inputs:
            if isinstance(op, Conv) and op.groups == 1:
                read = (op.weight[~found[op.output].known] != 0).any(axis=(0, 1, 2))
                needed[name] |= read & ~foldable(op, found[name], graph.tensors[name].zero_point)
            elif per_channel(op):
                needed[name] |= needed[op.output] & ~found[op.output].known
            elif isinstance(op, Reshape) and graph.tensors[name].shape == graph.tensors[op.output].shape:
                needed[name] |= needed[op.output]
            else:
                needed[name][:] = True
    return needed


def _order(
    graph: Graph, names: list[str], channels: NDArray[np.int64], config: Config, samples: Samples | None
) -> NDArray[np.int64]:
    """Return the order of ``channels`` that suits the convolutions that compute them: with few vectors of weights where
    there is one pixel, else with equal work for all lanes."""
    same = np.arange(len(channels))
    convs = [op for op in graph.ops if isinstance(op, Conv) and op.groups == 1 and op.output in names]
    if not convs:
        return same
    there = [op.weight[channels] != 0 for op in convs]
    weights = [w.reshape(len(channels), -1) for w in there]
    # Activations that weights meet in pixel mapping, where P pixels go together, and in channel mapping.
    meet, alone = ([np.ones(w.shape[3]) for w in there] for _ in range(2))
    if samples is not None and config.skip == "both":
        meet, alone = ([activity(samples[op.inputs[0]], graph.tensors[op.inputs[0]].zero_point, size) for op in convs]
                       for size in (config.vector, 1))  # fmt: skip
    cost = np.stack([w.sum(axis=(1, 2)) @ a for w, a in zip(there, meet, strict=True)], axis=1)
    size = Derived(config).word

    def vectors(of: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """At how many positions any of P channels has a weight, by input channel, of each layer."""
        starts = np.arange(0, len(of), config.vector)
        return [np.logical_or.reduceat(w[of], starts, axis=0).reshape(-1, len(a)).sum(axis=0)
                for w, a in zip(weights, alone, strict=True)]  # fmt: skip

    if all(graph.tensors[op.output].shape[1:3] == (1, 1) for op in convs):
        # Each weight is used once: what counts is how many vectors of weights there are, not which lane has them.
        order = clustered(np.concatenate(weights, axis=1), config.vector)
        few, many = (sum(int(v.sum()) for v in vectors(of)) for of in (order, same))
        return order if few < many else same
    order = balanced(cost, size)

    def walked(of: NDArray[np.int64]) -> float:
        """Positions by a pixel in the better mapping, of all layers."""
        channel = [v @ a for v, a in zip(vectors(of), alone, strict=True)]
        pixel = cost.sum(axis=0) / config.vector if "pixel" in config.mappings else np.full(len(weights), np.inf)
        return float(np.minimum(channel, pixel).sum())

    better = heaviest(cost, order, size) < heaviest(cost, same, size) - GAIN
    return order if better and walked(order) <= MORE * walked(same) else same


def _rearranged(op: Op, graph: Graph, found: dict[str, Constant], to: Arrangement) -> Op:
    """Return an operator on the rearranged maps."""
    into, out = to.kept.get(op.inputs[0]), to.kept.get(op.output)
    if isinstance(op, Conv):
        if op.groups == 1 and into is not None:
            op = _read(op, found[op.inputs[0]], graph.tensors[op.inputs[0]].zero_point, into)
        if out is not None:
            scale = op.weight_scale
            op = replace(
                op, weight=op.weight[out], bias=op.bias[out], requant=_picked(op.requant, len(op.weight), out),
                groups=op.groups if op.groups == 1 else len(out),
                weight_scale=scale if scale is None or len(scale) != len(op.weight) else scale[out],
            )  # fmt: skip
        return op
    if out is not None and isinstance(op, Add | Pool | Requantize) and op.requant is not None:
        return replace(op, requant=_picked(op.requant, graph.tensors[op.output].shape[3], out))
    return op


def _read(op: Conv, source: Constant, zero_point: int, kept: NDArray[np.int64]) -> Conv:
    """Return a convolution that reads the channels ``kept``; what constant others add goes into its bias."""
    gone = np.ones(op.weight.shape[3], np.bool_)
    gone[kept] = False
    gone &= foldable(op, source, zero_point)
    added = op.weight.astype(np.int64).sum(axis=(1, 2))[:, gone] @ (source.value[gone].astype(np.int64) - zero_point)
    # Sums wrap to 32 bits as in the hardware, so it does not matter where a part of one is.
    bias = (op.bias.astype(np.int64) + added).astype(np.int32)
    return replace(op, weight=op.weight[..., kept], bias=bias)


def _picked(requant: Requant, channels: int, kept: NDArray[np.int64]) -> Requant:
    if channels == 1 or len(requant.multiplier) != channels:
        return requant
    return replace(requant, multiplier=requant.multiplier[kept], shift=requant.shift[kept])
