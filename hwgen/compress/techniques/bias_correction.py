"""Bias correction: quantised layers get the mean output of the float ones (Nagel 2019, by samples)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.data import Data
from hwgen.compress.execute import Maps, execute, fake_weights, gather
from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.technique import Family, Technique


@dataclass(frozen=True, kw_only=True, eq=False)
class BiasCorrection(Technique):
    """Add to each bias what rounding takes from the layer's mean result, per channel, before its activation.

    Layers are corrected in order, each behind those corrected already.
    """

    name: ClassVar[str] = "bias_correction"
    family: ClassVar[Family] = "quantization"
    on_quantized: ClassVar[bool] = True

    samples: int = parameter(256, "inputs to measure on, stratified by class", low=16)

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        sample = data.sample(self.samples, 16)
        wanted = {op.name: _mean(graph, op.name, sample, fake=False) for op in graph.convs}
        corrections = {}
        for name, mean in wanted.items():
            corrections[name] = mean - _mean(graph, name, sample, fake=True)
            graph = _corrected(graph, {name: corrections[name]})
        return self.plan(layers={name: {"correction": [float(c) for c in values]}
                                 for name, values in corrections.items()})

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        return _corrected(graph, {name: np.array(entry["correction"]) for name, entry in plan.layers.items()})


def _corrected(graph: FloatGraph, corrections: dict[str, NDArray[np.float64]]) -> FloatGraph:
    return graph.replace_ops({op: (replace(op, bias=(op.bias + corrections[op.name]).astype(np.float32)),)
                              for op in graph.convs if op.name in corrections})


def _mean(graph: FloatGraph, name: str, sample: Data, *, fake: bool) -> NDArray[np.float64]:
    """Mean of each channel of a layer's result, its activation left out."""
    layer = (fake_weights(graph) if fake else graph).conv(name)
    plain: FloatConv = replace(layer, lo=-np.inf, hi=np.inf)

    def total(maps: Maps) -> tuple[NDArray[np.float64], int]:
        y = execute(plain, [maps[plain.inputs[0]]], graph.shapes)
        return y.sum(axis=(0, 1, 2), dtype=np.float64), y.size // y.shape[3]

    parts = gather(graph.before(name), sample.x, total, fake=fake)
    return np.asarray(np.sum([p[0] for p in parts], axis=0) / sum(p[1] for p in parts))
