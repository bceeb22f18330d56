"""Constant folding: what depends on constants and on the shapes of the inputs alone, such as exporters' arithmetic of
shapes. QuantizeLinear and DequantizeLinear of constants stay: the reader needs the integers.
"""

from __future__ import annotations

import math

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from hwgen.model.onnx_node import Array
from hwgen.model.onnx_passes.shapes import known_shapes

LARGEST = 1 << 28
"""Values that a folded constant may have."""

_NOT_FOLDED = {"QuantizeLinear", "DequantizeLinear", "If", "Loop", "Scan", "RandomNormal", "RandomUniform",
               "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"}
_NOT_EVALUATED = (ArithmeticError, AttributeError, ImportError, LookupError, MemoryError, RuntimeError, TypeError,
                  ValueError)
"""What onnx's reference evaluator raises for an operator or a value it does not know."""


def fold(model: onnx.ModelProto, consts: dict[str, Array]) -> list[onnx.NodeProto]:
    """Evaluate what is constant.

    Parameters
    ----------
    model : ModelProto
        Input shapes are fixed.
    consts : dict of str to array
        Values of the initialisers; folded constants are added.

    Returns
    -------
    list of NodeProto
        The other nodes, in order.
    """
    work = onnx.ModelProto()
    work.CopyFrom(model)
    opsets = {o.domain: o.version for o in model.opset_import}
    while True:
        shapes = known_shapes(work)
        left: list[onnx.NodeProto] = []
        found: dict[str, Array] = {}
        for node in work.graph.node:
            results = _values(node, {**consts, **found}, shapes, opsets)
            if results is None:
                left.append(node)
            else:
                found.update(zip(node.output, results, strict=False))
        consts.update(found)
        if not any(node.op_type in ("Shape", "Size") for node in left) or not found:
            return left
        nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in left]
        del work.graph.node[:]
        work.graph.node.extend(nodes)  # with more constants, more shapes are known
        work.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in found.items() if name)


def _values(node: onnx.NodeProto, consts: dict[str, Array], shapes: dict[str, tuple[int, ...]],
            opsets: dict[str, int]) -> list[Array] | None:
    """The results of a node; None of one that is not constant, or cannot be evaluated."""
    inputs = [name for name in node.input if name]
    if node.op_type in ("Shape", "Size") and node.domain in ("", "ai.onnx") and inputs and inputs[0] in shapes:
        return [_shape(node, shapes[inputs[0]])]
    if node.op_type in _NOT_FOLDED or any(name not in consts for name in inputs):
        return None
    if any(math.prod(shapes.get(name, ())) > LARGEST for name in node.output):
        return None
    try:
        with np.errstate(all="ignore"):  # infinities are values, and what reads them judges them
            results = ReferenceEvaluator(node, opsets=opsets).run(None, {name: consts[name] for name in inputs})
    except _NOT_EVALUATED:
        return None  # the preflight names it
    return [np.asarray(result) for result in results]


def _shape(node: onnx.NodeProto, shape: tuple[int, ...]) -> Array:
    if node.op_type == "Size":
        return np.array(math.prod(shape), np.int64)
    attrs = {attribute.name: attribute.i for attribute in node.attribute}
    return np.array(shape[attrs.get("start", 0) : attrs.get("end", len(shape))], np.int64)
