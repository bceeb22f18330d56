"""A TFLite file as plain Python values; nothing here knows what an operator means.

The flatbuffer is read completely before anything is interpreted, so that damage is told apart from a network the
tool does not support, and no later code meets a half-valid buffer.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray

from hwgen.errors import HwgenError

_DAMAGE = (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError, MemoryError, KeyError)
"""What the flatbuffers runtime raises when offsets or lengths point outside the buffer."""

TYPES = {value: name for name, value in vars(tflite.TensorType).items() if isinstance(value, int)}
OPERATORS = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)}
_DTYPES = {"INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
           "FLOAT32": np.float32, "BOOL": np.bool_}


@dataclass(frozen=True, eq=False)
class FileTensor:
    """A tensor as stored. ``data`` is None for activations; ``scales`` and ``zero_points`` are empty when absent."""

    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int
    data: NDArray[Any] | None


@dataclass(frozen=True, eq=False)
class FileOperator:
    """An operator as stored.

    ``kind`` is its builtin name (``CUSTOM <name>`` for custom code), ``options`` its attributes by their schema
    names, -1 in ``inputs`` an absent optional input.
    """

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]


@dataclass(frozen=True, eq=False)
class FileModel:
    """The one subgraph of a file."""

    name: str
    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


_OPTIONS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "CONV_2D": (tflite.Conv2DOptions, ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor",
                                       "FusedActivationFunction")),
    "DEPTHWISE_CONV_2D": (tflite.DepthwiseConv2DOptions, ("Padding", "StrideH", "StrideW", "DilationHFactor",
                                                          "DilationWFactor", "DepthMultiplier",
                                                          "FusedActivationFunction")),
    "FULLY_CONNECTED": (tflite.FullyConnectedOptions, ("FusedActivationFunction", "WeightsFormat", "KeepNumDims")),
    "AVERAGE_POOL_2D": (tflite.Pool2DOptions, ("Padding", "StrideH", "StrideW", "FilterHeight", "FilterWidth",
                                               "FusedActivationFunction")),
    "MAX_POOL_2D": (tflite.Pool2DOptions, ("Padding", "StrideH", "StrideW", "FilterHeight", "FilterWidth",
                                           "FusedActivationFunction")),
    "ADD": (tflite.AddOptions, ("FusedActivationFunction",)),
    "CONCATENATION": (tflite.ConcatenationOptions, ("Axis", "FusedActivationFunction")),
    "MEAN": (tflite.ReducerOptions, ("KeepDims",)),
    "SOFTMAX": (tflite.SoftmaxOptions, ("Beta",)),
}


def parse_tflite(path: Path) -> FileModel:
    """Read a file.

    Parameters
    ----------
    path : Path

    Raises
    ------
    HwgenError
        When the file cannot be read, is not TFLite, is damaged, or holds more than one subgraph.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise HwgenError(f"the model file cannot be read: {error.strerror}", where=str(path)) from error
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise HwgenError("not a TFLite file: the identifier TFL3 is missing", where=str(path),
                         remedy="give a .tflite file as the TFLite converter writes it, or an .onnx file")
    try:
        return _model(path, data)
    except _DAMAGE as error:
        raise HwgenError(f"the TFLite file is damaged or truncated ({type(error).__name__}: {error})", where=str(path),
                         remedy="download or convert the model again") from error


def _ints(vector: Any) -> tuple[int, ...]:
    # An absent vector reads as the integer 0.
    return () if isinstance(vector, int) else tuple(int(v) for v in vector)


def _model(path: Path, data: bytes) -> FileModel:
    model = tflite.Model.GetRootAs(data, 0)
    if model.SubgraphsLength() != 1:
        raise HwgenError(f"the model must have one subgraph, not {model.SubgraphsLength()}", where=str(path),
                         remedy="convert the network without control flow or signatures of its own")
    graph = model.Subgraphs(0)
    tensors = tuple(_tensor(model, graph.Tensors(i), i) for i in range(graph.TensorsLength()))
    operators = tuple(_operator(model, graph.Operators(i), i, len(tensors)) for i in range(graph.OperatorsLength()))
    inputs, outputs = _ints(graph.InputsAsNumpy()), _ints(graph.OutputsAsNumpy())
    if not operators or any(not 0 <= i < len(tensors) for i in inputs + outputs):
        raise ValueError("no operators, or a graph input or output that does not exist")
    return FileModel(path.stem, tensors, operators, inputs, outputs)


def _tensor(model: Any, tensor: Any, index: int) -> FileTensor:
    kind, shape = TYPES[tensor.Type()], _ints(tensor.ShapeAsNumpy())
    if any(size < 0 for size in shape):
        raise ValueError(f"tensor {index} has the shape {shape}")
    quantization = tensor.Quantization()
    scales, zero_points, axis = np.zeros(0, np.float32), np.zeros(0, np.int64), 0
    if quantization is not None:
        axis = quantization.QuantizedDimension()
        if quantization.ScaleLength():
            scales = np.array(quantization.ScaleAsNumpy(), np.float32)
        if quantization.ZeroPointLength():
            zero_points = np.array(quantization.ZeroPointAsNumpy(), np.int64)
    data = None
    buffer = model.Buffers(tensor.Buffer())
    if buffer.DataLength():
        if kind not in _DTYPES:
            data = np.array(buffer.DataAsNumpy())  # refused later by its type
        else:
            data = np.frombuffer(buffer.DataAsNumpy().tobytes(), np.dtype(_DTYPES[kind]).newbyteorder("<"))
            data = data.reshape(shape)
    name = tensor.Name()
    text = name.decode("utf-8", "replace") if name else ""
    return FileTensor(index, text, kind, shape, _ints(tensor.ShapeSignatureAsNumpy()), scales, zero_points, axis, data)


def _operator(model: Any, operator: Any, index: int, tensors: int) -> FileOperator:
    code = model.OperatorCodes(operator.OpcodeIndex())
    # Files older than schema 3a keep the operator in the 8-bit field only; the larger of both is the operator.
    kind = OPERATORS[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
    if kind == "CUSTOM":
        kind = f"CUSTOM {(code.CustomCode() or b'').decode('utf-8', 'replace')}"
    inputs, outputs = _ints(operator.InputsAsNumpy()), _ints(operator.OutputsAsNumpy())
    if any(not -1 <= i < tensors for i in inputs) or any(not 0 <= i < tensors for i in outputs) or not outputs:
        raise ValueError(f"operator {index} ({kind}) names tensors that do not exist")
    options: dict[str, Any] = {}
    if kind in _OPTIONS:
        reader, names = _OPTIONS[kind]
        table = operator.BuiltinOptions()
        if table is None:
            raise ValueError(f"operator {index} ({kind}) has no options")
        parsed = reader()
        parsed.Init(table.Bytes, table.Pos)
        options = {name: getattr(parsed, name)() for name in names}
    return FileOperator(index, kind, inputs, outputs, options)
