"""Second moments of a layer's inputs, and of its inputs with wanted outputs, on a sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.execute import Maps, execute, gather
from hwgen.compress.graph import FloatArray, FloatConv, FloatGraph

Matrix = NDArray[np.float64]

_IMAGES = 32
"""Worked on at a time."""


def rows(op: FloatConv) -> list[Matrix]:
    """Weights of a layer's output channels, of each group a matrix with a row a channel, the bias last."""
    whole = np.concatenate([op.weight.reshape(len(op.weight), -1), op.bias[:, None]], axis=1).astype(np.float64)
    return np.split(whole, op.groups)


def with_rows(op: FloatConv, parts: Sequence[Matrix]) -> tuple[FloatArray, FloatArray]:
    """Weights and bias of a layer that `rows` would make these of."""
    whole = np.concatenate(parts)
    return whole[:, :-1].reshape(op.weight.shape).astype(np.float32), whole[:, -1].astype(np.float32)


def columns(op: FloatConv, x: FloatArray) -> list[FloatArray]:
    """What each output of a layer multiplies, a row a place, for each group: its weights' order and a last 1 for the
    bias."""
    _, kh, kw, depth = op.weight.shape
    top, bottom, left, right = op.pad
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    reach = ((kh - 1) * op.dilation[0] + 1, (kw - 1) * op.dilation[1] + 1)
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(1, 2))
    windows = windows[:, ::op.stride[0], ::op.stride[1], :, ::op.dilation[0], ::op.dilation[1]]
    places = int(np.prod(windows.shape[:3]))
    parts = []
    for group in range(op.groups):
        part = windows[:, :, :, group * depth : (group + 1) * depth].transpose(0, 1, 2, 4, 5, 3)
        parts.append(np.concatenate([part.reshape(places, -1), np.ones((places, 1), x.dtype)], axis=1))
    return parts


def plain_results(graph: FloatGraph, name: str, x: FloatArray) -> FloatArray:
    """What a layer computes before its clamp."""
    layer = replace(graph.conv(name), lo=-np.inf, hi=np.inf)

    def result(maps: Maps) -> FloatArray:
        return execute(layer, [maps[layer.inputs[0]]], graph.shapes)

    return np.concatenate(gather(graph.before(name), x, result, fake=False))


def moments(graph: FloatGraph, name: str, x: FloatArray, wanted: FloatArray, *,
            fake: bool = False) -> list[tuple[Matrix, Matrix]]:
    """Of each group of a layer ``X' X`` (k, k) and ``Y' X`` (outputs, k), k counting the bias last.

    Parameters
    ----------
    graph : FloatGraph
        The layer's inputs are what they are in this network.
    name : str
    x : array
        Inputs of the network.
    wanted : array
        ``Y``: the results that the layer should have, see `plain_results`.
    fake : bool
        As `hwgen.compress.execute.run_float`.
    """
    op = graph.conv(name)
    inputs = np.concatenate(gather(graph.before(name), x, _map_of(op.inputs[0]), fake=fake))
    outputs = len(op.weight) // op.groups
    size = int(np.prod(op.weight.shape[1:])) + 1
    totals = [(np.zeros((size, size)), np.zeros((outputs, size))) for _ in range(op.groups)]
    # Few images at a time, as the columns of a 3x3 layer are nine times its map.
    for start in range(0, len(inputs), _IMAGES):
        y = wanted[start : start + _IMAGES].reshape(-1, op.groups, outputs)
        for group, part in enumerate(columns(op, inputs[start : start + _IMAGES])):
            gram, cross = totals[group]
            gram += part.T @ part
            cross += y[:, group].T @ part
    return totals


def _map_of(name: str) -> Callable[[Maps], FloatArray]:
    return lambda maps: maps[name]
