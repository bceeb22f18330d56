"""Each TFLite operator to operators of the graph; one function a kind, in the table at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.model import tflite_scales as scales
from hwgen.model.graph import Add, Concat, Conv, Op, Pad, Pool, Requantize, Tensor
from hwgen.model.tflite_context import MAX_MAP, Layer

MAX_WINDOW = 1 << 15
"""Most pixels under one kernel, as for `hwgen.golden.fixedpoint.average_requant`."""

_RELU = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3, "QUANTIZE": 0}


def _same_pads(size: int, kernel: int, dilation: int, stride: int) -> tuple[int, int]:
    """SAME padding before and after: the odd pixel goes to the end."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def _window(layer: Layer, height: int, width: int, kernel: tuple[int, int]) -> dict[str, Any]:
    """Stride, dilation and padding (of a map of the given size) from a layer's options."""
    options = layer.source.options
    stride = (options["StrideH"], options["StrideW"])
    dilation = (options.get("DilationHFactor", 1), options.get("DilationWFactor", 1))
    if min(*stride, *dilation, *kernel) < 1:
        raise layer.error(f"kernel {kernel}, stride {stride} and dilation {dilation} must be positive")
    pad = (0, 0, 0, 0)
    if options["Padding"] == 0:
        pad = (*_same_pads(height, kernel[0], dilation[0], stride[0]),
               *_same_pads(width, kernel[1], dilation[1], stride[1]))
    if (height + pad[0] + pad[1]) * (width + pad[2] + pad[3]) > MAX_MAP or kernel[0] * kernel[1] > MAX_WINDOW:
        raise layer.error(f"kernel {kernel} with dilation {dilation} is too large for this tool")
    for size, k, d, s, before, after, out in zip((height, width), kernel, dilation, stride, pad[::2], pad[1::2],
                                                 layer.output.shape[1:3], strict=True):
        expected = (size + before + after - (k - 1) * d - 1) // s + 1
        if expected != out:
            raise layer.error(f"the output shape {layer.output.shape} does not follow from its input and window")
    return {"stride": stride, "dilation": dilation, "pad": pad}


def _weights(layer: Layer, rank: int, axis: int) -> tuple[NDArray[Any], NDArray[np.int32], NDArray[np.float32]]:
    """Weights with their output channels first (as stored otherwise), bias and scales."""
    stored = layer.constant(1)
    if stored.data is None or stored.data.ndim != rank or 0 in stored.shape:
        raise layer.error(f"its weights must have {rank} dimensions, not the shape {stored.shape}")
    channels = stored.shape[axis]
    if len(stored.scales) not in (1, channels) or (len(stored.scales) > 1 and stored.axis != axis):
        raise layer.error(f"its weights must have 1 or {channels} scales along axis {axis}, not {len(stored.scales)} "
                          f"along {stored.axis}")
    if not np.all(np.isfinite(stored.scales)) or np.any(stored.scales <= 0):
        raise layer.error("its weight scales must be finite and positive", "quantise the network again")
    if layer.output.shape[3] != channels:
        raise layer.error(f"it has {channels} filters but {layer.output.shape[3]} output channels")
    bias = np.zeros(channels, np.int32)
    if len(layer.source.inputs) > 2 and layer.source.inputs[2] >= 0:
        data = layer.constant(2).data
        if data is None or data.shape != (channels,):
            raise layer.error(f"its bias must have {channels} entries")
        bias = data.astype(np.int32)
    weight = stored.data
    zero_points = stored.zero_points if len(stored.zero_points) else np.zeros(1, np.int64)
    if np.any(zero_points):
        if len(zero_points) != 1:
            raise layer.error("weights with several zero points are not supported", "quantise weights symmetrically")
        weight = weight.astype(np.int16) - zero_points.astype(np.int16)
    return weight, bias, stored.scales


def _convolution(layer: Layer) -> Op:
    depthwise = layer.source.kind == "DEPTHWISE_CONV_2D"
    x, folded = layer.context.unpadded(layer.source.inputs[0])
    weight, bias, weight_scales = _weights(layer, 4, 3 if depthwise else 0)
    channels, height, width = x.shape[3], x.shape[1] + sum(folded[:2]), x.shape[2] + sum(folded[2:])
    if depthwise:
        if weight.shape[0] != 1 or weight.shape[3] % channels:
            raise layer.error(f"weights of shape {weight.shape} do not fit {channels} input channels")
        weight, groups = np.ascontiguousarray(weight.transpose(3, 1, 2, 0)), channels
    else:
        groups = channels // weight.shape[3]
        if channels % weight.shape[3] or weight.shape[0] % groups:
            raise layer.error(f"weights of shape {weight.shape} do not fit {channels} input channels")
    window = _window(layer, height, width, weight.shape[1:3])
    window["pad"] = tuple(a + b for a, b in zip(window["pad"], folded, strict=True))
    requant = scales.requant(scales.convolution_ratios(x, weight_scales, layer.output), layer.output,
                             layer.activation, layer.where)
    return Conv(**layer.names(x), weight=weight, bias=bias, requant=requant, groups=groups,
                weight_scale=np.resize(weight_scales, len(weight)), **window)


