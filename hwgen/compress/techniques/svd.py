"""Singular value decomposition: a layer becomes two, with fewer channels between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.data import Data
from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.technique import Family, Technique, chosen_layers
from hwgen.errors import HwgenError
from hwgen.model.graph import Op


@dataclass(frozen=True, kw_only=True, eq=False)
class Svd(Technique):
    """Split W (outputs x inputs) into U V of rank r, the best approximation there is.

    The first layer keeps kernel, stride and padding and has r channels; the second is 1x1. Without ``layers``, fully
    connected and 1x1 layers are split where that saves weights; a named layer may have any kernel, and is always split.
    """

    name: ClassVar[str] = "svd"
    family: ClassVar[Family] = "decomposition"

    rank: int | None = parameter(None, "rank of every chosen layer", low=1)
    energy: float | None = parameter(None, "instead: share of the squared singular values to keep, at least", low=0,
                                     high=1)
    ranks: dict[str, int] = parameter({}, "instead: the rank of each layer, by name", low=1)
    layers: tuple[str, ...] = parameter((), "layers to split")
    exclude: tuple[str, ...] = parameter((), "layers to leave alone")

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum([self.rank is not None, self.energy is not None, bool(self.ranks)]) != 1:
            raise HwgenError("give exactly one of rank, energy and ranks")
        if self.ranks and (self.layers or self.exclude):
            raise HwgenError("ranks names its layers: layers and exclude must be absent")

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        named = tuple(self.ranks) or self.layers
        layers, notes = {}, []
        for op in chosen_layers(graph, named, self.exclude):
            if op.groups > 1 or (not named and not _is_matrix(graph, op)):
                if named:
                    raise HwgenError(f"a layer of {op.groups} groups cannot be split", where=op.name)
                continue
            values = np.linalg.svd(_matrix(op), compute_uv=False)
            rank = self._rank(op, values)
            rows, columns = _matrix(op).shape
            if not named and rank * (rows + columns) >= rows * columns:
                notes.append(f"{op.name}: rank {rank} of {rows} x {columns} saves nothing, left as it is")
                continue
            tail = float((values[rank:] ** 2).sum() / max((values**2).sum(), 1e-300))
            layers[op.name] = {"rank": rank, "of": len(values), "relative_error": tail**0.5}
        return self.plan(layers=layers, notes=notes)

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        shapes = dict(graph.shapes)
        pairs: dict[Op, Iterable[Op]] = {}
        for op in graph.convs:
            if op.name in plan.layers:
                first, second = split(op, plan.layers[op.name]["rank"])
                pairs[op] = (first, second)
                shapes[first.output] = (*graph.shapes[op.output][:3], len(first.weight))
        return replace(graph.replace_ops(pairs), shapes=shapes)

    def _rank(self, op: FloatConv, values: NDArray[np.floating]) -> int:
        if self.energy is not None:
            share = np.cumsum(values**2) / max(float((values**2).sum()), 1e-300)
            return min(int(np.searchsorted(share, self.energy - 1e-12)) + 1, len(values))
        rank = self.ranks.get(op.name, self.rank or 1)
        if rank > len(values):
            rows, columns = _matrix(op).shape
            raise HwgenError(f"rank must be at most {len(values)}, that of its {rows} x {columns} weights, not {rank}",
                             where=op.name)
        return rank


def split(op: FloatConv, rank: int) -> tuple[FloatConv, FloatConv]:
    """The two layers of a rank, each with the square roots of the singular values."""
    u, values, v = np.linalg.svd(_matrix(op), full_matrices=False)
    root = np.sqrt(values[:rank])
    inner = f"{op.output}/rank_{rank}"
    first = replace(op, name=f"{op.name}/svd_1", output=inner, lo=-np.inf, hi=np.inf, bias=np.zeros(rank, np.float32),
                    weight=(root[:, None] * v[:rank]).astype(np.float32).reshape(rank, *op.weight.shape[1:]))
    second = FloatConv(name=f"{op.name}/svd_2", inputs=(inner,), output=op.output, source=op.source, lo=op.lo, hi=op.hi,
                       bias=op.bias, weight=(u[:, :rank] * root).astype(np.float32).reshape(-1, 1, 1, rank))
    return first, second


def _matrix(op: FloatConv) -> NDArray[np.float64]:
    return op.weight.reshape(len(op.weight), -1).astype(np.float64)


def _is_matrix(graph: FloatGraph, op: FloatConv) -> bool:
    """A 1x1 layer, or a fully connected one."""
    kernel = op.weight.shape[1:3]
    return kernel == (1, 1) or kernel == graph.shapes[op.inputs[0]][1:3]
