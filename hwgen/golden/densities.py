"""How much of a network is not zero, layer by layer."""

from __future__ import annotations

from typing import Any

from hwgen.golden.graph import Batch, run
from hwgen.model.graph import Conv, Graph


def densities(graph: Graph, x: Batch) -> list[dict[str, Any]]:
    """Return ``name``, ``weights`` and ``activations`` of every convolution.

    Parameters
    ----------
    graph : Graph
    x : int8 array, shape (N, H, W, C), or mapping of map names to such arrays
        Inputs; all maps of all of them are held at once.

    Returns
    -------
    list of dict
        The latter two are shares that are not zero, of its weights and of the map it reads: a value is zero when it is
        the map's zero point.
    """
    maps = run(graph, x, keep=True).tensors
    return [
        {"name": op.name, "weights": float((op.weight != 0).mean()),
         "activations": float((maps[op.inputs[0]] != graph.tensors[op.inputs[0]].zero_point).mean())}
        for op in graph.ops if isinstance(op, Conv)
    ]  # fmt: skip
