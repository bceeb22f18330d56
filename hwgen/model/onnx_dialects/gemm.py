"""The factors of Gemm (``alpha`` and ``beta``) go into the scales of its weights and bias."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwgen.model.onnx_dialects.network import Network
from hwgen.model.onnx_node import Node


def rewrite(net: Network) -> list[Node]:
    """Gemm with quantised constants and positive factors; others stay, for the preflight to name."""
    makers = net.makers()
    return [new for node in net.nodes for new in (_gemm(net, node, makers) if node.op == "Gemm" else [node])]


def _gemm(net: Network, node: Node, makers: dict[str, Node]) -> list[Node]:
    added: list[Node] = []
    inputs = list(node.inputs)
    for position, key in ((1, "alpha"), (2, "beta")):
        factor = float(node.attrs.get(key, 1.0))
        if factor != 1.0 and node.input(position):
            inputs[position] = _scaled(net, node.input(position), factor, makers, added)
            if not inputs[position]:
                return [node]
    return [*added, replace(node, inputs=tuple(inputs), attrs={**node.attrs, "alpha": 1.0, "beta": 1.0})]


def _scaled(net: Network, name: str, factor: float, makers: dict[str, Node], added: list[Node]) -> str:
    """The name of a constant times ``factor``; empty when it is none, or cannot be scaled."""
    if name in net.consts:
        return net.constant(f"{name}/scaled", net.consts[name] * np.float32(factor), np.float32)
    maker = makers.get(name)
    scale = None if maker is None else net.consts.get(maker.input(1))
    if maker is None or maker.op != "DequantizeLinear" or scale is None or factor <= 0:
        return ""
    scales = net.constant(f"{name}/scales", scale * np.float32(factor), np.float32)
    result = net.fresh(f"{name}/scaled")
    added.append(replace(maker, name=net.fresh(f"{maker.name}/scaled"), outputs=(result,),
                         inputs=(maker.inputs[0], scales, *maker.inputs[2:])))
    return result
