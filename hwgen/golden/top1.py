"""Accuracy of a network's outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.model.graph import Graph


def check_labels(graph: Graph, labels: NDArray[np.int64], count: int, where: str) -> None:
    """Refuse labels that are no classes of the network's first output.

    Parameters
    ----------
    graph : Graph
    labels : int64 array, shape (N,)
    count : int
        Inputs that there are.
    where : str
        Named in messages.

    Raises
    ------
    HwgenError
        When there are more or fewer labels than inputs, one is not a class, or the output is not a vector of scores.
    """
    shape = graph.outputs[0].shape
    classes = int(np.prod(shape))
    if len(labels) != count:
        raise HwgenError(f"the labels y must be one for each of the {count} inputs, not {len(labels)}", where=where)
    if classes != max(shape, default=1):
        raise HwgenError(f"labels need outputs that are class scores, not maps of shape {shape[1:]}", where=where,
                         remedy="leave y out")
    if labels.min() < 0 or labels.max() >= classes:
        raise HwgenError(f"the labels y must be in 0..{classes - 1}, not {labels.min()}..{labels.max()}", where=where)


def top1(scores: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """The share of inputs whose largest score, the first of equal ones, is at the label.

    Parameters
    ----------
    scores : array, shape (N, ...)
        The first output.
    labels : int64 array, shape (N,)
        Checked by `check_labels`.
    """
    return float((scores.reshape(len(scores), -1).argmax(axis=1) == labels).mean())
