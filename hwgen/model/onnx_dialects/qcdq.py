"""QCDQ (Brevitas): integers clipped between QuantizeLinear and DequantizeLinear, which says their real bit width.

The pair becomes one QuantizeLinear with limits. Its output is the clip's, so that the file's tensor of the map is the
clipped one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto

from hwgen.model.onnx_dialects.network import Network
from hwgen.model.onnx_node import Array, Node

_TYPES: dict[int, type] = {0: np.uint8, TensorProto.UINT8: np.uint8, TensorProto.INT8: np.int8}
"""Of maps, by a QuantizeLinear's ``output_dtype``."""


def rewrite(net: Network) -> list[Node]:
    """Clip, Min and Max of integers with constants into the QuantizeLinear before them."""
    makers: dict[str, Node] = {}
    nodes = []
    for old in net.nodes:
        node = _clipped(net, old, makers) or old
        nodes.append(node)
        makers.update(dict.fromkeys(node.outputs, node))
    return nodes


def _clipped(net: Network, node: Node, makers: dict[str, Node]) -> Node | None:
    """The QuantizeLinear that a clip of integers amounts to."""
    if node.op not in ("Clip", "Min", "Max") or node.domain not in ("", "ai.onnx"):
        return None
    sources = [name for name in node.inputs if name and name not in net.consts]
    bounds = [net.consts.get(name) for name in node.inputs if name not in sources]
    before = makers.get(sources[0]) if len(sources) == 1 else None
    if before is None or before.op != "QuantizeLinear" or not all(bound is None or _integer(bound) for bound in bounds):
        return None
    zero = net.consts.get(before.input(2))
    limits = before.limits
    if limits is None:
        kind = _type(before, zero)
        if kind is None:
            return None
        limits = (int(kind.min), int(kind.max))
    for low, high in _ranges(node, bounds):
        limits = (min(max(limits[0], low), high), min(max(limits[1], low), high))
    return replace(before, name=node.name, outputs=node.outputs, limits=limits)


def _type(node: Node, zero: Array | None) -> np.iinfo[Any] | None:
    """The integers of a QuantizeLinear; None where they are none of a map's."""
    if zero is None:
        kind = _TYPES.get(int(node.attrs.get("output_dtype", 0)))
        return None if kind is None else np.iinfo(kind)
    return np.iinfo(zero.dtype) if zero.dtype.kind in "iu" else None


def _integer(bound: Array) -> bool:
    return bound.size == 1 and bound.dtype.kind in "iu"


def _ranges(node: Node, bounds: list[Array | None]) -> list[tuple[int, int]]:
    """What each bound leaves."""
    widest = 1 << 16
    numbers = [None if bound is None else int(bound.reshape(-1)[0]) for bound in bounds]
    if node.op == "Clip":
        low, high = [*numbers, None, None][:2]
        return [(-widest if low is None else low, widest if high is None else high)]
    return [(-widest, n) if node.op == "Min" else (n, widest) for n in numbers if n is not None]
