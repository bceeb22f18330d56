"""What exporters write that is not plain QuantizeLinear / DequantizeLinear around standard operators, rewritten so.

A pass is a file with a function ``rewrite(net) -> list of Node``. Names of the file's tensors are kept: the reference
runs the file itself, and its tensors are compared by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hwgen.model.onnx_dialects import gemm, qcdq, qonnx, qoperator
from hwgen.model.onnx_dialects.network import Network
from hwgen.model.onnx_node import Array, Node

PASSES: tuple[Callable[[Network], list[Node]], ...] = (qoperator.rewrite, qonnx.rewrite, qcdq.rewrite, gemm.rewrite)
"""In the order in which they are applied."""


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
        nodes = one(Network(nodes, consts, outputs, opsets))
    return nodes
