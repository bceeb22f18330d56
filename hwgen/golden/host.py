"""What the host does at both ends of a network, in the arithmetic of the file's format.

Every function of a step works on a batch, (N, *shape of the file's tensor), and returns one.

============ ============================================================================== =======================
kind         computes                                                                       attrs
============ ============================================================================== =======================
quantize     real numbers to integers: round(x / scale) + zero_point, saturated. ONNX rounds scale, zero_point, type
             ties to even, TFLite away from zero
dequantize   (q - zero_point) * scale in float32                                            scale, zero_point
softmax      exp(beta x) / sum over ``axis``, in double precision                           axis, beta
log_softmax  its logarithm                                                                  axis
reshape      the same values, ``shape`` with the batch                                      shape
transpose    axes ``perm``                                                                  perm
cast         another type, saturated where it is an integer                                 type
============ ============================================================================== =======================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    limits = np.iinfo(kind)
    q: Array = np.clip(rounded.astype(np.float64) + attrs["zero_point"], limits.min, limits.max).astype(kind)
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
    return np.asarray(x - np.log(np.exp(x).sum(axis=axis, keepdims=True))).astype(np.float32)


def _axis(value: Array, attrs: Mapping[str, Any]) -> int | tuple[int, ...]:
    """The axis of a step, or all from it on (``flatten``), as one of the batch's array."""
    axis = int(attrs.get("axis", -1)) % (value.ndim - 1) + 1
    return tuple(range(axis, value.ndim)) if attrs.get("flatten") else axis


def softmax(x: Array, beta: float = 1.0, axis: int | tuple[int, ...] = -1) -> NDArray[np.float64]:
    """``exp(beta x) / sum(exp(beta x))`` over ``axis``."""
    powers: NDArray[np.float64] = np.exp(beta * (x - x.max(axis=axis, keepdims=True)))
    total: NDArray[np.float64] = powers.sum(axis=axis, keepdims=True)
    return powers / total


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


_STEPS: dict[str, Callable[[Array, Mapping[str, Any], str], Array]] = {
    "quantize": quantize, "dequantize": _dequantize, "softmax": _softmax, "log_softmax": _log_softmax,
    "reshape": _reshape, "transpose": _transpose, "cast": _cast,
}
