"""A factor and an offset for each channel: BatchNormalization, and Add, Sub, Mul and Div of a map and a constant.

They go into the convolution before them. Behind a quantised map they are a depthwise convolution of one weight a
channel, and before the first quantiser the host computes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.model.onnx_file import OnnxFile
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Array, Node
from hwgen.model.onnx_values import Pending, Source, Value, View, Weights
from hwgen.model.ports import Step

Numbers = NDArray[np.float64]

AFFINE = {"BatchNormalization", "Add", "Sub", "Mul", "Div"}

_ONE = 64
"""The weight that stands for 1 where a convolution is made: an offset is rounded to 1/64 of the input's steps."""


@dataclass(frozen=True, eq=False)
class Affine:
    """``factor * value + offset``, both of a shape that broadcasts to the value's in the file; ``parts`` are the
    operations (see `hwgen.golden.host`) and constants by which ONNX Runtime computes it in float32."""

    factor: Numbers
    offset: Numbers
    parts: tuple[tuple[str, Array], ...]


def has_constant(node: Node, file: OnnxFile) -> bool:
    """Whether a binary operator reads a constant, quantised or not."""
    return any(_is_constant(name, file) for name in node.inputs)


def _is_constant(name: str, file: OnnxFile) -> bool:
    while name not in file.consts:
        maker = next((other for other in file.nodes if name in other.outputs), None)
        if maker is None or maker.op not in ("QuantizeLinear", "DequantizeLinear"):
            return False
        name = maker.inputs[0]
    return True


def affine(node: Node, inputs: list[Value]) -> tuple[Value, Affine] | str | None:
    """The value that a node scales and shifts, and how; what is wrong with its constants; None when it reads none."""
    known = [_real(value) for value in inputs]
    if node.op == "BatchNormalization":
        return _normalised(node, inputs, known)
    if len(inputs) != 2 or (known[0] is None) == (known[1] is None):
        return None
    first = known[0] is not None
    value, constant = (inputs[1], known[0]) if first else (inputs[0], known[1])
    assert constant is not None
    number = constant.astype(np.float64)
    one, zero = np.ones(()), np.zeros(())
    parts = (("rsub" if first and node.op == "Sub" else node.op.lower(), constant),)
    if node.op == "Add":
        return value, Affine(one, number, parts)
    if node.op == "Sub":
        return value, Affine(-one if first else one, number if first else -number, parts)
    if node.op == "Mul":
        return value, Affine(number, zero, parts)
    if first or not number.all():
        return "divides a constant by a map" if first else "divides by zero"
    return value, Affine(1 / number, zero, parts)


def _normalised(node: Node, inputs: list[Value], known: list[Array | None]) -> tuple[Value, Affine] | str:
    if node.attrs.get("training_mode", 0):
        return "is in training mode"
    if len(known) != 5 or any(value is None or value.ndim > 1 for value in known[1:]):
        return "its scale, bias, mean and variance must be constants, one number a channel"
    rank = len(getattr(inputs[0], "seen", (1, 1)))
    constants = [np.asarray(value, np.float64).reshape(-1, *[1] * (rank - 2)) for value in known[1:]]
    epsilon = float(node.attrs.get("epsilon", 1e-5))
    if (constants[3] < 0).any():
        return "its variance must not be negative"
    factor, offset = _line(np.float64(epsilon), *constants)
    single = _line(np.float32(epsilon), *(value.astype(np.float32) for value in constants))
    return inputs[0], Affine(factor, offset, (("mul", single[0]), ("add", single[1])))


def _line(epsilon: np.floating[Any], gamma: Array, beta: Array, mean: Array, variance: Array) -> tuple[Array, Array]:
    """Factor and offset of a normalisation, in the precision of its numbers and in ONNX Runtime's order."""
    factor = (1 / np.sqrt(variance + epsilon)) * gamma
    return factor, beta - mean * factor


def _real(value: Value) -> Array | None:
    return value.real() if isinstance(value, Weights) else value if isinstance(value, np.ndarray) else None


def channels(value: Source | View | Pending, numbers: Numbers) -> Numbers | str:
    """One number for each channel of a map from an array that broadcasts to its shape in the file."""
    try:
        full = np.broadcast_to(numbers, value.seen)
    except ValueError:
        return f"its constant of shape {numbers.shape} does not fit {value.seen}"
    rows = value.to_map(full).reshape(-1, value.shape[3])
    if (rows != rows[:1]).any():
        return "its constant differs between pixels"
    if not np.isfinite(rows[0]).all():
        return "its constants must be finite"
    return np.asarray(rows[0], np.float64)


