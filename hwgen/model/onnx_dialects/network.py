"""The nodes and constants that the passes work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.model.onnx_node import Array, Node


@dataclass(eq=False)
class Network:
    """A network between two passes.

    Parameters
    ----------
    nodes : list of Node
        In execution order; nodes that nothing reads are dropped after the last pass.
    consts : dict of str to array
        Passes add to it and change nothing in it.
    outputs : sequence of str
        The network's.
    opsets : dict of str to int
        The version of each operator set.
    """

    nodes: list[Node]
    consts: dict[str, Array]
    outputs: Sequence[str]
    opsets: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        used = (name for node in self.nodes for name in (*node.inputs, *node.outputs, node.name))
        self._names = {*self.consts, *used}

    def fresh(self, base: str) -> str:
        """A name that neither a tensor nor a node has."""
        while base in self._names:
            base += "_"
        self._names.add(base)
        return base

    def constant(self, base: str, value: Any, dtype: Any = None) -> str:
        """A new constant's name."""
        name = self.fresh(base)
        self.consts[name] = np.asarray(value, dtype)
        return name

    def makers(self) -> dict[str, Node]:
        """The node that makes each value."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    def users(self, name: str) -> list[Node]:
        """The nodes that read a value."""
        return [node for node in self.nodes if name in node.inputs]


def quantize(name: str, source: str, scale: str, zero_point: str, output: str, **fields: Any) -> Node:
    """A QuantizeLinear; ``fields`` are the node's."""
    return Node(name, "QuantizeLinear", "", (source, scale, zero_point), (output,), **fields)


def dequantize(name: str, source: str, scale: str, zero_point: str, output: str, axis: int | None = None) -> Node:
    """A DequantizeLinear."""
    inputs = (source, scale, zero_point) if zero_point else (source, scale)
    return Node(name, "DequantizeLinear", "", inputs, (output,), {} if axis is None else {"axis": axis})
