"""A TFLite file as plain Python values; nothing here knows what an operator means.

The flatbuffer is read completely before anything is interpreted, so that damage is told apart from a network the
tool does not support, and no later code meets a half-valid buffer.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

from hwgen.errors import HwgenError

_DAMAGE = (struct.error, IndexError, ValueError, TypeError, AttributeError, OverflowError, MemoryError, KeyError)
"""What the flatbuffers runtime raises when offsets or lengths point outside the buffer."""

TYPES = {value: name for name, value in vars(tflite.TensorType).items() if isinstance(value, int)} | {
    19: "INT2", 20: "UINT4", 21: "FLOAT8_E4M3FN", 22: "FLOAT8_E5M2"}
"""Those of the package, and what LiteRT 2.3's schema has gained since."""

OPERATORS = {value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)} | {
    209: "STABLEHLO_CASE"}
_DTYPES = {"INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
           "FLOAT32": np.float32, "FLOAT16": np.float16, "BOOL": np.bool_}


DEALT = "SPACE_TO_BATCH_ND"
"""Operator that deals pixels out to batches; a dilated convolution in a file has one before it."""


@dataclass(frozen=True, eq=False)
class FileTensor:
    """A tensor as stored. ``data`` is None for activations; ``scales`` and ``zero_points`` are empty when absent.

    ``type`` is the type of ``data`` and of the arithmetic; ``stored`` the file's, where a pass has changed it.
    ``sparse`` says that only some of a constant's values are stored, which nothing here reads.
    """

    index: int
    name: str
    type: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int
    data: NDArray[Any] | None
    sparse: bool = False
    stored: str = ""

    @property
    def file_type(self) -> str:
        """The type in the file."""
        return self.stored or self.type


@dataclass(frozen=True, eq=False)
class FileOperator:
    """An operator as stored.

    ``kind`` is its builtin name (``CUSTOM <name>`` for custom code), ``options`` its attributes by their schema
    names, -1 in ``inputs`` an absent optional input. ``foreign`` says that the file
    gives it another operator's options, or none where it needs some; ``also`` names operators that a pass has made part
    of it.
    """

    index: int
    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]
    foreign: bool = False
    also: str = ""

    @property
    def source(self) -> str:
        """How reports name it: its kind, and what a pass has made part of it."""
        return f"{self.kind} ({self.also})" if self.also else self.kind


@dataclass(frozen=True, eq=False)
class FileModel:
    """The first subgraph of a file that has ``subgraphs``; ``behind``: constants lie behind the flatbuffer."""

    name: str
    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    subgraphs: int = 1
    behind: bool = False


_WINDOW = ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "FusedActivationFunction")
_POOL = ("Padding", "StrideH", "StrideW", "FilterHeight", "FilterWidth", "FusedActivationFunction")
_OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "CONV_2D": ("Conv2DOptions", _WINDOW),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", (*_WINDOW, "DepthMultiplier")),
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("FusedActivationFunction", "WeightsFormat", "KeepNumDims")),
    "AVERAGE_POOL_2D": ("Pool2DOptions", _POOL),
    "MAX_POOL_2D": ("Pool2DOptions", _POOL),
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
    "MUL": ("MulOptions", ("FusedActivationFunction",)),
    "SUB": ("SubOptions", ("FusedActivationFunction",)),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", "FusedActivationFunction")),
    "MEAN": ("ReducerOptions", ("KeepDims",)),
    "REDUCE_MAX": ("ReducerOptions", ("KeepDims",)),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "STRIDED_SLICE": ("StridedSliceOptions", ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask")),
    "PACK": ("PackOptions", ("ValuesCount", "Axis")),
    "GATHER": ("GatherOptions", ("Axis", "BatchDims")),
    "CAST": ("CastOptions", ("OutDataType",)),
}
"""Of each operator that has any, the table of the schema and the fields that are read. Without a table in the file they
have the schema's defaults."""


