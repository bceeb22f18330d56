"""Rewrites of ONNX networks before they are read: what is computed stays the same, and so do the names of the file's
tensors, except of real values inside what is rewritten.

`constants` comes first, then `PASSES`: the dialects are undone, then the network is put into the form that the machine
runs. `pads` works on the graph that was read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hwgen.model.onnx_dialects import DIALECTS
from hwgen.model.onnx_dialects.network import Network
from hwgen.model.onnx_node import Array, Node
from hwgen.model.onnx_passes import quantise_earlier, split

PASSES: tuple[Callable[[Network], list[Node]], ...] = (*DIALECTS, split.rewrite, quantise_earlier.rewrite)
"""In the order in which they are applied; each is a file with a function ``rewrite(net) -> list of Node``."""


def rewrite(nodes: list[Node], consts: dict[str, Array], outputs: Sequence[str], opsets: dict[str, int]) -> list[Node]:
    """The network in the one language that the reader knows.

    Parameters
    ----------
    nodes : list of Node
        In execution order.
    consts : dict of str to array
        New constants are added.
    outputs : sequence of str
        Names of the network's outputs.
    opsets : dict of str to int
        Versions of the operator sets.
    """
    for one in PASSES:
        nodes = reachable(one(Network(nodes, consts, outputs, opsets)), outputs)
    return nodes


def reachable(nodes: list[Node], outputs: Sequence[str]) -> list[Node]:
    """Nodes that the outputs depend on, in order."""
    needed = set(outputs)
    kept: list[Node] = []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            needed.update(name for name in node.inputs if name)
            kept.append(node)
    return kept[::-1]
