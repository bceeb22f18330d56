"""Cross-layer equalisation: scale channels between two layers so that both use their ranges alike (Nagel 2019)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.data import Data
from hwgen.compress.execute import Maps, gather
from hwgen.compress.graph import FloatConv, FloatGraph, FloatPool
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.technique import Family, Technique
from hwgen.compress.techniques.fold_batch_norm import fold_batch_norm

_DONE = 1e-4
"""Largest change of a factor, relative to 1, at which another round is not worth it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Equalize(Technique):
    """Divide channel i of a layer's output by ``sqrt(r1 r2) / r2`` and multiply it back in the next layer.

    r1 and r2 are the largest magnitudes of the channel's weights in the first and the second layer; both are
    ``sqrt(r1 r2)`` afterwards, unless that would make the map between them span more than ``widen`` times what it did:
    a nearly dead channel with a large bias would (MobileNet has many), and cost every other channel its precision. The
    function of the network does not change. It takes pairs of layers with nothing but ReLU and pooling between them,
    the first read by the second only.
    """

    name: ClassVar[str] = "equalize"
    family: ClassVar[Family] = "quantization"

    rounds: int = parameter(50, "most passes over all pairs; chains of layers converge in several", low=1)
    widen: float = parameter(1.0, "how many times the range of a map may grow", low=1)
    samples: int = parameter(256, "inputs to measure ranges of maps on, stratified by class", low=1)

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        graph = fold_batch_norm(graph)
        pairs = [(op, second) for op in graph.convs if (second := _next(graph, op)) is not None]
        largest = {op.name: _magnitudes(op) for op in graph.convs}
        factors = {first.name: np.ones(len(first.weight)) for first, _ in pairs}
        least = self._least_factors(graph, [first for first, _ in pairs], data.sample(self.samples, 1))
        for _ in range(self.rounds):
            change = 0.0
            for first, second in pairs:
                a, b = largest[first.name], largest[second.name]
                r1, r2 = a.max(axis=2).reshape(-1), b.max(axis=1).reshape(-1)
                alive = (r1 > 0) & (r2 > 0)
                step = np.sqrt(np.divide(r1, r2, out=np.ones(len(r1)), where=alive))
                step = np.maximum(step, least[first.name] / factors[first.name])
                largest[first.name] = a / step.reshape(*a.shape[:2], 1)
                largest[second.name] = b * step.reshape(b.shape[0], 1, b.shape[2])
                factors[first.name] *= step
                change = max(change, float(np.abs(step - 1).max()))
            if change < _DONE:
                break
        left = [op.name for op in graph.convs if op.name not in factors]
        return self.plan(
            layers={first.name: {"reader": second.name, "factors": [float(f) for f in factors[first.name]]}
                    for first, second in pairs},
            notes=["no partner, as something but ReLU and pooling follows or several layers read it: "
                   + ", ".join(left)] if left else [])

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        graph = fold_batch_norm(graph)
        for name, entry in plan.layers.items():
            factors = np.array(entry["factors"])
            first = graph.conv(name)
            graph = graph.replace_ops({first: (replace(
                first, weight=(first.weight / factors.reshape(-1, 1, 1, 1)).astype(np.float32),
                bias=(first.bias / factors).astype(np.float32)),)})
            second = graph.conv(entry["reader"])
            grouped = second.weight.reshape(second.groups, -1, *second.weight.shape[1:])
            weight = grouped * factors.reshape(second.groups, 1, 1, 1, -1)
            graph = graph.replace_ops({second: (replace(
                second, weight=weight.reshape(second.weight.shape).astype(np.float32)),)})
        return graph

    def _least_factors(self, graph: FloatGraph, layers: list[FloatConv],
                       sample: Data) -> dict[str, NDArray[np.float64]]:
        """Factors below which a channel would leave the range that its map may have."""
        def reached(maps: Maps) -> dict[str, NDArray[np.float64]]:
            return {op.name: np.abs(maps[op.output]).max(axis=(0, 1, 2)).astype(np.float64) for op in layers}

        parts = gather(graph, sample.x, reached, fake=False)
        least = {}
        for op in layers:
            reach = np.max([part[op.name] for part in parts], axis=0)
            # The bias counts too: it says what a channel that the sample leaves silent may do.
            least[op.name] = np.minimum(np.maximum(reach, np.abs(op.bias)) / max(self.widen * reach.max(), 1e-30), 1.0)
        return least


def _magnitudes(op: FloatConv) -> NDArray[np.float64]:
    """Largest magnitude of each kernel, shape (groups, outputs of a group, inputs of a group)."""
    out, _, _, per_group = op.weight.shape
    return np.abs(op.weight).max(axis=(1, 2)).astype(np.float64).reshape(op.groups, out // op.groups, per_group)


def _next(graph: FloatGraph, first: FloatConv) -> FloatConv | None:
    """The layer that a channel's factor can be undone in."""
    if first.lo not in (0.0, -np.inf) or first.hi != np.inf:
        return None
    name = first.output
    while name != graph.output and len(readers := graph.readers(name)) == 1:
        (op,) = readers
        if isinstance(op, FloatConv):
            return op
        # A maximum or average scales with its input; a clamp after it must do so as well.
        if not isinstance(op, FloatPool) or op.lo not in (0.0, -np.inf) or op.hi != np.inf:
            return None
        name = op.output
    return None
