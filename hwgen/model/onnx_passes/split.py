"""Split as one Slice for each part."""

from __future__ import annotations

import numpy as np

from hwgen.model.onnx_dialects.network import Network
from hwgen.model.onnx_node import Node

PART = "part"
"""Attribute of a Slice that stands for one of the equal parts of a Split: (which, of how many)."""


def rewrite(net: Network) -> list[Node]:
    """Every Split into equal parts or parts of constant sizes; others stay, for the reader to name."""
    return [new for node in net.nodes
            for new in (_slices(net, node) if node.op == "Split" and node.domain in ("", "ai.onnx") else [node])]


def _slices(net: Network, node: Node) -> list[Node]:
    axis, count = int(node.attrs.get("axis", 0)), len(node.outputs)
    sizes = net.consts.get(node.input(1)) if node.input(1) else node.attrs.get("split")
    if sizes is None and node.input(1):
        return [node]
    if sizes is None:
        return [Node(net.fresh(f"{node.name}/{i}"), "Slice", "", node.inputs[:1], (output,),
                     {"axis": axis, PART: (i, count)}) for i, output in enumerate(node.outputs)]
    ends = np.cumsum(np.asarray(sizes, np.int64).reshape(-1))
    if len(ends) != count:
        return [node]
    slices = []
    for i, output in enumerate(node.outputs):
        numbers = [net.constant(f"{node.name}/{i}/{what}", [value], np.int64)
                   for what, value in (("start", ends[i - 1] if i else 0), ("end", ends[i]), ("axis", axis))]
        slices.append(Node(net.fresh(f"{node.name}/{i}"), "Slice", "", (node.inputs[0], *numbers), (output,)))
    return slices
