"""What the host does at both ends of a network, in the arithmetic of the file's format.

Every function of a step works on a batch, (N, *shape of the file's tensor), and returns one.

============ ============================================================================== =======================
kind         computes                                                                       attrs
============ ============================================================================== =======================
quantize     real numbers to integers: round(x / scale) + zero_point, saturated. ONNX rounds scale, zero_point, type,
             ties to even, TFLite away from zero                                            limits
dequantize   (q - zero_point) * scale in float32                                            scale, zero_point
softmax      exp(beta x) / sum over ``axis`` (and all behind it: ``flatten``), in double    axis, beta, flatten
             precision
log_softmax  its logarithm                                                                  axis, flatten
tflite_...   softmax and log_softmax of integers over the last axis, TFLite's arithmetic    scale (of the input), beta,
                                                                                            type
requantize   integers of one scale to integers of another, TFLite's arithmetic              scale_in, zero_point_in,
                                                                                            scale, zero_point, type
reshape      the same values, ``shape`` with the batch                                      shape
transpose    axes ``perm``                                                                  perm
cast         another type, saturated where it is an integer                                 type, from (of an input)
affine       add, sub, mul, div with a constant of ``shape`` (broadcast), or rsub (the      op, value, shape
             constant less the value), in float32
clip         the value, at least ``min`` and at most ``max`` where they are given, in float32 min, max
============ ============================================================================== =======================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden import tflite_softmax
from hwgen.golden.fixedpoint import quantize_multiplier, rescale
from hwgen.model.graph import Graph
from hwgen.model.ports import Step

Array = NDArray[Any]


def file_outputs(graph: Graph, maps: Mapping[str, NDArray[np.int8]]) -> list[Array]:
    """The network's outputs as its file defines them.

    Parameters
    ----------
    graph : Graph
    maps : mapping of str to int8 array, shape (N, H, W, C)
        At least ``graph.output_maps``.

    Returns
    -------
    list of array, shape (N, *shape of the output in the file), in the file's order and types
    """
    results = []
    for port in graph.outputs:
        value = port.view.to_file(maps[port.map])
        for step in port.steps:
            value = apply(step, value, graph.source)
        results.append(value.reshape(len(value), *port.shape).astype(port.type, copy=False))
    return results


def apply(step: Step, value: Array, source: str) -> Array:
    """The result of one step; ``source`` is the format, ``tflite`` or ``onnx``."""
    return _STEPS[step.kind](value, step.attrs, source)


def quantize(value: Array, attrs: Mapping[str, Any], source: str) -> Array:
    """Real numbers to integers of ``attrs``' scale, zero point and type."""
    ratio = value.astype(np.float32) / np.float32(attrs["scale"])
    if source == "onnx":
        rounded = np.rint(ratio)
    else:
        # The integer part is split off first: adding 0.5 to a float32 just below a tie would round up.
        whole = np.trunc(ratio)
        rounded = whole + np.copysign(np.abs(ratio - whole) >= 0.5, ratio)
    kind = np.dtype(attrs.get("type", "int8"))
    limits = attrs.get("limits", (np.iinfo(kind).min, np.iinfo(kind).max))
    q: Array = np.clip(rounded.astype(np.float64) + attrs["zero_point"], *limits).astype(kind)
    return q


def _dequantize(value: Array, attrs: Mapping[str, Any], source: str) -> Array:
    centred = value.astype(np.int32) - int(attrs["zero_point"])
    real: Array = centred.astype(np.float32) * np.float32(attrs["scale"])
    return real


def _softmax(value: Array, attrs: Mapping[str, Any], source: str) -> Array:
    return softmax(value.astype(np.float64), attrs.get("beta", 1.0), _axis(value, attrs)).astype(np.float32)


def _log_softmax(value: Array, attrs: Mapping[str, Any], source: str) -> Array:
    axis = _axis(value, attrs)
    x = value.astype(np.float64)
    x = x - x.max(axis=axis, keepdims=True)
    logarithms: Array = (x - np.log(np.exp(x).sum(axis=axis, keepdims=True))).astype(np.float32)
    return logarithms


def _axis(value: Array, attrs: Mapping[str, Any]) -> int | tuple[int, ...]:
    """The axis of a step, or all from it on (``flatten``), as one of the batch's array."""
    axis = int(attrs.get("axis", -1)) % (value.ndim - 1) + 1
    return tuple(range(axis, value.ndim)) if attrs.get("flatten") else axis


