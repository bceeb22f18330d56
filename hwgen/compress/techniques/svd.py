"""Singular value decomposition: a layer becomes two, with fewer channels between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.decompose import MatrixDecomposition, factors, is_matrix, last, part
from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.compress.technique import Family


@dataclass(frozen=True, kw_only=True, eq=False)
class Svd(MatrixDecomposition):
    """Split W (outputs x inputs) into U V of rank r, the best approximation there is.

    The first layer keeps kernel, stride and padding and has r channels; the second is 1x1. Without ``layers``, fully
    connected and 1x1 layers are split where that saves weights; a named layer may have any kernel, and is always split.
    """

    name: ClassVar[str] = "svd"
    family: ClassVar[Family] = "decomposition"

    def matrix(self, op: FloatConv) -> NDArray[np.float64]:
        return op.weight.reshape(len(op.weight), -1).astype(np.float64)

    def pair(self, op: FloatConv, rank: int) -> tuple[FloatConv, FloatConv]:
        u, v = factors(self.matrix(op), rank)
        first = part(op, v.reshape(rank, *op.weight.shape[1:]), "svd_1", op.inputs[0], stride=op.stride,
                     dilation=op.dilation, pad=op.pad)
        return first, part(op, u.reshape(-1, 1, 1, rank), "svd_2", first.output, **last(op))

    def suits(self, graph: FloatGraph, op: FloatConv) -> bool:
        return is_matrix(graph, op)
