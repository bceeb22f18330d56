"""The uint8 scheme of before TFLite 2: the same integers 128 lower, weights with a zero point.

Values and zero points of quantised uint8 tensors become int8 ones; the file's type stays known (``stored``), as views
of maps and ports need it, and the arithmetic of scales (float32 products) and of ties in average pooling depends on it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwgen.model.tflite_file import FileModel, FileTensor

_KEPT = ("QUANTIZE", "DEQUANTIZE", "CAST")


def read_unsigned(model: FileModel) -> FileModel:
    """Turn quantised uint8 tensors into int8 ones; inputs and outputs that QUANTIZE alone reads or writes, as those of
    an int8 network, stay."""
    operators = [op for op in model.operators if op.kind not in _KEPT]
    inner = {i for op in operators for i in (*op.inputs, *op.outputs) if i >= 0}
    kept = {*model.inputs, *model.outputs} - inner
    tensors = tuple(tensor if tensor.index in kept else _signed(tensor) for tensor in model.tensors)
    return replace(model, tensors=tensors)


def _signed(tensor: FileTensor) -> FileTensor:
    if tensor.type != "UINT8" or not len(tensor.scales) or tensor.sparse:
        return tensor
    data = None if tensor.data is None else (tensor.data.astype(np.int16) - 128).astype(np.int8)
    zero_points = tensor.zero_points if len(tensor.zero_points) else np.zeros(len(tensor.scales), np.int64)
    return replace(tensor, type="INT8", stored="UINT8", data=data, zero_points=zero_points - 128)
