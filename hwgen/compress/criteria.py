"""How much a class of channels matters: one number for each, the least go first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.channels import Channels, Indices, scaled
from hwgen.compress.data import Data
from hwgen.compress.graph import BatchNorm, FloatArray, FloatConv, FloatGraph
from hwgen.compress.variants import answers
from hwgen.errors import HwgenError
from hwgen.model.graph import Op

Scores = NDArray[np.float64]
CRITERIA = ("l1", "l2", "geometric_median", "bn_gamma", "taylor")

_STEP = 0.05
"""How far `taylor` opens and closes the gate of a channel."""


def importance(criterion: str, graph: FloatGraph, channels: Channels, layers: Sequence[FloatConv],
               data: Data) -> tuple[Indices, Scores]:
    """The classes of channels that some layers make together, and how much each matters.

    Parameters
    ----------
    criterion : str
        ``l1``, ``l2``: norm of the filters (Li et al., "Pruning filters for efficient ConvNets", ICLR 2017), of all
        that a class has. ``geometric_median``: distance to all other filters of the layer (He et al., "Filter pruning
        via geometric median", CVPR 2019). ``bn_gamma``: magnitude of the factor of batch normalisation (Liu et al.,
        "Network slimming", ICCV 2017). ``taylor``: square of the derivative of the loss by a gate on the channel
        (Molchanov et al., "Importance estimation for neural network pruning", CVPR 2019), as a central difference.
    graph : FloatGraph
    channels : Channels
        Of the graph, which for ``taylor`` must be without batch normalisation.
    layers : sequence of FloatConv
        That are tied.
    data : Data
        For ``taylor``; with labels.

    Raises
    ------
    HwgenError
        When the network or the data lack what the criterion needs.
    """
    classes = np.unique(np.concatenate([channels.of(op.output) for op in layers]))
    if criterion == "taylor":
        return classes, _taylor(graph, channels, classes, data)
    if criterion == "bn_gamma":
        return classes, _gammas(graph, channels, classes, layers)
    total = np.zeros(len(classes))
    for op in layers:
        rows = op.weight.reshape(len(op.weight), -1).astype(np.float64)
        np.add.at(total, np.searchsorted(classes, channels.of(op.output)), _ROWS[criterion](rows))
    return classes, np.sqrt(total) if criterion == "l2" else total


def _distances(rows: Scores) -> Scores:
    return np.asarray([np.sqrt(np.square(rows - row).sum(axis=1)).sum() for row in rows])


_ROWS: dict[str, Callable[[Scores], Scores]] = {
    "l1": lambda rows: np.asarray(np.abs(rows).sum(axis=1)),
    "l2": lambda rows: np.asarray(np.square(rows).sum(axis=1)),
    "geometric_median": _distances,
}


def _gammas(graph: FloatGraph, channels: Channels, classes: Indices, layers: Sequence[FloatConv]) -> Scores:
    total, found = np.zeros(len(classes)), np.zeros(len(classes), bool)
    for op in graph.ops:
        if isinstance(op, BatchNorm):
            mine = np.isin(channels.of(op.output), classes)
            place = np.searchsorted(classes, channels.of(op.output)[mine])
            np.add.at(total, place, np.abs(op.gamma[mine]))
            found[place] = True
    if not found.all():
        raise HwgenError("no batch normalisation follows it, whose gamma the criterion bn_gamma needs",
                         where=layers[0].name, remedy="use another criterion: the file has it folded already")
    return total


def _taylor(graph: FloatGraph, channels: Channels, classes: Indices, data: Data) -> Scores:
    if data.y is None:
        raise HwgenError("the criterion taylor needs labels", remedy="give y")
    gates = {(i, step): _gated(graph, channels, int(chosen), 1 + step) for i, chosen in enumerate(classes)
             for step in (_STEP, -_STEP)}
    _, outputs = answers(graph, gates, data.x)
    losses = {key: _loss(scores, data.y) for key, scores in outputs.items()}
    return np.array([((losses[i, _STEP] - losses[i, -_STEP]) / (2 * _STEP)) ** 2 for i in range(len(classes))])


def _gated(graph: FloatGraph, channels: Channels, chosen: int, gate: float) -> FloatGraph:
    """The graph with what new values a class's channels get times ``gate``: depthwise layers pass it on themselves."""
    new: dict[Op, Iterable[Op]] = {}
    for op in graph.convs:
        mine = channels.of(op.output) == chosen
        if not mine.any():
            continue  # what is before the first change need not run again
        factor = np.where(mine, np.float32(gate), np.float32(1))
        # A depthwise layer multiplies a map that is gated already: only its bias is not.
        new[op] = (replace(op, bias=op.bias * factor) if op.depthwise else scaled(op, factor),)
    return graph.replace_ops(new)


def _loss(outputs: FloatArray, y: NDArray[np.int64]) -> float:
    """Mean cross entropy."""
    scores = outputs.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    return float((np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(y)), y]).mean())
