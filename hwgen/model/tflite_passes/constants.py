"""Shape arithmetic: SHAPE of a fixed shape, and what is computed from constants alone, become constants.

Keras writes it for every flattening with a symbolic batch; TFLite computes it anew on each run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.model.tflite_file import TYPES, FileModel, FileOperator, FileTensor

Array = NDArray[Any]
_DTYPES = {"INT32": np.int32, "INT64": np.int64, "FLOAT32": np.float32, "BOOL": np.bool_}
MOST = 1 << 16
"""Values of a folded constant: more is no arithmetic of shapes."""


def fold_constants(model: FileModel) -> FileModel:
    """Fold operators whose result is known; what cannot be folded stays and is refused by its name later."""
    tensors, left = list(model.tensors), []
    for op in model.operators:
        made = _folded(op, tensors)
        if made is None or len(op.outputs) != 1 or made.size > MOST or op.outputs[0] in model.outputs:
            left.append(op)
        else:
            target = tensors[op.outputs[0]]
            tensors[op.outputs[0]] = replace(target, data=made, shape=made.shape)
    return replace(model, tensors=tuple(tensors), operators=tuple(left))


def _folded(op: FileOperator, tensors: list[FileTensor]) -> Array | None:
    inputs = [tensors[i] for i in op.inputs if i >= 0]
    if not inputs or len(inputs) != len(op.inputs) or not op.outputs or op.foreign:
        return None
    kind = tensors[op.outputs[0]].type
    if kind not in _DTYPES or len(tensors[op.outputs[0]].scales):
        return None
    if op.kind == "SHAPE":
        return np.array(inputs[0].shape, _DTYPES[kind])
    values = [tensor.data for tensor in inputs]
    if op.kind not in _FOLDED or any(v is None or t.sparse or t.type not in _DTYPES
                                     for v, t in zip(values, inputs, strict=True)):
        return None
    try:
        result = _FOLDED[op.kind](op, [np.asarray(v) for v in values])
    except (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError):
        return None
    return None if result is None else np.asarray(result, _DTYPES[kind])


def _strided_slice(op: FileOperator, values: list[Array]) -> Array | None:
    """Of a vector, as shapes are."""
    x, (begin,), (end,), (step,) = values[0], *(v.reshape(-1) for v in values[1:4])
    options = op.options
    if x.ndim != 1 or step != 1 or options["EllipsisMask"] or options["NewAxisMask"]:
        return None
    if options["ShrinkAxisMask"] & 1:
        return np.asarray(x[int(begin)])
    part = x[None if options["BeginMask"] & 1 else int(begin):None if options["EndMask"] & 1 else int(end)]
    return np.asarray(part)


def _gather(op: FileOperator, values: list[Array]) -> Array | None:
    if op.options["BatchDims"]:
        return None
    return np.asarray(np.take(values[0], values[1].astype(np.int64), axis=op.options["Axis"]))


def _cast(op: FileOperator, values: list[Array]) -> Array | None:
    return values[0] if TYPES.get(op.options["OutDataType"]) in _DTYPES else None


_FOLDED: dict[str, Callable[[FileOperator, list[Array]], Array | None]] = {
    "STRIDED_SLICE": _strided_slice,
    "PACK": lambda op, v: np.stack(v, axis=op.options["Axis"]),
    "CONCATENATION": lambda op, v: None if op.options["FusedActivationFunction"] else np.concatenate(
        v, axis=op.options["Axis"]),
    "FILL": lambda op, v: np.full(tuple(int(n) for n in v[0]), v[1]) if np.prod(v[0]) <= MOST else None,
    "GATHER": _gather,
    "CAST": _cast,
    "RESHAPE": lambda op, v: v[0].reshape(tuple(int(n) for n in v[1])) if len(v) > 1 else None,
    "SQUEEZE": lambda op, v: v[0].reshape(-1) if v[0].size != 1 else v[0].reshape(()),
    "EXPAND_DIMS": lambda op, v: np.expand_dims(v[0], int(v[1].reshape(-1)[0])),
    "REDUCE_PROD": lambda op, v: np.prod(v[0], axis=tuple(int(a) for a in v[1].reshape(-1))),
    "MUL": lambda op, v: None if op.options["FusedActivationFunction"] else v[0] * v[1],
    "ADD": lambda op, v: None if op.options["FusedActivationFunction"] else v[0] + v[1],
}
"""Of constants of plain numbers (no scale)."""
