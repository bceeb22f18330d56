"""QuantizeLinear in front of what only picks values: the maximum of quantised values is the quantised maximum.

Quantisers that leave such operators out write Conv, MaxPool, QuantizeLinear; the machine quantises what a convolution
gives at once. The real result of the operator that picks is then that of quantised values, so it keeps its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hwgen.model.onnx_dialects.network import Network, dequantize
from hwgen.model.onnx_node import Node

PICKS = {"MaxPool", "GlobalMaxPool", "Concat", "Slice", "Gather", "Pad"}
"""Operators whose results are values of their inputs, or zero, or padding below all values."""

_MAP = 4
"""Dimensions of a map."""

_CLIPS = {"Relu", "Clip"}
_PASSED = _CLIPS | {"Identity", "Dropout", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}


def rewrite(net: Network) -> list[Node]:
    """Quantise what such operators read instead of what they give, where only quantisers read that."""
    work = _Work(net, list(net.nodes))
    for node in reversed(net.nodes):
        if _picks(net, node):
            work.earlier(node)
    return work.nodes


def _picks(net: Network, node: Node) -> bool:
    """Whether values have to be quantised before a node: a Transpose of parts of channels is one of `PICKS`, and a Pad
    with zero, which every quantiser has an integer for."""
    if node.op == "Transpose":
        return len(node.attrs.get("perm", ())) > _MAP
    if node.op != "Pad":
        return node.op in PICKS and len(node.outputs) == 1
    value = net.consts.get(node.input(2)) if node.input(2) else node.attrs.get("value", 0)
    return node.attrs.get("mode", "constant") == "constant" and value is not None and not np.any(value)


@dataclass(eq=False)
class _Work:
    """The network while it changes: its nodes in order, and the values that were made, by how."""

    net: Network
    nodes: list[Node]
    made: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.makers = self.net.makers()

    def earlier(self, node: Node) -> None:
        """Quantise the inputs of one node that are not quantised."""
        inputs = node.inputs if node.op == "Concat" else node.inputs[:1]
        waiting = [name for name in inputs if self._waits(name)]
        clips, quantizer = self._quantizer(node.outputs[0])
        if not waiting or quantizer is None:
            return
        if len(waiting) < len(inputs) or node.op == "Pad":
            clips = []  # they clip other values, too: they stay where they are
        new = {name: self._quantised(name, clips, quantizer) for name in waiting}
        self._replace(node, replace(node, inputs=tuple(new.get(name, name) for name in node.inputs)))
        for clip in clips:
            self._replace(clip, replace(clip, op="Identity", inputs=clip.inputs[:1], attrs={}))

    def _replace(self, old: Node, new: Node) -> None:
        self.nodes[self.nodes.index(old)] = new

    def _waits(self, name: str) -> bool:
        """True of a real value that was not quantised since it was computed, clipped or joined."""
        if name in self.net.consts:
            return False
        maker = self.makers.get(name)
        if maker is None or maker.op in _CLIPS | {"Concat"}:
            return True
        if maker.op not in _PASSED | PICKS:
            return maker.op not in ("QuantizeLinear", "DequantizeLinear")
        return self._waits(maker.inputs[0])

    def _users(self, name: str) -> list[Node]:
        return [node for node in self.nodes if name in node.inputs]

    def _quantizer(self, name: str) -> tuple[list[Node], Node | None]:
        """The quantiser that alone reads a value, and the clips on the way to it."""
        clips: list[Node] = []
        while name not in self.net.outputs and (users := self._users(name)):
            if all(user.op == "QuantizeLinear" and self._parameters(user) == self._parameters(users[0])
                   for user in users):
                return clips, users[0] if self._parameters(users[0]) else None
            if len(users) > 1 or users[0].op not in _PASSED:
                break
            clips += users if users[0].op in _CLIPS else []
            name = users[0].outputs[0]
        return [], None

    def _parameters(self, node: Node) -> tuple[Any, ...]:
        """What a quantiser of one scale does; empty of another."""
        scale, zero = (self.net.consts.get(node.input(i)) for i in (1, 2))
        if scale is None or scale.size != 1 or (node.input(2) and (zero is None or zero.size != 1)):
            return ()
        point = None if zero is None else (zero.dtype.name, int(zero.reshape(-1)[0]))
        return float(scale.reshape(-1)[0]), point, repr(node.attrs), node.limits

    def _quantised(self, name: str, clips: list[Node], quantizer: Node) -> str:
        """The name of a value clipped, quantised and dequantised."""
        source = name
        for clip in clips:
            source = self._made((clip.op, source, clip.inputs[1:], repr(clip.attrs)), clip, source)
        integers = self._made(("quantize", source, self._parameters(quantizer)), quantizer, source)
        back = dequantize(f"{quantizer.name}/dequantize", integers, quantizer.inputs[1], quantizer.input(2), "")
        return self._made(("dequantize", integers), back, integers)

    def _made(self, key: tuple[Any, ...], like: Node, source: str) -> str:
        """The output of a node like another that reads ``source``, right behind its maker; made once."""
        if key not in self.made:
            self.made[key] = self.net.fresh(f"{source}/{like.op}")
            node = replace(like, name=self.net.fresh(f"{like.name}/{source}"), inputs=(source, *like.inputs[1:]),
                           outputs=(self.made[key],))
            place = next((i + 1 for i, other in enumerate(self.nodes) if source in other.outputs), 0)
            self.nodes.insert(place, node)
            self.makers[self.made[key]] = node
        return self.made[key]
