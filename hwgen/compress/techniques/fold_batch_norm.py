"""Batch normalisation into the weights and bias of the convolution before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hwgen.compress.data import Data
from hwgen.compress.graph import BatchNorm, FloatConv, FloatGraph
from hwgen.compress.passes import fuse_activations
from hwgen.compress.plan import Plan
from hwgen.compress.technique import Family, Technique


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldBatchNorm(Technique):
    """Fold every batch normalisation; one that does not follow a convolution becomes a depthwise 1x1 convolution.

    ``w' = w * gamma / sqrt(variance + epsilon)``, ``b' = (b - mean) * gamma / sqrt(variance + epsilon) + beta``.
    """

    name: ClassVar[str] = "fold_batch_norm"
    family: ClassVar[Family] = "quantization"

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        return self.plan(layers={
            norm.name: {"into": before.name if (before := _before(graph, norm)) else None}
            for norm in graph.ops if isinstance(norm, BatchNorm)})

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        for name in plan.layers:
            norm = next(op for op in graph.ops if isinstance(op, BatchNorm) and op.name == name)
            graph = _folded(graph, norm)
        return fuse_activations(graph)


def fold_batch_norm(graph: FloatGraph) -> FloatGraph:
    """The graph without batch normalisation."""
    step = FoldBatchNorm()
    return step.apply(graph, step.fit(graph, Data(np.zeros((0, *graph.shapes[graph.input][1:]), np.float32))))


def _before(graph: FloatGraph, norm: BatchNorm) -> FloatConv | None:
    """The convolution that a normalisation can go into: it alone reads the convolution's unclamped result."""
    op = graph.writer(norm.inputs[0])
    alone = len(graph.readers(norm.inputs[0])) == 1 and norm.inputs[0] != graph.output
    return op if isinstance(op, FloatConv) and alone and (op.lo, op.hi) == (-np.inf, np.inf) else None


def _folded(graph: FloatGraph, norm: BatchNorm) -> FloatGraph:
    factor, offset = norm.factor(), norm.offset()
    before = _before(graph, norm)
    if before is None:
        conv = FloatConv(name=norm.name, inputs=norm.inputs, output=norm.output, source=norm.source, lo=norm.lo,
                         hi=norm.hi, weight=factor.astype(np.float32).reshape(-1, 1, 1, 1),
                         bias=offset.astype(np.float32), groups=len(factor))
        return graph.replace_ops({norm: (conv,)})
    weight = before.weight * factor.reshape(-1, 1, 1, 1)
    conv = replace(before, output=norm.output, lo=norm.lo, hi=norm.hi, weight=weight.astype(np.float32),
                   bias=(before.bias * factor + offset).astype(np.float32))
    shapes = {name: shape for name, shape in graph.shapes.items() if name != before.output}
    return replace(graph.replace_ops({before: (conv,), norm: ()}), shapes=shapes)
