"""QONNX (Brevitas, qkeras): Quant, IntQuant and BipolarQuant, whose values are real and lie on a grid of integers.

Each becomes QuantizeLinear with limits and DequantizeLinear. The integers, which the file does not hold, are called
``NAME/integers``; `hwgen.reference.qonnx` gives them the same name.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx

from hwgen.model.onnx_dialects.network import Network, dequantize, quantize
from hwgen.model.onnx_node import Array, Node

DOMAINS = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")

WIDEST = 32
"""Bits of a quantiser, of a bias' for example."""

INTEGERS = "/integers"

_ROUNDINGS = ("ROUND", "HALF_EVEN")
_REMEDY = "export with Brevitas' export_onnx_qcdq, or quantise to 8 bits or fewer with rounding mode ROUND"


def import_operator_sets(model: onnx.ModelProto) -> None:
    """Let the file import the sets whose operators it has: qkeras' converter does not write that, and no checker passes
    it without."""
    imported = {opset.domain for opset in model.opset_import}
    for domain in sorted({node.domain for node in model.graph.node}.intersection(DOMAINS) - imported):
        model.opset_import.append(onnx.helper.make_opsetid(domain, 1))


def rewrite(net: Network) -> list[Node]:
    """Every quantiser of QONNX; what cannot be expressed stays, with the reason."""
    nodes: list[Node] = []
    for node in net.nodes:
        if node.domain not in DOMAINS:
            nodes.append(node)
        elif node.op in ("Quant", "IntQuant"):
            nodes += _quant(net, node)
        elif node.op == "BipolarQuant":
            nodes += _bipolar(net, node)
        else:
            nodes.append(replace(node, problem=("not supported", "export with Brevitas' export_onnx_qcdq")))
    return nodes


def _quant(net: Network, node: Node) -> list[Node]:
    bits, scale, zero = (net.consts.get(node.input(i)) for i in (3, 1, 2))
    mode = str(node.attrs.get("rounding_mode", "ROUND")).upper()
    signed, narrow = int(node.attrs.get("signed", 1)), int(node.attrs.get("narrow", 0))
    if bits is None or scale is None or zero is None:
        return _refused(node, "scale, zero point and bit width must be constants")
    if mode not in _ROUNDINGS:
        return _refused(node, f"rounding mode {mode}")
    if bits.size != 1 or bits.reshape(-1)[0] not in range(1, WIDEST + 1):
        return _refused(node, f"the bit width must be one integer from 1 to {WIDEST}")
    width = int(bits.reshape(-1)[0])
    if width == 1 and signed:
        return _bipolar(net, node)
    low, high = (narrow - (1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1 - narrow)
    source = net.consts.get(node.input(0))
    if width > 8:
        if source is None:
            return _refused(node, f"maps of {width} bits")
        net.consts[node.outputs[0]] = _folded(source, scale, zero, low, high)  # a bias: its values are what counts
        return []
    kind = np.iinfo(np.int8 if signed else np.uint8)
    if (zero % 1).any() or (zero < kind.min).any() or (zero > kind.max).any():
        return _refused(node, f"zero points must be integers of {width} bits")
    return _pair(net, node, node.input(0), scale, zero, np.dtype(kind.dtype), (low, high))


def _pair(net: Network, node: Node, source: str, scale: Array, zero: Array, kind: np.dtype[np.generic],
          limits: tuple[int, int]) -> list[Node]:
    """QuantizeLinear and DequantizeLinear with the scales in one row."""
    output = node.outputs[0]
    shape = np.broadcast_shapes(scale.shape, zero.shape)
    long = [a for a, n in enumerate(shape) if n > 1]
    if len(long) > 1:
        return _refused(node, f"scales of shape {shape}")
    value = net.consts.get(node.input(0))
    axis = long[0] if long else 0
    if long and value is not None:
        axis += value.ndim - len(shape)  # shapes are aligned at their ends
    row = (lambda a: np.broadcast_to(a, shape).reshape(-1)) if long else (lambda a: a.reshape(-1)[0])
    integers = net.fresh(output + INTEGERS)
    scales = net.constant(f"{output}/scale", row(scale), np.float32)
    zeros = net.constant(f"{output}/zero_point", row(zero), kind)
    attrs = {"axis": axis} if long else {}
    return [quantize(node.name, source, scales, zeros, integers, attrs=attrs, limits=limits),
            dequantize(net.fresh(f"{node.name}/dequantize"), integers, scales, zeros, output, axis if long else None)]


def _bipolar(net: Network, node: Node) -> list[Node]:
    """Constants are -1 and 1 times the scale; a map has no such quantiser."""
    source, scale = net.consts.get(node.input(0)), net.consts.get(node.input(1))
    if source is None or scale is None:
        return _refused(node, "maps of one bit, -1 and 1")
    signs = net.constant(f"{node.outputs[0]}/signs", np.where(source >= 0, scale, -scale), np.float32)
    return _pair(net, node, signs, scale, np.zeros(1, np.int8), np.dtype(np.int8), (-1, 1))


def _folded(value: Array, scale: Array, zero: Array, low: int, high: int) -> Array:
    q = np.rint(np.clip(value / scale + zero, low, high))
    return np.asarray((q - zero) * scale, np.float32)


def _refused(node: Node, what: str) -> list[Node]:
    return [replace(node, problem=(what, _REMEDY))]
