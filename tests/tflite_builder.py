"""Write small TFLite files for tests: int8 networks with operators that few public models contain, and broken ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite

_TYPES = {"int8": "INT8", "uint8": "UINT8", "int16": "INT16", "int32": "INT32", "float32": "FLOAT32", "int64": "INT64",
          "int4": "INT4"}

_OPTIONS = {"CONV_2D": "Conv2DOptions", "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
            "FULLY_CONNECTED": "FullyConnectedOptions", "AVERAGE_POOL_2D": "Pool2DOptions",
            "MAX_POOL_2D": "Pool2DOptions", "ADD": "AddOptions", "CONCATENATION": "ConcatenationOptions",
            "MEAN": "ReducerOptions", "SOFTMAX": "SoftmaxOptions", "LOG_SOFTMAX": "LogSoftmaxOptions",
            "RESHAPE": "ReshapeOptions", "PAD": "PadOptions", "QUANTIZE": "QuantizeOptions",
            "DEQUANTIZE": "DequantizeOptions", "SUB": "SubOptions", "LEAKY_RELU": "LeakyReluOptions",
            "RESIZE_BILINEAR": "ResizeBilinearOptions", "MUL": "MulOptions", "REDUCE_MAX": "ReducerOptions",
            "SHAPE": "ShapeOptions", "STRIDED_SLICE": "StridedSliceOptions", "PACK": "PackOptions",
            "TRANSPOSE": "TransposeOptions", "SPACE_TO_BATCH_ND": "SpaceToBatchNDOptions",
            "BATCH_TO_SPACE_ND": "BatchToSpaceNDOptions", "PADV2": "PadV2Options"}


class TfliteBuilder:
    """Collects tensors and operators; `save` writes the file. Each test picks only what it is about.

    ``deprecated_codes`` False: operators have the newer field for their kind alone, as ai-edge-quantizer writes them.
    """

    def __init__(self, *, deprecated_codes: bool = True) -> None:
        self.deprecated_codes = deprecated_codes
        self.tensors: list[dict[str, Any]] = []
        self.operators: list[tuple[str, list[int], list[int], dict[str, Any]]] = []

    def tensor(self, shape: Sequence[int], *, scale: Any = 0.05, zero_point: Any = 0, dtype: str = "int8",
               data: np.ndarray | None = None, name: str | None = None, axis: int = 0,
               signature: Sequence[int] | None = None) -> int:
        """Add a tensor (constant when ``data`` is given) and return its number; ``scale`` None leaves it out."""
        self.tensors.append({"shape": list(shape), "scale": scale, "zero_point": zero_point, "dtype": dtype,
                             "data": data, "name": f"t{len(self.tensors)}" if name is None else name, "axis": axis,
                             "signature": signature})
        return len(self.tensors) - 1

    def constant(self, data: np.ndarray, *, scale: Any = None, axis: int = 0) -> int:
        """Add a constant of the array's type."""
        return self.tensor(data.shape, scale=scale, zero_point=0 if scale is None else np.zeros(np.size(scale)),
                           dtype=str(data.dtype), data=data, axis=axis)

    def op(self, kind: str, inputs: Sequence[int], output: int | Sequence[int], **options: Any) -> int:
        """Add an operator with options by their schema names and return its (first) output."""
        outputs = [output] if isinstance(output, int) else list(output)
        self.operators.append((kind, list(inputs), outputs, options))
        return outputs[0]

    def save(self, path: Path, inputs: Sequence[int], outputs: Sequence[int]) -> Path:
        """Write the file and return its path."""
        builder = flatbuffers.Builder(1024)
        buffers = [_table(builder, "Buffer", {})]
        tensors = [self._tensor(builder, tensor, buffers) for tensor in self.tensors]
        kinds = list(dict.fromkeys(kind for kind, *_ in self.operators))
        codes = [self._code(builder, getattr(tflite.BuiltinOperator, kind)) for kind in kinds]
        operators = [self._operator(builder, kinds, *operator) for operator in self.operators]
        graph = _table(builder, "SubGraph", {
            "Tensors": _offsets(builder, tensors), "Inputs": _vector(builder, inputs, np.int32),
            "Outputs": _vector(builder, outputs, np.int32), "Operators": _offsets(builder, operators)})
        model = _table(builder, "Model", {
            "Version": 3, "OperatorCodes": _offsets(builder, codes), "Subgraphs": _offsets(builder, [graph]),
            "Buffers": _offsets(builder, buffers)})
        builder.Finish(model, b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path

    def _code(self, builder: flatbuffers.Builder, code: int) -> int:
        old = {"DeprecatedBuiltinCode": min(127, code)} if self.deprecated_codes else {}
        return _table(builder, "OperatorCode", {"BuiltinCode": code, "Version": 1, **old})

    @staticmethod
    def _tensor(builder: flatbuffers.Builder, tensor: dict[str, Any], buffers: list[int]) -> int:
        number = 0
        if tensor["data"] is not None:
            stored = _packed(tensor["data"]) if tensor["dtype"] == "int4" else np.ascontiguousarray(tensor["data"])
            data = _vector(builder, np.frombuffer(stored.tobytes(), np.uint8), np.uint8)
            buffers.append(_table(builder, "Buffer", {"Data": data}))
            number = len(buffers) - 1
        fields: dict[str, Any] = {"Shape": _vector(builder, tensor["shape"], np.int32), "Buffer": number,
                                  "Type": getattr(tflite.TensorType, _TYPES[tensor["dtype"]]),
                                  "Name": builder.CreateString(tensor["name"])}
        if tensor["signature"] is not None:
            fields["ShapeSignature"] = _vector(builder, tensor["signature"], np.int32)
        if tensor["scale"] is not None:
            fields["Quantization"] = _table(builder, "QuantizationParameters", {
                "Scale": _vector(builder, np.atleast_1d(tensor["scale"]), np.float32),
                "ZeroPoint": _vector(builder, np.atleast_1d(tensor["zero_point"]), np.int64),
                "QuantizedDimension": tensor["axis"]})
        return _table(builder, "Tensor", fields)

    @staticmethod
    def _operator(builder: flatbuffers.Builder, kinds: list[str], kind: str, inputs: list[int], outputs: list[int],
                  options: dict[str, Any]) -> int:
        fields: dict[str, Any] = {"OpcodeIndex": kinds.index(kind), "Inputs": _vector(builder, inputs, np.int32),
                                  "Outputs": _vector(builder, outputs, np.int32)}
        if kind in _OPTIONS:
            fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, _OPTIONS[kind])
            fields["BuiltinOptions"] = _table(builder, _OPTIONS[kind], options)
        return _table(builder, "Operator", fields)


def _packed(values: np.ndarray) -> np.ndarray:
    """Two integers of 4 bits a byte, the first in the lower half."""
    nibbles = np.append(values.reshape(-1), np.zeros(values.size % 2, values.dtype)).astype(np.uint8) & 15
    return nibbles[::2] | nibbles[1::2] << 4


def _table(builder: flatbuffers.Builder, kind: str, fields: dict[str, Any]) -> int:
    getattr(tflite, f"{kind}Start")(builder)
    for name, value in fields.items():
        getattr(tflite, f"{kind}Add{name}")(builder, value)
    return int(getattr(tflite, f"{kind}End")(builder))


def _vector(builder: flatbuffers.Builder, values: Any, dtype: Any) -> int:
    return int(builder.CreateNumpyVector(np.asarray(values, dtype)))


def _offsets(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
