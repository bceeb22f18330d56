"""Pruning in one shot: the smallest weights become zero, alone or grain by grain."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.data import Data
from hwgen.compress.grains import Banks, Block, Channel, Element, Filter, Grain, Kernel, OutOf
from hwgen.compress.graph import FloatArray, FloatConv, FloatGraph
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.ratios import lamp_scores, least_scores, uniform
from hwgen.compress.technique import Family, Technique, check_named, chosen_layers
from hwgen.errors import HwgenError

GRAINS = ("element", "vector", "kernel", "block", "channel", "filter", "n:m", "bank")

TOLERANCE = 1e-3
"""How far the sparsity reached may be from the one asked for without a word."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prune(Technique):
    """Zero the weights of least magnitude; how many in each layer is planned first.

    Of a grain (`hwgen.compress.grains`) those units go whose squares sum up to least.
    """

    name: ClassVar[str] = "prune"
    family: ClassVar[Family] = "sparsification"

    sparsity: float | None = parameter(None, "share of all chosen layers' weights that become zero", low=0, high=1)
    keep: int | None = parameter(None, "instead: how many weights of all chosen layers are kept", low=1)
    layer_sparsity: dict[str, float] = parameter({}, "instead: the share of each layer, by name", low=0, high=1)
    ratios: str = parameter("lamp", "how a total is divided: the same share for every layer, or by LAMP scores",
                            choices=("uniform", "lamp"))
    grain: str = parameter("element", "what becomes zero together", choices=GRAINS)
    vector: int = parameter(8, "neighbouring output channels of a vector", low=2)
    block: tuple[int, ...] = parameter((4, 4), "output and input channels of a block")
    pattern: str = parameter("2:4", "N:M: at most N of M neighbouring input channels are kept; it sets the sparsity")
    banks: int = parameter(4, "parts of an output channel's weights that keep equally many", low=2)
    layers: tuple[str, ...] = parameter((), "layers to prune, all that the grain fits if absent")
    exclude: tuple[str, ...] = parameter((), "layers to leave alone")

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [self.sparsity is not None, self.keep is not None, bool(self.layer_sparsity)]
        fixed = self.made_grain().ratio is not None
        if fixed and any(given):
            raise HwgenError(f"pattern {self.pattern} sets the sparsity: sparsity, keep and layer_sparsity must be "
                             "absent")
        if not fixed and sum(given) != 1:
            raise HwgenError("give exactly one of sparsity, keep and layer_sparsity")
        check_named("layer_sparsity", self.layer_sparsity, self.layers, self.exclude)

    def made_grain(self) -> Grain:
        """The grain of the parameters.

        Raises
        ------
        HwgenError
            When a parameter of it is against its rule.
        """
        if self.grain == "n:m":
            found = re.fullmatch(r"(\d+):(\d+)", self.pattern)
            if not found or not 0 < int(found[1]) < int(found[2]):
                raise HwgenError(f"pattern must be N:M with 0 < N < M, not {self.pattern!r}")
            return OutOf(int(found[1]), int(found[2]))
        if self.grain == "block" and (len(self.block) != 2 or min(self.block) < 1 or max(self.block) < 2):
            raise HwgenError(f"block must be two positive numbers, one above 1, not {list(self.block)}")
        sized = {"vector": (self.vector, 1), "block": self.block}
        if self.grain in sized:
            return Block(*sized[self.grain])
        simple: dict[str, Grain] = {"element": Element(), "kernel": Kernel(), "channel": Channel(), "filter": Filter(),
                                    "bank": Banks(self.banks)}
        return simple[self.grain]

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        grain = self.made_grain()
        chosen, notes = self._chosen(graph, grain)
        scores = [unit_scores(grain, op) for op in chosen]
        sizes = [op.weight.size // len(s) for op, s in zip(chosen, scores, strict=True)]
        if grain.ratio is not None:
            removed = [round(grain.ratio * len(s)) for s in scores]
        elif self.layer_sparsity:
            removed = [round(self.layer_sparsity[op.name] * len(s)) for op, s in zip(chosen, scores, strict=True)]
        else:
            removed = self._divided(scores, sizes, notes)
        return self.plan(notes=notes, layers={
            op.name: {"weights": op.weight.size, "removed": n * size, "sparsity": n * size / op.weight.size}
            for op, n, size in zip(chosen, removed, sizes, strict=True)})

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        grain = self.made_grain()
        return graph.replace_ops({op: (replace(op, weight=least_zeroed(grain, op, plan.layers[op.name]["removed"])),)
                                  for op in graph.convs if op.name in plan.layers})

    def _chosen(self, graph: FloatGraph, grain: Grain) -> tuple[list[FloatConv], list[str]]:
        """The layers to prune, and what is to be said about those that the grain does not fit."""
        named = tuple(self.layer_sparsity) or self.layers
        chosen, notes = [], []
        for op in chosen_layers(graph, named, self.exclude):
            rule = grain.misfit(op)
            if rule is None:
                chosen.append(op)
            elif named:
                raise HwgenError(f"grain {self.grain} does not fit: {rule}", where=op.name,
                                 remedy="leave the layer out, or choose another grain")
            else:
                notes.append(f"{op.name}: grain {self.grain} does not fit, {rule}; left as it is")
        if not chosen:
            raise HwgenError(f"grain {self.grain} fits no chosen layer: " + "; ".join(notes), where=graph.name)
        return chosen, notes

    def _divided(self, scores: list[NDArray[np.float64]], sizes: list[int], notes: list[str]) -> list[int]:
        """Units to remove in each layer."""
        total = sum(len(s) * size for s, size in zip(scores, sizes, strict=True))
        if self.keep is not None and self.keep > total:
            raise HwgenError(f"keep must be at most {total}, the weights of the chosen layers, not {self.keep}")
        count = total - self.keep if self.keep is not None else round((self.sparsity or 0.0) * total)
        if self.ratios == "uniform":
            removed = uniform([len(s) for s in scores], sizes, count)
        else:
            removed = least_scores([lamp_scores(s) for s in scores], sizes, count)
        reached = sum(n * size for n, size in zip(removed, sizes, strict=True))
        if abs(reached - count) > TOLERANCE * total:
            notes.append(f"sparsity {reached / total:.4f} instead of {count / total:.4f}: what goes together has "
                         f"{min(sizes)} to {max(sizes)} weights")
        return removed


def unit_scores(grain: Grain, op: FloatConv) -> NDArray[np.float64]:
    """The sum of squares of each unit."""
    squares = np.square(op.weight, dtype=np.float64)
    return np.bincount(grain.units(op).reshape(-1), squares.reshape(-1)).astype(np.float64)


def least_zeroed(grain: Grain, op: FloatConv, count: int) -> FloatArray:
    """The weights with the units of least squares (the first of equal ones) set to zero, ``count`` weights in all.

    Raises
    ------
    HwgenError
        When the mask is none of the grain.
    """
    scores = unit_scores(grain, op)
    gone = np.zeros(len(scores), bool)
    gone[np.argsort(scores, kind="stable")[: count * len(scores) // op.weight.size]] = True
    kept = ~gone[grain.units(op)]
    if not grain.holds(op, kept):
        raise HwgenError(f"{count} of its weights cannot be removed by the grain's rule", where=op.name)
    return np.where(kept, op.weight, np.float32(0))
