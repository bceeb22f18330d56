"""Each TFLite operator to operators of the graph; one function a kind, in the table at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.model import tflite_geometry as geometry
from hwgen.model import tflite_scales as scales
from hwgen.model.graph import Concat, Conv, Op, Pad, Pool, Requantize, Reshape, Rounding, Tensor
from hwgen.model.tflite_constant_factor import multiplied
from hwgen.model.tflite_constant_term import added, subtracted
from hwgen.model.tflite_context import Layer
from hwgen.model.tflite_float_activation import FLOAT_KINDS, float_activation

_RELU = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3, "QUANTIZE": 0}


def _weights(layer: Layer, rank: int, axis: int) -> tuple[NDArray[Any], NDArray[np.int32], NDArray[np.float32]]:
    """Weights with their output channels first (as stored otherwise), bias and scales."""
    stored, bias = geometry.weights(layer, rank, axis)
    channels = stored.shape[axis]
    if not len(stored.scales):
        raise layer.error(f"its weights must have 1 or {channels} scales along axis {axis}, not 0 along {stored.axis}")
    assert stored.data is not None
    weight = stored.data
    if len(stored.zero_points) not in (1, len(stored.scales)):
        raise layer.error(f"its weights must have as many zero points as scales, not {len(stored.zero_points)} and "
                          f"{len(stored.scales)}", "quantise the network again")
    if np.any(stored.zero_points):
        if len(stored.zero_points) != 1:
            raise layer.error("weights with several zero points are not supported", "quantise weights symmetrically")
        weight = weight.astype(np.int16) - stored.zero_points.astype(np.int16)
    return weight, np.zeros(channels, np.int32) if bias is None else bias.astype(np.int32), stored.scales


def _convolution(layer: Layer) -> Op:
    weight, bias, weight_scales = _weights(layer, 4, 3 if layer.source.kind == "DEPTHWISE_CONV_2D" else 0)
    x, found = geometry.convolution(layer, weight)
    ratios = scales.convolution_ratios(x, weight_scales, layer.output, layer.unsigned)
    requant = scales.requant(ratios, layer.output, layer.activation, layer.where,
                             reach=scales.reach(found["weight"], bias, x, len(ratios)))
    return Conv(**layer.names(x), **found, bias=bias, requant=requant,
                weight_scale=np.resize(weight_scales, len(found["weight"])))


def _dense(layer: Layer) -> Op:
    weight, bias, weight_scales = _weights(layer, 2, 0)
    x, weight = geometry.dense(layer, weight)
    ratios = scales.convolution_ratios(x, weight_scales, layer.output)
    rounding: Rounding = "single" if layer.context.litert else "double"
    requant = scales.requant(ratios, layer.output, layer.activation, layer.where, rounding,
                             scales.reach(weight, bias, x, len(ratios)))
    return Conv(**layer.names(x), weight=weight, bias=bias, requant=requant,
                weight_scale=np.resize(weight_scales, len(weight)))


def _pool(layer: Layer) -> Op:
    x, found = geometry.pool(layer)
    layer.require_same_quantization(x)
    qmin, qmax = scales.clamp_range(layer.activation, layer.output)
    if layer.unsigned and found["kind"] == "average":
        return Pool(**layer.names(x), **found, requant=scales.unsigned_average(layer, x, found, qmin, qmax))
    return Pool(**layer.names(x), **found, qmin=qmin, qmax=qmax)


def _reduce_max(layer: Layer) -> Op:
    x, kernel = geometry.reduction(layer)
    layer.require_same_quantization(x)
    return Pool(**layer.names(x), kind="max", kernel=kernel, stride=kernel)


def _mean(layer: Layer) -> Op:
    x, kernel = geometry.reduction(layer)
    requant = scales.mean_requant(x, layer.output, kernel[0] * kernel[1], layer.where)
    return Pool(**layer.names(x), kind="average", kernel=kernel, stride=kernel, requant=requant)


def _concatenation(layer: Layer) -> Op:
    inputs, axis = geometry.concatenation(layer)
    names = [tensor if layer.same_quantization(tensor) else _rescaled(layer, tensor, i)
             for i, tensor in enumerate(inputs)]
    return Concat(**layer.names(*names), axis=axis)


def _rescaled(layer: Layer, x: Tensor, number: int) -> Tensor:
    """A new map with the values of ``x`` in the scale of the layer's output."""
    y = layer.context.new_map(f"{layer.output.name}/requantize_{number}", x.shape, layer.output)
    requant = scales.requant(np.array([float(x.scale) / float(y.scale)]), y, 0, layer.where)
    layer.context.emit(Requantize(name=y.name, inputs=(x.name,), output=y.name, source=layer.source.kind,
                                  requant=requant))
    return y


def _elementwise(layer: Layer) -> Op:
    x, y = geometry.elementwise(layer), layer.output
    ratio = float(x.scale) / float(y.scale)
    if layer.source.kind in ("RELU6", "RELU_N1_TO_1"):  # LiteRT's quotient is one of float32 (docs/verification.md)
        ratio = float(np.float32(x.scale) / np.float32(y.scale))
    requant = scales.requant(np.array([ratio]), y, _RELU[layer.source.kind], layer.where)
    return Requantize(**layer.names(x), requant=requant)


def _pad(layer: Layer) -> Op:
    x = layer.input()
    layer.require_same_quantization(x)
    pad = geometry.paddings(layer, x)
    if layer.source.kind == "PADV2":
        constant = layer.constant(2)
        if constant.data is None or constant.data.size != 1:
            raise layer.error("the value it pads with is not one constant", "pad with a constant")
        value = int(constant.data.reshape(-1)[0])
        if value != x.zero_point:
            return _padded_with(layer, x, pad, value)
    return Pad(**layer.names(x), pad=pad)


def _padded_with(layer: Layer, x: Tensor, pad: tuple[int, int, int, int], value: int) -> Op:
    """The same integers in a map whose zero point is the value, padded; then as those of the output again."""
    like = replace(x, zero_point=value)
    given = layer.context.new_map(f"{layer.output.name}/value", x.shape, like)
    padded = layer.context.new_map(f"{layer.output.name}/padded", layer.output.shape, like)
    source = layer.source.source
    layer.context.emit(Reshape(name=given.name, inputs=(x.name,), output=given.name, source=source))
    layer.context.emit(Pad(name=padded.name, inputs=(given.name,), output=padded.name, source=source, pad=pad))
    return Reshape(**layer.names(padded))


CONVERTERS: dict[str, Callable[[Layer], Op]] = {
    "CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _convolution, "FULLY_CONNECTED": _dense, "ADD": added,
    "SUB": subtracted, "AVERAGE_POOL_2D": _pool, "MAX_POOL_2D": _pool, "MEAN": _mean, "PAD": _pad,
    "CONCATENATION": _concatenation,
    "MUL": multiplied, "PADV2": _pad, "REDUCE_MAX": _reduce_max, **dict.fromkeys(FLOAT_KINDS, float_activation),
    "RELU": _elementwise, "RELU6": _elementwise, "RELU_N1_TO_1": _elementwise, "QUANTIZE": _elementwise,
}


def convert(layer: Layer) -> Op:
    """The graph operator of a layer.

    Raises
    ------
    HwgenError
        When its attributes, constants or shapes are not what the operator needs.
    """
    if layer.source.kind not in CONVERTERS:
        raise HwgenError(f"no converter for {layer.source.kind}", where=layer.where)
    return CONVERTERS[layer.source.kind](layer)
