"""Optimal brain compression: pruning layer by layer on a few inputs, without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.data import Data
from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.compress.moments import moments, plain_results, rows, with_rows
from hwgen.compress.optimal_brain import Matrix, least_squares, refit, removal_costs
from hwgen.compress.packing import pack, unpack
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.ratios import least_scores, uniform
from hwgen.compress.technique import Family, Technique, check_named, chosen_layers
from hwgen.compress.techniques.fold_batch_norm import fold_batch_norm
from hwgen.errors import HwgenError


@dataclass(frozen=True, kw_only=True, eq=False)
class OptimalBrain(Technique):
    """Remove single weights in the order that costs a layer's results least, and let the others make up for it.

    Layers are treated in order, each on the inputs that those before it, pruned already, give it, so that its results
    come near those of the dense network (Frantar and Alistarh, "Optimal Brain Compression", NeurIPS 2022). Biases are
    fitted with the weights. Batch normalisation is folded first.
    """

    name: ClassVar[str] = "optimal_brain"
    family: ClassVar[Family] = "sparsification"

    sparsity: float | None = parameter(None, "share of all chosen layers' weights that become zero", low=0, high=1)
    layer_sparsity: dict[str, float] = parameter({}, "instead: the share of each layer, by name", low=0, high=1)
    ratios: str = parameter("cost", "how a total is divided: the same share for every layer, or by the share of a "
                            "layer's results that a weight costs", choices=("uniform", "cost"))
    refit: bool = parameter(False, "fit the later layers that are not pruned too: they make up for their inputs")
    ridge: float = parameter(0.03, "how much the weights are held where they were, relative to the inputs' mean square",
                             low=1e-4)  # moments come from float32: with less the Hessian need not be positive
    samples: int = parameter(512, "inputs to fit on, stratified by class", low=16)
    layers: tuple[str, ...] = parameter((), "layers to prune, all if absent")
    exclude: tuple[str, ...] = parameter((), "layers to leave alone")

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.sparsity is None) == (not self.layer_sparsity):
            raise HwgenError("give exactly one of sparsity and layer_sparsity")
        check_named("layer_sparsity", self.layer_sparsity, self.layers, self.exclude)

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        graph = fold_batch_norm(graph)
        chosen = chosen_layers(graph, tuple(self.layer_sparsity) or self.layers, self.exclude)
        x = data.sample(self.samples, 16).x
        removed = self._divided(graph, chosen, x)
        names = {op.name for op in chosen}
        first = next(i for i, op in enumerate(graph.convs) if op.name in names)
        entries: dict[str, dict[str, Any]] = {}
        dense = graph
        for op in graph.convs[first:]:
            if op.name not in names and (not self.refit or op.name in self.exclude):
                continue
            wanted = plain_results(dense, op.name, x)
            weight, bias, error = self._fitted(graph, op, x, wanted, removed.get(op.name, 0))
            entries[op.name] = {"weights": op.weight.size, "removed": removed.get(op.name, 0),
                                "sparsity": removed.get(op.name, 0) / op.weight.size, "relative_error": error,
                                "weight": pack(weight), "bias": pack(bias)}
            graph = _with(graph, {op.name: entries[op.name]})
        return self.plan(layers=entries)

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        return _with(fold_batch_norm(graph), plan.layers)

    def _divided(self, graph: FloatGraph, chosen: Sequence[FloatConv], x: NDArray[np.float32]) -> dict[str, int]:
        """Weights to remove in each layer."""
        if self.layer_sparsity:
            return {op.name: round(self.layer_sparsity[op.name] * op.weight.size) for op in chosen}
        sizes = [op.weight.size for op in chosen]
        count = round((self.sparsity or 0.0) * sum(sizes))
        if self.ratios == "uniform":
            return dict(zip((op.name for op in chosen), uniform(sizes, [1] * len(sizes), count), strict=True))
        scores = []
        for op in chosen:
            wanted = plain_results(graph, op.name, x)
            power = float(np.square(wanted - wanted.mean(axis=(0, 1, 2)), dtype=np.float64).sum())
            costs = []
            for weights, (gram, _) in zip(rows(op), moments(graph, op.name, x, wanted), strict=True):
                target, hessian = least_squares(gram, weights @ gram, weights, self.ridge)
                _, cost = removal_costs(target, hessian, 1)
                costs.append(np.maximum.accumulate(cost, axis=1).reshape(-1))
            scores.append(np.concatenate(costs) / max(power, 1e-300))
        return dict(zip((op.name for op in chosen), least_scores(scores, [1] * len(sizes), count), strict=True))

    def _fitted(self, graph: FloatGraph, op: FloatConv, x: NDArray[np.float32], wanted: NDArray[np.float32],
                count: int) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        """Weights and bias with ``count`` weights zero, and the error of the results relative to their spread."""
        parts = []
        for near, (gram, cross) in zip(rows(op), moments(graph, op.name, x, wanted), strict=True):
            parts.append((gram, cross, *least_squares(gram, cross, near, self.ridge)))
        kept = [np.ones(target.shape, bool) for _, _, target, _ in parts]
        if count:
            ordered = [removal_costs(target, hessian, 1) for _, _, target, hessian in parts]
            _remove(kept, ordered, count)
        fitted = [refit(hessian, target, mask) for (_, _, target, hessian), mask in zip(parts, kept, strict=True)]
        squares = np.square(wanted, dtype=np.float64).sum()
        error = squares + sum(float(np.sum((w @ gram) * w) - 2 * np.sum(w * cross))
                              for w, (gram, cross, _, _) in zip(fitted, parts, strict=True))
        spread = float(np.square(wanted - wanted.mean(axis=(0, 1, 2)), dtype=np.float64).sum())
        weight, bias = with_rows(op, fitted)
        return weight, bias, float(max(error, 0.0) / max(spread, 1e-300)) ** 0.5


def _remove(kept: list[NDArray[np.bool_]], ordered: list[tuple[NDArray[np.int64], Matrix]], count: int) -> None:
    """Take ``count`` weights out of the masks of a layer's groups, each row in its order, the cheapest first."""
    # Of a row the next weight can be cheaper than the one before it: what counts is the dearest so far.
    costs = np.concatenate([np.maximum.accumulate(c, axis=1) for _, c in ordered])
    chosen = np.argsort(costs.reshape(-1), kind="stable")[:count]
    taken = np.bincount(chosen // costs.shape[1], minlength=len(costs))
    orders = np.concatenate([order for order, _ in ordered])
    masks = np.concatenate(kept)
    for mask, order, n in zip(masks, orders, taken, strict=True):
        mask[order[:n]] = False
    kept[:] = np.split(masks, len(kept))


def _with(graph: FloatGraph, entries: dict[str, dict[str, Any]]) -> FloatGraph:
    return graph.replace_ops({op: (replace(op, weight=unpack(entries[op.name]["weight"]),
                                           bias=unpack(entries[op.name]["bias"])),)
                              for op in graph.convs if op.name in entries})