def scaled(value: Pending, how: Affine) -> Pending | str:
    """A waiting convolution, scaled and shifted; or what keeps it from being one."""
    factor, offset = channels(value, how.factor), channels(value, how.offset)
    if isinstance(factor, str) or isinstance(offset, str):
        return factor if isinstance(factor, str) else str(offset)
    weights, bias = value.args["weights"], value.args.get("bias")
    if weights.scale.size > 1 and weights.axis != 0:
        return "weight scales must belong to output channels"
    bounds = [np.sort([factor * low + offset if np.isfinite(low) else np.sign(factor) * low
                       for low in (value.lo, value.hi)], axis=0)] if value.clamped else []
    if bounds and ((factor == 0).any() or (bounds[0] != bounds[0][:, :1]).any()):
        return "follows an activation with factors that differ between channels"
    low, high = (float(bounds[0][0, 0]), float(bounds[0][1, 0])) if bounds else (value.lo, value.hi)
    return replace(value, lo=low, hi=high, args={**value.args, "weights": _times(weights, factor),
                                                 "bias": _shifted(bias, factor, offset)})


def _times(weights: Weights, factor: Numbers) -> Weights:
    form = (-1, *[1] * (weights.values.ndim - 1))
    if weights.values.dtype.kind == "f":
        return replace(weights, values=(weights.values * factor.reshape(form)).astype(weights.values.dtype))
    if (factor == 1).all():
        return weights
    values = (weights.values.astype(np.int16) - weights.zero_point.reshape(form).astype(np.int16))
    scale = np.broadcast_to(weights.scale, factor.shape) * np.where(factor == 0, 1, np.abs(factor))
    return Weights(values=values * np.sign(factor).astype(np.int16).reshape(form), scale=scale.astype(np.float32),
                   zero_point=np.zeros(1, np.int64), type=weights.type)


def _shifted(bias: Weights | Array | None, factor: Numbers, offset: Numbers) -> Weights | Array | None:
    if not offset.any() and (bias is None or (factor == 1).all()):
        return bias
    if bias is None:
        return offset
    real = bias.real() if isinstance(bias, Weights) else bias
    return np.asarray(np.broadcast_to(np.asarray(real, np.float64).reshape(-1), factor.shape) * factor + offset)


def alone(value: View, node: Node, low: float = -np.inf, high: float = np.inf) -> Pending:
    """A depthwise convolution that passes a map on."""
    count = value.shape[3]
    one = Weights(values=np.full((count, 1, 1, 1), _ONE, np.int8), scale=np.array([1 / _ONE], np.float32),
                  zero_point=np.zeros(1, np.int64))
    return Pending(shape=value.shape, order=value.order, seen=value.seen, kind="conv", node=node.name, op=node.op,
                   inputs=(value,), args={"weights": one, "groups": count}, lo=low, hi=high)


def on_host(node: Node, value: Source, how: Affine, file: OnnxFile) -> Source | str:
    """The network's input behind an operator that the host computes, in float32 as it is written."""
    end = next(end for end in file.inputs if end.name == value.name)
    if end.type != "float32" and not any(step.kind == "cast" for step in value.steps):
        return "computes with the integers of the input"
    shape = end.shape
    assert shape is not None  # the input would be unknown
    try:
        steps = tuple(Step(kind="affine", name=node.name, source=node.op, output=node.outputs[0],
                           attrs={"op": name, **_placed(value, constant, shape)}) for name, constant in how.parts)
    except ValueError:
        return f"its constant does not fit {value.seen}"
    return replace(value, steps=(*value.steps, *steps))


def _placed(value: Source, constant: Array, shape: tuple[int, ...]) -> dict[str, Any]:
    """A constant as it meets the input in the file, without the axes along which it does not differ."""
    full = value.to_map(np.broadcast_to(constant, value.seen)).transpose(value.given).reshape(shape)
    for axis in range(full.ndim):
        first = full.take([0], axis)
        full = first if (full == first).all() else full
    return {"value": tuple(float(n) for n in full.reshape(-1)), "shape": full.shape}


def build(node: Node, inputs: list[Value], file: OnnxFile, emitter: Emitter) -> Pending | Source | None:
    """The value of a node of `AFFINE`; None when it reads no constant, or what has to be quantised first.

    Raises
    ------
    HwgenError
        When its constants do not fit.
    """
    found = affine(node, inputs)
    if isinstance(found, str):
        raise emitter.fail(node.op, node.name, found, "export the network again after .eval()")
    if found is None:
        return None
    value, how = found
    result: Pending | Source | str
    if isinstance(value, Source):
        result = on_host(node, value, how, file)
    elif isinstance(value, View) and value.real:
        result = scaled(alone(value, node), how)
    elif isinstance(value, Pending) and value.kind in ("conv", "same"):
        if value.kind == "same":
            source = replace(value.inputs[0], order=value.order, seen=value.seen)
            value = alone(source, node, value.lo, value.hi)
        result = scaled(value, how)
    else:
        return None
    if isinstance(result, str):
        raise emitter.fail(node.op, node.name, result,
                           "cast the input to float32 first" if isinstance(value, Source) else
                           "only one constant for all or one per channel can be used")
    return result
