"""Spatial decomposition: a kh x kw layer becomes one of kh x 1 and one of 1 x kw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.decompose import MatrixDecomposition, factors, last, part
from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.compress.technique import Family


@dataclass(frozen=True, kw_only=True, eq=False)
class Spatial(MatrixDecomposition):
    """Split W[o, y, x, i] into sum over r of H[o, x, r] V[r, y, i] (Jaderberg 2014, scheme 2), the best approximation.

    The first layer runs along columns and has r channels, the second along rows. Without ``layers``, layers whose
    kernel is larger than 1 both ways and smaller than their map are split where that saves weights.
    """

    name: ClassVar[str] = "spatial"
    family: ClassVar[Family] = "decomposition"

    def matrix(self, op: FloatConv) -> NDArray[np.float64]:
        outputs, height, width, inputs = op.weight.shape
        return op.weight.astype(np.float64).transpose(0, 2, 1, 3).reshape(outputs * width, height * inputs)

    def pair(self, op: FloatConv, rank: int) -> tuple[FloatConv, FloatConv]:
        outputs, height, width, inputs = op.weight.shape
        along_rows, along_columns = factors(self.matrix(op), rank)
        top, bottom, left, right = op.pad
        first = part(op, along_columns.reshape(rank, height, 1, inputs), "spatial_1", op.inputs[0],
                     stride=(op.stride[0], 1), dilation=(op.dilation[0], 1), pad=(top, bottom, 0, 0))
        second = part(op, along_rows.reshape(outputs, 1, width, rank), "spatial_2", first.output,
                      stride=(1, op.stride[1]), dilation=(1, op.dilation[1]), pad=(0, 0, left, right), **last(op))
        return first, second

    def suits(self, graph: FloatGraph, op: FloatConv) -> bool:
        return min(op.weight.shape[1:3]) > 1 and op.weight.shape[1:3] != graph.shapes[op.inputs[0]][1:3]
