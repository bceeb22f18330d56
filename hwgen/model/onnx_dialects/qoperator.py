"""The QOperator format (onnxruntime's QuantFormat.QOperator): operators that read and write integers.

Each becomes DequantizeLinear, the standard operator and QuantizeLinear. That is the same function but for ties where
the output's zero point is odd: QLinearAdd and QLinearAveragePool add it before they round (docs/verification.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.model.onnx_dialects.network import Network, dequantize, quantize
from hwgen.model.onnx_node import Node

DOMAINS = ("", "ai.onnx", "com.microsoft")

_TO_CHANNELS_FIRST, _TO_CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]


def rewrite(net: Network) -> list[Node]:
    """Every operator of the format that has a standard one behind it; others stay, for the preflight to name."""
    work = _Work(net)
    for node in net.nodes:
        build = _BUILDERS.get(node.op) if node.domain in DOMAINS else None
        if build is None or not build(work, node):
            work.nodes.append(node)
    return work.nodes


@dataclass(eq=False)
class _Work:
    """Collects nodes; a tensor is dequantised once for each scale and zero point."""

    net: Network
    nodes: list[Node] = field(default_factory=list)
    made: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def real(self, source: str, scale: str, zero: str, axis: int | None = None) -> str:
        """The name of the dequantised tensor."""
        key = (source, scale, zero, axis)
        if key not in self.made:
            self.made[key] = self.net.fresh(f"{source}/real")
            name = self.net.fresh(f"{source}/dequantize")
            self.nodes.append(dequantize(name, source, scale, zero, self.made[key], axis))
        return self.made[key]

    def operator(self, node: Node, op: str, inputs: list[str], scale: str, zero: str, attrs: dict[str, Any]) -> None:
        """The standard operator and the QuantizeLinear behind it; none without ``scale``."""
        result = self.net.fresh(f"{node.outputs[0]}/result") if scale else node.outputs[0]
        self.nodes.append(Node(node.name, op, "", tuple(inputs), (result,), attrs))
        if scale:
            self.nodes.append(quantize(self.net.fresh(f"{node.name}/quantize"), result, scale, zero, node.outputs[0]))

    def bias(self, bias: str, scales: tuple[str, str], factor: float = 1.0) -> str | None:
        """The dequantised bias, whose scale is the product of both others; None when these are not constants."""
        first, second = (self.net.consts.get(name) for name in scales)
        if first is None or second is None:
            return None
        scale = (first.astype(np.float32) * second.astype(np.float32) * np.float32(factor)).reshape(-1)
        name = self.net.constant(f"{bias}/scale", scale[0] if scale.size == 1 else scale, np.float32)
        return self.real(bias, name, "", 0)


def _conv(work: _Work, node: Node) -> bool:
    x, xs, xz, w, ws, wz, ys, yz = node.inputs[:8]
    inputs = [work.real(x, xs, xz), work.real(w, ws, wz, 0)]
    if node.input(8):
        bias = work.bias(node.input(8), (xs, ws))
        if bias is None:
            return False
        inputs.append(bias)
    work.operator(node, "Conv", inputs, ys, yz, node.attrs)
    return True


def _matmul(work: _Work, node: Node) -> bool:
    a, as_, az, b, bs, bz, ys, yz = node.inputs[:8]
    work.operator(node, "MatMul", [work.real(a, as_, az), work.real(b, bs, bz, -1)], ys, yz, {})
    return True


def _gemm(work: _Work, node: Node) -> bool:
    """The bias is added to the accumulator, so ``alpha`` scales it too."""
    a, as_, az, b, bs, bz = node.inputs[:6]
    inputs = [work.real(a, as_, az), work.real(b, bs, bz, 0 if node.attrs.get("transB", 0) else 1)]
    if node.input(6):
        bias = work.bias(node.input(6), (as_, bs))
        if bias is None:
            return False
        inputs.append(bias)
    attrs = {key: node.attrs[key] for key in ("transA", "transB") if key in node.attrs}
    alpha = node.attrs.get("alpha", 1.0)
    work.operator(node, "Gemm", inputs, node.input(7), node.input(8), attrs | {"alpha": alpha, "beta": alpha})
    return True


def _concat(work: _Work, node: Node) -> bool:
    inputs = [work.real(node.input(i), node.input(i + 1), node.input(i + 2)) for i in range(2, len(node.inputs), 3)]
    work.operator(node, "Concat", inputs, node.input(0), node.input(1), node.attrs)
    return True


def _binary(op: str) -> Callable[[_Work, Node], bool]:
    def build(work: _Work, node: Node) -> bool:
        a, as_, az, b, bs, bz = node.inputs[:6]
        work.operator(node, op, [work.real(a, as_, az), work.real(b, bs, bz)], node.input(6), node.input(7), {})
        return True

    return build


def _unary(op: str) -> Callable[[_Work, Node], bool]:
    def build(work: _Work, node: Node) -> bool:
        attrs = dict(node.attrs)
        last = attrs.pop("channels_last", 0)
        if op == "Softmax":
            old, axis = attrs.pop("opset", 13) < 13, attrs.setdefault("axis", -1)
            if axis != -1 and old != (work.net.opsets.get("", 13) < 13):
                return False  # over all axes from ``axis`` on or over one: the file's operator set is what counts then
        source = work.real(node.input(0), node.input(1), node.input(2))
        if not last:
            work.operator(node, op, [source], node.input(3), node.input(4), attrs)
            return True
        first, result, back = (work.net.fresh(f"{node.outputs[0]}/{what}") for what in ("nchw", "pooled", "nhwc"))
        work.nodes.append(Node(work.net.fresh(f"{node.name}/nchw"), "Transpose", "", (source,), (first,),
                               {"perm": _TO_CHANNELS_FIRST}))
        work.nodes.append(Node(node.name, op, "", (first,), (result,), attrs))
        work.nodes.append(Node(work.net.fresh(f"{node.name}/nhwc"), "Transpose", "", (result,), (back,),
                               {"perm": _TO_CHANNELS_LAST}))
        work.nodes.append(quantize(work.net.fresh(f"{node.name}/quantize"), back, node.input(3), node.input(4),
                                   node.outputs[0]))
        return True

    return build


_BUILDERS: dict[str, Callable[[_Work, Node], bool]] = {
    "QLinearConv": _conv, "QLinearMatMul": _matmul, "QGemm": _gemm, "QLinearConcat": _concat,
    **{f"QLinear{op}": _binary(op) for op in ("Add", "Mul")},
    **{f"QLinear{op}": _unary(op) for op in ("AveragePool", "GlobalAveragePool", "ReduceMean", "Softmax", "LeakyRelu",
                                             "Sigmoid")},
}
