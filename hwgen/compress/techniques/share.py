"""Weight sharing: each layer's weights become those of a small codebook."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hwgen.compress.data import Data
from hwgen.compress.graph import FloatArray, FloatGraph
from hwgen.compress.kmeans import kmeans, nearest
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.technique import Family, Technique, chosen_layers
from hwgen.compress.techniques.fold_batch_norm import fold_batch_norm
from hwgen.errors import HwgenError


@dataclass(frozen=True, kw_only=True, eq=False)
class Share(Technique):
    """Replace each weight that is not zero by the nearest of few values, which k-means finds (Deep Compression).

    Batch normalisation is folded first, as it would give each channel values of its own.
    """

    name: ClassVar[str] = "share"
    family: ClassVar[Family] = "quantization"

    entries: int = parameter(16, "values of a layer, zero not counted", low=2, high=256)
    layer_entries: dict[str, int] = parameter({}, "entries of single layers", low=2, high=256)
    layers: tuple[str, ...] = parameter((), "layers to share the weights of, all if absent")
    exclude: tuple[str, ...] = parameter((), "layers to leave alone")

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        graph = fold_batch_norm(graph)
        chosen = chosen_layers(graph, self.layers, self.exclude)
        for name in self.layer_entries:
            if graph.conv(name) not in chosen:
                raise HwgenError("layer_entries names a layer that is not to be treated", where=name)
        layers = {}
        for op in chosen:
            held = op.weight[op.weight != 0]
            codebook = kmeans(held, self.layer_entries.get(op.name, self.entries))
            shared = _shared(op.weight, codebook).astype(np.float64)
            whole = float(np.sum(op.weight.astype(np.float64) ** 2))
            error = (float(np.sum((op.weight - shared) ** 2)) / max(whole, 1e-300)) ** 0.5
            layers[op.name] = {"entries": len(codebook), "weights": int(held.size), "relative_error": error,
                               "codebook": [float(c) for c in codebook]}
        return self.plan(layers=layers)

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        graph = fold_batch_norm(graph)
        books = {name: np.array(entry["codebook"], np.float32) for name, entry in plan.layers.items()}
        return graph.replace_ops({op: (replace(op, weight=_shared(op.weight, books[op.name]), storage="codebook"),)
                                  for op in graph.convs if op.name in books})


def _shared(weight: FloatArray, codebook: FloatArray) -> FloatArray:
    """Zeros stay zero: pruned weights are no part of a codebook."""
    return weight if not len(codebook) else np.where(weight == 0, np.float32(0), nearest(weight, codebook))