def _dense(layer: Layer) -> Op:
    x = layer.input()
    weight, bias, weight_scales = _weights(layer, 2, 0)
    _, height, width, channels = x.shape
    if weight.shape[1] == height * width * channels:
        kernel = (height, width)
    elif weight.shape[1] == channels:
        kernel = (1, 1)  # applied along the last axis of every pixel
    else:
        raise layer.error(f"weights of shape {weight.shape} do not fit an input of {height}x{width}x{channels}")
    expected = (height - kernel[0] + 1, width - kernel[1] + 1)
    if layer.output.shape[1:3] != expected:
        raise layer.error(f"the output shape {layer.output.shape} does not follow from its input")
    requant = scales.requant(scales.convolution_ratios(x, weight_scales, layer.output), layer.output, layer.activation,
                             layer.where)
    return Conv(**layer.names(x), weight=weight.reshape(-1, *kernel, channels), bias=bias, requant=requant,
                weight_scale=np.resize(weight_scales, len(weight)))


def _pool(layer: Layer) -> Op:
    x, options = layer.input(), layer.source.options
    kernel = (options["FilterHeight"], options["FilterWidth"])
    window = _window(layer, x.shape[1], x.shape[2], kernel)
    layer.require_same_quantization(x)
    qmin, qmax = scales.clamp_range(layer.activation, layer.output)
    return Pool(**layer.names(x), kind="average" if layer.source.kind == "AVERAGE_POOL_2D" else "max", kernel=kernel,
                stride=window["stride"], pad=window["pad"], qmin=qmin, qmax=qmax)


def _mean(layer: Layer) -> Op:
    x = layer.input()
    axes = layer.axes(layer.integers(1))
    if not axes <= {1, 2} or not axes:
        raise layer.error("a mean must go over height, width or both", "reduce over axes 1 and 2 of an NHWC map")
    kernel = (x.shape[1] if 1 in axes else 1, x.shape[2] if 2 in axes else 1)
    if layer.output.shape[1:] != (x.shape[1] // kernel[0], x.shape[2] // kernel[1], x.shape[3]):
        raise layer.error("a mean that drops one spatial axis must keep dimensions", "set keepdims=True")
    requant = scales.mean_requant(x, layer.output, kernel[0] * kernel[1], layer.where)
    return Pool(**layer.names(x), kind="average", kernel=kernel, stride=kernel, requant=requant)


def _add(layer: Layer) -> Op:
    first, second = sorted((layer.input(0), layer.input(1)), key=lambda tensor: -tensor.scale)
    multiplier, shift, requant = scales.add_scales(first, second, layer.output, layer.activation, layer.where)
    return Add(**layer.names(first, second), multiplier=multiplier, shift=shift, requant=requant)


def _concatenation(layer: Layer) -> Op:
    inputs = [layer.input(i) for i in range(len(layer.source.inputs))]
    (axis,) = layer.axes([layer.source.options["Axis"]])
    if axis == 0:
        raise layer.error("a concatenation along the batch is not supported", "concatenate height, width or channels")
    shape = list(inputs[0].shape)
    shape[axis] = sum(tensor.shape[axis] for tensor in inputs)
    if any(t.shape[i] != shape[i] for t in inputs for i in range(4) if i != axis) or tuple(shape) != layer.output.shape:
        raise layer.error("its inputs' shapes do not add up to its output's")
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
    x = layer.input()
    if x.shape != layer.output.shape:
        raise layer.error(f"its shapes {x.shape} and {layer.output.shape} differ")
    requant = scales.requant(np.array([float(x.scale) / float(layer.output.scale)]), layer.output,
                             _RELU[layer.source.kind], layer.where)
    return Requantize(**layer.names(x), requant=requant)


def paddings(layer: Layer, x: Tensor) -> tuple[int, int, int, int]:
    """The (top, bottom, left, right) padding of a PAD layer, checked against its output's shape."""
    rank = len(layer.context.model.tensors[layer.source.inputs[0]].shape)
    pairs = np.array(layer.integers(1)).reshape(-1, 2)
    if len(pairs) != rank or pairs.min() < 0:
        raise layer.error(f"its paddings must be {rank} pairs of counts, not {pairs.tolist()}")
    full = np.zeros((4, 2), np.int64)
    full[4 - rank :] = pairs
    if full[0].any() or full[3].any():
        raise layer.error("padding of batch or channels is not supported", "pad height and width only")
    if layer.output.shape != tuple(int(s + p.sum()) for s, p in zip(x.shape, full, strict=True)):
        raise layer.error("its output shape does not follow from its paddings")
    layer.require_same_quantization(x)
    return int(full[1, 0]), int(full[1, 1]), int(full[2, 0]), int(full[2, 1])


def _pad(layer: Layer) -> Op:
    x = layer.input()
    return Pad(**layer.names(x), pad=paddings(layer, x))


CONVERTERS: dict[str, Callable[[Layer], Op]] = {
    "CONV_2D": _convolution, "DEPTHWISE_CONV_2D": _convolution, "FULLY_CONNECTED": _dense, "ADD": _add,
    "AVERAGE_POOL_2D": _pool, "MAX_POOL_2D": _pool, "MEAN": _mean, "PAD": _pad, "CONCATENATION": _concatenation,
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
