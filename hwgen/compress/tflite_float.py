"""Read a float TFLite network; weights that the file stores as int8 (hybrid networks) are dequantised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.compress.graph import Activation, FloatAdd, FloatArray, FloatConv, FloatGraph, FloatPool, softmaxes
from hwgen.compress.passes import fuse_activations
from hwgen.errors import HwgenError
from hwgen.model import tflite_geometry as geometry
from hwgen.model.graph import Concat, Op, Pad
from hwgen.model.tflite_context import Context, Layer
from hwgen.model.tflite_file import FileTensor, parse_tflite
from hwgen.model.tflite_preflight import host_tail, preflight
from hwgen.model.tflite_reader import read_layers, read_tail

_CLAMPS: tuple[dict[str, Any], ...] = ({}, {"lo": 0.0}, {"lo": -1.0, "hi": 1.0}, {"lo": 0.0, "hi": 6.0})
"""By TFLite's activation number: NONE, RELU, RELU_N1_TO_1, RELU6."""
_ALONE = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}


def read_tflite_float(path: str | Path) -> FloatGraph:
    """Read a float network.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    HwgenError
        When the file is damaged, the network does not compute in float32, or any operator is not supported (all are
        listed).
    """
    path = Path(path)
    model = parse_tflite(path)
    preflight(path, model, real=True)
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise HwgenError(f"the network must have one input and one output, not {len(model.inputs)} and "
                         f"{len(model.outputs)}", where=str(path), remedy="compress a part of it with one of each")
    context = _FloatContext(str(path), model)
    tail = host_tail(model)
    source = context.register(model.inputs[0], str(path)).name
    read_layers(context, [op for op in model.operators if op.index not in tail], _convert)
    end, after = read_tail(context, model.outputs[0], tail)
    if end not in context.names:
        raise HwgenError("no operator writes the network's output", where=str(path))
    shapes = {name: tensor.shape for name, tensor in context.tensors.items()}
    output = context.names[end]
    graph = FloatGraph(model.name, shapes, (*context.ops, *softmaxes(after, output)), source, output)
    return fuse_activations(graph)


class _FloatContext(Context):
    """Maps are float32; their scale and zero point are 1 and 0, and nobody asks for them."""

    def quantization(self, source: FileTensor, where: str) -> tuple[float, int]:
        if source.type != "FLOAT32":
            raise HwgenError(f"'{source.name}' must be float32, not {source.type.lower()}", where=where)
        return 1.0, 0


def _clamp(layer: Layer) -> dict[str, Any]:
    return _CLAMPS[layer.activation]


def _weights(layer: Layer, rank: int, axis: int) -> tuple[FloatArray, FloatArray]:
    """Weights as stored and bias, both as real values."""
    stored, bias = geometry.weights(layer, rank, axis)
    assert stored.data is not None
    weight = stored.data.astype(np.float32)
    if stored.data.dtype == np.int8:
        form = [1] * rank
        form[axis] = -1
        zero = stored.zero_points if len(stored.zero_points) else np.zeros(1, np.int64)
        if len(zero) not in (1, len(stored.scales)):
            raise layer.error(f"its weights have {len(stored.scales)} scales but {len(zero)} zero points")
        weight = ((weight - zero.reshape(form)) * stored.scales.reshape(form)).astype(np.float32)
    bias = np.zeros(stored.shape[axis], np.float32) if bias is None else bias.astype(np.float32)
    for what, values in (("weights", weight), ("bias", bias)):
        if not np.isfinite(values).all():
            raise layer.error(f"its {what} must be finite, but hold NaN or infinity", "train or convert it again")
    return weight, bias


def _convolution(layer: Layer) -> Op:
    weight, bias = _weights(layer, 4, 3 if layer.source.kind == "DEPTHWISE_CONV_2D" else 0)
    x, found = geometry.convolution(layer, weight)
    return FloatConv(**layer.names(x), **found, bias=bias, **_clamp(layer))


def _dense(layer: Layer) -> Op:
    weight, bias = _weights(layer, 2, 0)
    x, weight = geometry.dense(layer, weight)
    return FloatConv(**layer.names(x), weight=weight, bias=bias, **_clamp(layer))


def _pool(layer: Layer) -> Op:
    x, found = geometry.pool(layer)
    return FloatPool(**layer.names(x), **found, **_clamp(layer))


def _mean(layer: Layer) -> Op:
    x, kernel = geometry.reduction(layer)
    return FloatPool(**layer.names(x), kind="average", kernel=kernel, stride=kernel)


def _add(layer: Layer) -> Op:
    return FloatAdd(**layer.names(layer.input(0), layer.input(1)), **_clamp(layer))


def _concatenation(layer: Layer) -> Op:
    inputs, axis = geometry.concatenation(layer)
    return Concat(**layer.names(*inputs), axis=axis)


def _activation(layer: Layer) -> Op:
    return Activation(**layer.names(geometry.elementwise(layer)), **_CLAMPS[_ALONE[layer.source.kind]])


def _pad(layer: Layer) -> Op:
    x = layer.input()
    return Pad(**layer.names(x), pad=geometry.paddings(layer, x))


_CONVERTERS: dict[str, Callable[[Layer], Any]] = {
    "CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _convolution, "FULLY_CONNECTED": _dense, "ADD": _add,
    "AVERAGE_POOL_2D": _pool, "MAX_POOL_2D": _pool, "MEAN": _mean, "PAD": _pad, "CONCATENATION": _concatenation,
    "RELU": _activation, "RELU6": _activation, "RELU_N1_TO_1": _activation,
}


def _convert(layer: Layer) -> Op:
    return _CONVERTERS[layer.source.kind](layer)
