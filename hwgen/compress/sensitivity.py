"""Sensitivity: what a network loses when one layer at a time gets fewer bits, fewer weights or a lower rank."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hwgen.compress.data import Data
from hwgen.compress.decompose import MatrixDecomposition, is_matrix, with_chains
from hwgen.compress.graph import FloatArray, FloatConv, FloatGraph
from hwgen.compress.mixed import WIDTHS
from hwgen.compress.technique import chosen_layers
from hwgen.compress.techniques.fold_batch_norm import fold_batch_norm
from hwgen.compress.techniques.prune import Prune, least_zeroed
from hwgen.compress.techniques.quantize import Quantize
from hwgen.compress.techniques.spatial import Spatial
from hwgen.compress.techniques.svd import Svd
from hwgen.compress.variants import answers, distance, top1
from hwgen.errors import HwgenError

SPARSITIES = (0.25, 0.5, 0.625, 0.75, 0.875, 0.95)
RANKS = (0.125, 0.25, 0.5, 0.75)
GRAINS = ("element", "vector", "kernel", "block", "channel", "filter", "bank")
CURVES = ("bits", *GRAINS, "rank")


@dataclass(frozen=True)
class Curve:
    """One layer: ``settings`` are bits, sparsities or shares of the full rank; ``top1`` is None without labels.

    ``error`` is the mean square of what the outputs are off, over their variance.
    """

    layer: str
    curve: str
    settings: list[float]
    top1: list[float] | None
    error: list[float]


@dataclass(frozen=True)
class Sensitivity:
    """The curves of a network, the accuracy of the network itself, and the layers that a curve leaves out."""

    inputs: int
    top1: float | None
    curves: list[Curve]
    notes: list[str]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def sensitivity(graph: FloatGraph, data: Data, curves: Sequence[str] = ("bits", "element", "vector", "rank"), *,
                layers: tuple[str, ...] = (), samples: int = 512,
                progress: Callable[[int, int], None] | None = None) -> Sensitivity:
    """Measure a float network with one layer changed at a time.

    Parameters
    ----------
    graph : FloatGraph
        Its batch normalisation is folded first.
    data : Data
    curves : sequence of str
        Of `CURVES`: ``bits`` quantises weights (symmetric, a scale a channel), a grain of `prune` zeroes those of least
        magnitude, ``rank`` splits as `svd` does, or `spatial` where the kernel is larger.
    layers : tuple of str
        All when empty.
    samples : int
        Inputs, stratified by class.
    progress : callable, optional

    Raises
    ------
    HwgenError
        For an unknown curve or layer.
    """
    for curve in curves:
        if curve not in CURVES:
            raise HwgenError(f"a curve must be one of {', '.join(CURVES)}, not {curve!r}")
    graph = fold_batch_norm(graph)
    sample = data.sample(samples)
    notes: list[str] = []
    variants = {(op.name, curve, setting): variant for op in chosen_layers(graph, layers) for curve in curves
                for setting, variant in _variants(graph, op, curve, notes)}
    base, found = answers(graph, variants, sample.x, progress)
    result: dict[tuple[str, str], Curve] = {}
    for (name, curve, setting), outputs in found.items():
        line = result.setdefault((name, curve), Curve(name, curve, [], None if sample.y is None else [], []))
        line.settings.append(setting)
        line.error.append(distance(base, outputs))
        if sample.y is not None and line.top1 is not None:
            line.top1.append(top1(outputs, sample.y))
    return Sensitivity(len(sample), None if sample.y is None else top1(base, sample.y), list(result.values()), notes)


def _variants(graph: FloatGraph, op: FloatConv, curve: str, notes: list[str]) -> Iterator[tuple[float, FloatGraph]]:
    """Settings of a curve and the network of each."""
    if curve == "bits":
        for bits in WIDTHS:
            yield bits, _with_weight(graph, op, rounded(op, bits))
    elif curve == "rank":
        step: MatrixDecomposition = Svd(rank=1) if is_matrix(graph, op) else Spatial(rank=1)
        if op.groups > 1:
            notes.append(f"{op.name}: a layer of {op.groups} groups cannot be split")
            return
        full = min(step.matrix(op).shape)
        for share in RANKS:
            pair = step.pair(op, max(1, round(share * full)))
            yield share, with_chains(graph, {op: pair})
    else:
        grain = Prune(grain=curve, sparsity=0).made_grain()
        rule = grain.misfit(op)
        if rule is not None:
            notes.append(f"{op.name}: grain {curve} does not fit, {rule}")
            return
        for sparsity in SPARSITIES:
            yield sparsity, _with_weight(graph, op, least_zeroed(grain, op, round(sparsity * op.weight.size)))


def rounded(op: FloatConv, bits: int) -> FloatArray:
    """Weights as so many bits have them: symmetric, a scale a channel, ranges of least squared error."""
    return Quantize(weight_range="mse").weight_quantizer(op, bits).fake(op.weight)


def _with_weight(graph: FloatGraph, op: FloatConv, weight: FloatArray) -> FloatGraph:
    return graph.replace_ops({op: (replace(op, weight=weight),)})
