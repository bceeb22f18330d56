"""Element pruning in one shot: the smallest weights become zero."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.data import Data
from hwgen.compress.graph import FloatArray, FloatConv, FloatGraph
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.technique import Family, Technique, chosen_layers
from hwgen.errors import HwgenError


@dataclass(frozen=True, kw_only=True, eq=False)
class Prune(Technique):
    """Zero the weights of least magnitude; how many in each layer is planned first."""

    name: ClassVar[str] = "prune"
    family: ClassVar[Family] = "sparsification"

    sparsity: float | None = parameter(None, "share of all chosen layers' weights that become zero", low=0, high=1)
    keep: int | None = parameter(None, "instead: how many weights of all chosen layers are kept", low=1)
    layer_sparsity: dict[str, float] = parameter({}, "instead: the share of each layer, by name", low=0, high=1)
    ratios: str = parameter("lamp", "how a total is divided: the same share for every layer, or by LAMP scores",
                            choices=("uniform", "lamp"))
    layers: tuple[str, ...] = parameter((), "layers to prune, all if absent")
    exclude: tuple[str, ...] = parameter((), "layers to leave alone")

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [self.sparsity is not None, self.keep is not None, bool(self.layer_sparsity)]
        if sum(given) != 1:
            raise HwgenError("give exactly one of sparsity, keep and layer_sparsity")
        if self.layer_sparsity and (self.layers or self.exclude):
            raise HwgenError("layer_sparsity names its layers: layers and exclude must be absent")

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        chosen = chosen_layers(graph, tuple(self.layer_sparsity) or self.layers, self.exclude)
        sizes = np.array([op.weight.size for op in chosen])
        if self.layer_sparsity:
            removed = np.array([round(self.layer_sparsity[op.name] * op.weight.size) for op in chosen])
        else:
            removed = self._divided(chosen, sizes)
        return self.plan(layers={
            op.name: {"weights": int(size), "removed": int(count), "sparsity": float(count / size)}
            for op, size, count in zip(chosen, sizes, removed, strict=True)})

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        return graph.replace_ops({
            op: (replace(op, weight=smallest_zeroed(op.weight, plan.layers[op.name]["removed"])),)
            for op in graph.convs if op.name in plan.layers})

    def _divided(self, chosen: tuple[FloatConv, ...], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Weights to remove in each layer."""
        total = int(sizes.sum())
        if self.keep is not None and self.keep > total:
            raise HwgenError(f"keep must be at most {total}, the weights of the chosen layers, not {self.keep}")
        count = total - self.keep if self.keep is not None else round((self.sparsity or 0.0) * total)
        if self.ratios == "uniform":
            exact = sizes * (count / total)
            removed = np.floor(exact).astype(np.int64)
            last = np.argsort(removed - exact, kind="stable")[: count - int(removed.sum())]
            removed[last] += 1
            return removed
        scores = np.concatenate([lamp_scores(op.weight) for op in chosen])
        layer = np.repeat(np.arange(len(chosen)), sizes)
        return np.bincount(layer[np.argsort(scores, kind="stable")[:count]], minlength=len(chosen))


def smallest_zeroed(weight: FloatArray, count: int) -> FloatArray:
    """The weights with the ``count`` of least magnitude (the first of equal ones) set to zero."""
    flat = weight.reshape(-1).copy()
    flat[np.argsort(np.abs(flat), kind="stable")[:count]] = 0
    return flat.reshape(weight.shape)


def lamp_scores(weight: FloatArray) -> NDArray[np.float64]:
    """LAMP scores (Lee 2021): a weight's square over the sum of the squares of all that are not smaller."""
    squares = weight.reshape(-1).astype(np.float64) ** 2
    order = np.argsort(squares, kind="stable")
    tail = np.cumsum(squares[order][::-1])[::-1]
    scores = np.zeros(len(squares))
    scores[order] = np.divide(squares[order], tail, out=np.zeros(len(tail)), where=tail > 0)
    return scores
