"""Layers that lost inputs get weights that make up for them: least squares against the network before.

He et al., "Channel pruning for accelerating very deep neural networks", ICCV 2017.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.compress.moments import moments, plain_results, rows, with_rows
from hwgen.compress.optimal_brain import least_squares

_RIDGE = 0.03
"""How much weights are held where they were, relative to the inputs' mean square; that of `optimal_brain`."""


def reconstructed(dense: FloatGraph, small: FloatGraph, kept: Mapping[str, NDArray[np.int64]],
                  x: NDArray[np.float32]) -> dict[str, FloatConv]:
    """The layers of a network without some channels, fitted in order, each on what those before it then give it.

    Parameters
    ----------
    dense : FloatGraph
        The network before.
    small : FloatGraph
        Layers of the same names.
    kept : mapping
        By layer, the output channels of ``dense`` that are left.
    x : array
        Inputs to fit on.
    """
    fitted: dict[str, FloatConv] = {}
    for name in [op.name for op in small.convs]:
        op = small.conv(name)
        wanted = np.ascontiguousarray(plain_results(dense, name, x)[..., kept[name]])
        parts = [least_squares(gram, cross, near, _RIDGE)[0]
                 for (gram, cross), near in zip(moments(small, name, x, wanted), rows(op), strict=True)]
        weight, bias = with_rows(op, parts)
        fitted[name] = replace(op, weight=weight, bias=bias)
        small = small.replace_ops({op: (fitted[name],)})
    return fitted