def softmax(x: Array, beta: float = 1.0, axis: int | tuple[int, ...] = -1) -> NDArray[np.float64]:
    """``exp(beta x) / sum(exp(beta x))`` over ``axis``."""
    powers: NDArray[np.float64] = np.exp(beta * (x - x.max(axis=axis, keepdims=True)))
    total: NDArray[np.float64] = powers.sum(axis=axis, keepdims=True)
    return powers / total


def _tflite_softmax(value: Array, attrs: Mapping[str, Any], source: str) -> Array:
    return tflite_softmax.softmax(value, attrs["scale"], attrs.get("beta", 1.0), attrs["type"])


def _tflite_log_softmax(value: Array, attrs: Mapping[str, Any], source: str) -> Array:
    return tflite_softmax.log_softmax(value, attrs["scale"])


def _requantize(value: Array, attrs: Mapping[str, Any], source: str) -> Array:
    multiplier, shift = quantize_multiplier(float(attrs["scale_in"]) / float(attrs["scale"]))
    limits = np.iinfo(attrs["type"])
    centred = value.astype(np.int64) - int(attrs["zero_point_in"])
    q = rescale(centred, np.array([multiplier]), np.array([shift]), "double") + int(attrs["zero_point"])
    return np.clip(q, limits.min, limits.max).astype(attrs["type"])


def _reshape(value: Array, attrs: Mapping[str, Any], source: str) -> Array:
    return value.reshape(len(value), *attrs["shape"])


def _transpose(value: Array, attrs: Mapping[str, Any], source: str) -> Array:
    return value.transpose(0, *(axis + 1 for axis in attrs["perm"]))


def _cast(value: Array, attrs: Mapping[str, Any], source: str) -> Array:
    kind = np.dtype(attrs["type"])
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        value = np.clip(value, limits.min, limits.max)
    return value.astype(kind)


_AFFINE: dict[str, Callable[[Array, Array], Array]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "rsub": lambda value, constant: np.subtract(constant, value)}
_INVERSE = {"add": "sub", "sub": "add", "mul": "div", "div": "mul", "rsub": "rsub"}


def _affine(value: Array, attrs: Mapping[str, Any], source: str) -> Array:
    return _AFFINE[attrs["op"]](value.astype(np.float32), _constant(attrs, np.float32))


def _clip(value: Array, attrs: Mapping[str, Any], source: str) -> Array:
    low, high = attrs.get("min", -np.inf), attrs.get("max", np.inf)
    clipped: Array = np.clip(value.astype(np.float32), np.float32(low), np.float32(high))
    return clipped


def _constant(attrs: Mapping[str, Any], kind: type) -> Array:
    return np.asarray(attrs["value"], np.float32).astype(kind).reshape(attrs["shape"])


_STEPS: dict[str, Callable[[Array, Mapping[str, Any], str], Array]] = {
    "quantize": quantize, "dequantize": _dequantize, "softmax": _softmax, "log_softmax": _log_softmax,
    "tflite_softmax": _tflite_softmax, "tflite_log_softmax": _tflite_log_softmax, "requantize": _requantize,
    "reshape": _reshape, "transpose": _transpose, "cast": _cast, "affine": _affine, "clip": _clip,
}


def invert(step: Step, value: Array) -> Array:
    """A value that the step of an input turns into ``value``, or next to it if it never gives that, in double precision
    where it is real.

    Raises
    ------
    HwgenError
        For a step that has no inverse.
    """
    attrs = step.attrs
    if step.kind == "quantize":
        return (value.astype(np.float64) - attrs["zero_point"]) * np.float64(attrs["scale"])
    if step.kind == "reshape":
        return value.reshape(len(value), *attrs["from"])
    if step.kind == "transpose":
        return value.transpose(0, *(np.argsort(attrs["perm"]) + 1))
    if step.kind == "affine" and not (attrs["op"] == "mul" and 0 in attrs["value"]):
        return _AFFINE[_INVERSE[attrs["op"]]](value.astype(np.float64), _constant(attrs, np.float64))
    if step.kind == "clip":
        return value
    if step.kind == "cast" and "from" in attrs:
        return _cast(np.rint(value), {"type": attrs["from"]}, "")
    raise HwgenError(f"no value is known that {step.source} turns into a given one", where=step.name)
