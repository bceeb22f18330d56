"""What decompositions share: a layer becomes a chain of smaller ones, linear up to the last."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.data import Data
from hwgen.compress.evbmf import evbmf_rank
from hwgen.compress.graph import FloatConv, FloatGraph, Shape
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.technique import Technique, check_named, chosen_layers
from hwgen.errors import HwgenError
from hwgen.model.graph import Op


@dataclass(frozen=True, kw_only=True, eq=False)
class MatrixDecomposition(Technique):
    """A decomposition by the singular values of some matrix of a layer's weights: two layers, with fewer channels
    between them."""

    rank: int | None = parameter(None, "rank of every chosen layer", low=1)
    energy: float | None = parameter(None, "instead: share of the squared singular values to keep, at least", low=0,
                                     high=1)
    ranks: dict[str, int] = parameter({}, "instead: the rank of each layer, by name", low=1)
    evbmf: bool = parameter(False, "instead: the rank that stands out from noise")
    layers: tuple[str, ...] = parameter((), "layers to split")
    exclude: tuple[str, ...] = parameter((), "layers to leave alone")

    def __post_init__(self) -> None:
        super().__post_init__()
        if sum([self.rank is not None, self.energy is not None, bool(self.ranks), self.evbmf]) != 1:
            raise HwgenError("give exactly one of rank, energy, ranks and evbmf")
        check_named("ranks", self.ranks, self.layers, self.exclude)

    @abstractmethod
    def matrix(self, op: FloatConv) -> NDArray[np.float64]:
        """The matrix whose singular values count."""

    @abstractmethod
    def pair(self, op: FloatConv, rank: int) -> tuple[FloatConv, FloatConv]:
        """The two layers of a rank."""

    @abstractmethod
    def suits(self, graph: FloatGraph, op: FloatConv) -> bool:
        """Whether a layer of one group that nobody named is to be split."""

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        named = tuple(self.ranks) or self.layers
        layers, notes = {}, []
        for op in splittable(chosen_layers(graph, named, self.exclude), named):
            if not named and not self.suits(graph, op):
                continue
            matrix = self.matrix(op)
            values = np.linalg.svd(matrix, compute_uv=False)
            rank = self._rank(op, matrix, values)
            rows, columns = matrix.shape
            if not named and rank * (rows + columns) >= rows * columns:
                notes.append(f"{op.name}: rank {rank} of {rows} x {columns} saves nothing, left as it is")
                continue
            tail = float((values[rank:] ** 2).sum() / max((values**2).sum(), 1e-300))
            layers[op.name] = {"rank": rank, "of": len(values), "relative_error": tail**0.5}
        return self.plan(layers=layers, notes=notes)

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        return with_chains(graph, {op: self.pair(op, plan.layers[op.name]["rank"]) for op in graph.convs
                                   if op.name in plan.layers})

    def _rank(self, op: FloatConv, matrix: NDArray[np.float64], values: NDArray[np.floating]) -> int:
        if self.energy is not None:
            total = float((values**2).sum())
            if not total:
                return 1
            share = np.cumsum(values**2) / total
            return min(int(np.searchsorted(share, self.energy - 1e-12)) + 1, len(values))
        if self.evbmf:
            return max(evbmf_rank(matrix), 1)
        rank = self.ranks.get(op.name, self.rank or 1)
        if rank > len(values):
            rows, columns = matrix.shape
            raise HwgenError(f"rank must be at most {len(values)}, that of its {rows} x {columns} weights, not {rank}",
                             where=op.name)
        return rank


def factors(matrix: NDArray[np.float64], rank: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two matrices of a rank whose product is nearest, each with the square roots of the singular values."""
    u, values, v = np.linalg.svd(matrix, full_matrices=False)
    root = np.sqrt(values[:rank])
    return u[:, :rank] * root, root[:, None] * v[:rank]


def splittable(chosen: Iterable[FloatConv], named: tuple[str, ...]) -> list[FloatConv]:
    """The layers of one group; a grouped one is left out, or an error when it was named."""
    result = []
    for op in chosen:
        if op.groups == 1:
            result.append(op)
        elif named:
            raise HwgenError(f"a layer of {op.groups} groups cannot be split", where=op.name)
    return result


def is_matrix(graph: FloatGraph, op: FloatConv) -> bool:
    """A 1x1 layer, or a fully connected one."""
    kernel = op.weight.shape[1:3]
    return kernel == (1, 1) or kernel == graph.shapes[op.inputs[0]][1:3]


def part(op: FloatConv, weight: NDArray[Any], name: str, source: str, **changes: Any) -> FloatConv:
    """A layer of a chain: ``weight`` (outputs, kh, kw, inputs), no clamp, no bias, stride 1 unless ``changes`` say so.

    It reads the map ``source`` and writes one that is called as itself: a layer that is split again has the map of the
    one before it, but never its name.
    """
    name = f"{op.name}/{name}"
    return replace(FloatConv(name=name, inputs=(source,), output=name, source=op.source,
                             weight=weight.astype(np.float32), bias=np.zeros(len(weight), np.float32)), **changes)


def last(op: FloatConv) -> dict[str, Any]:
    """What the last layer of a chain takes from the layer that it stands for."""
    return {"output": op.output, "bias": op.bias, "lo": op.lo, "hi": op.hi}


def with_chains(graph: FloatGraph, chains: Mapping[Op, tuple[FloatConv, ...]]) -> FloatGraph:
    """The graph with layers replaced by chains; the maps between them get their shapes."""
    shapes = dict(graph.shapes)
    for chain in chains.values():
        for op in chain[:-1]:
            if op.output in shapes:
                raise HwgenError(f"a map must not be called {op.output!r}, as a part of it would be", where=op.name)
            shapes[op.output] = _result_shape(shapes[op.inputs[0]], op)
    return replace(graph.replace_ops(chains), shapes=shapes)


def _result_shape(shape: Shape, op: FloatConv) -> Shape:
    size = [(shape[1 + i] + op.pad[2 * i] + op.pad[2 * i + 1] - op.dilation[i] * (op.weight.shape[1 + i] - 1) - 1)
            // op.stride[i] + 1 for i in (0, 1)]
    return shape[0], size[0], size[1], len(op.weight)