def parse_tflite(path: Path) -> FileModel:
    """Read a file.

    Parameters
    ----------
    path : Path

    Raises
    ------
    HwgenError
        When the file cannot be read, is not TFLite, or is damaged.
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
    graph = model.Subgraphs(0)
    tensors = tuple(_tensor(model, graph.Tensors(i), i, data) for i in range(graph.TensorsLength()))
    operators = tuple(_operator(model, graph.Operators(i), i, len(tensors)) for i in range(graph.OperatorsLength()))
    inputs, outputs = _ints(graph.InputsAsNumpy()), _ints(graph.OutputsAsNumpy())
    if not operators or any(not 0 <= i < len(tensors) for i in inputs + outputs):
        raise ValueError("no operators, or a graph input or output that does not exist")
    behind = any(model.Buffers(i).Offset() > 1 for i in range(model.BuffersLength()))
    return FileModel(path.stem, tensors, operators, inputs, outputs, model.SubgraphsLength(), behind)


def _tensor(model: Any, tensor: Any, index: int, file: bytes) -> FileTensor:
    number = tensor.Type()
    kind, shape = TYPES.get(number, f"type {number}"), _ints(tensor.ShapeAsNumpy())
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
    sparse = tensor.Sparsity() is not None
    raw = _content(model.Buffers(tensor.Buffer()), file)
    data = None
    if raw is not None:
        data = raw if sparse else _values(raw, kind, shape)
    name = tensor.Name()
    text = name.decode("utf-8", "replace") if name else ""
    return FileTensor(index, text, kind, shape, _ints(tensor.ShapeSignatureAsNumpy()), scales, zero_points, axis, data,
                      sparse)


def _content(buffer: Any, file: bytes) -> NDArray[np.uint8] | None:
    """The bytes of a buffer: in the flatbuffer, or behind it (``Buffer.offset``), which files above 2 GB need."""
    if buffer.DataLength():
        return np.array(buffer.DataAsNumpy())
    if buffer.Offset() > 1 and buffer.Size():
        start, size = buffer.Offset(), buffer.Size()
        if start + size > len(file):
            raise ValueError(f"a constant lies at {start} to {start + size}, behind the end of the file")
        return np.frombuffer(file, np.uint8, size, start).copy()
    return None


def _values(raw: NDArray[np.uint8], kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if kind == "INT4":  # two in a byte, the first in the low bits
        pairs = np.stack([raw & 15, raw >> 4], -1).reshape(-1)[: int(np.prod(shape))]
        return ((pairs ^ 8).astype(np.int8) - 8).reshape(shape)
    if kind not in _DTYPES:
        return raw  # refused later by its type
    return np.frombuffer(raw.tobytes(), np.dtype(_DTYPES[kind]).newbyteorder("<")).reshape(shape)


def _kind(code: Any) -> str:
    """The name of an operator.

    Files older than schema 3a have it in the 8-bit field only, others may have it in the newer field only: the larger
    of both is the operator. The package's own accessor of the newer field returns the older one for small numbers.
    """
    place = code._tab.Offset(10)
    newer = code._tab.Get(flatbuffers.number_types.Int32Flags, place + code._tab.Pos) if place else 0
    number = max(int(newer), code.DeprecatedBuiltinCode())
    kind = OPERATORS.get(number, f"operator {number}")
    if kind == "CUSTOM":
        return f"CUSTOM {(code.CustomCode() or b'').decode('utf-8', 'replace')}"
    return kind


def _operator(model: Any, operator: Any, index: int, tensors: int) -> FileOperator:
    kind = _kind(model.OperatorCodes(operator.OpcodeIndex()))
    inputs, outputs = _ints(operator.InputsAsNumpy()), _ints(operator.OutputsAsNumpy())
    if any(not -1 <= i < tensors for i in inputs) or any(not 0 <= i < tensors for i in outputs):
        raise ValueError(f"operator {index} ({kind}) names tensors that do not exist")
    if kind not in _OPTIONS:
        return FileOperator(index, kind, inputs, outputs, {})
    table_name, names = _OPTIONS[kind]
    table, given = operator.BuiltinOptions(), operator.BuiltinOptionsType()
    none = table is None or given == tflite.BuiltinOptions.NONE
    # A window without options would have stride 0.
    foreign = "StrideH" in names if none else given != getattr(tflite.BuiltinOptions, table_name)
    parsed = getattr(tflite, table_name)()
    if none or foreign:
        parsed.Init(*_EMPTY)
    else:
        parsed.Init(table.Bytes, table.Pos)
    return FileOperator(index, kind, inputs, outputs, {name: getattr(parsed, name)() for name in names}, foreign)


_EMPTY = (bytes([4, 0, 4, 0, 4, 0, 0, 0]), 4)
"""A table without fields: its accessors give the schema's defaults."""
