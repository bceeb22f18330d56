"""Shapes, windows and constants of TFLite operators: what does not depend on how numbers are represented."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.model.graph import MAX_MAP, Tensor
from hwgen.model.tflite_context import Layer, Pads
from hwgen.model.tflite_file import FileTensor

MAX_WINDOW = 1 << 15
"""Most pixels under one kernel, as for `hwgen.golden.fixedpoint.average_requant`."""


def same_pads(size: int, kernel: int, dilation: int, stride: int) -> tuple[int, int]:
    """SAME padding before and after: the odd pixel goes to the end."""
    total = max((-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def window(layer: Layer, height: int, width: int, kernel: tuple[int, int]) -> dict[str, Any]:
    """Stride, dilation and padding (of a map of the given size) from a layer's options."""
    options = layer.source.options
    stride = (options["StrideH"], options["StrideW"])
    dilation = (options.get("DilationHFactor", 1), options.get("DilationWFactor", 1))
    if min(*stride, *dilation, *kernel) < 1:
        raise layer.error(f"kernel {kernel}, stride {stride} and dilation {dilation} must be positive")
    pad = (0, 0, 0, 0)
    if options["Padding"] == 0:
        pad = (*same_pads(height, kernel[0], dilation[0], stride[0]),
               *same_pads(width, kernel[1], dilation[1], stride[1]))
    if (height + pad[0] + pad[1]) * (width + pad[2] + pad[3]) > MAX_MAP or kernel[0] * kernel[1] > MAX_WINDOW:
        raise layer.error(f"kernel {kernel} with dilation {dilation} is too large for this tool")
    for size, k, d, s, before, after, out in zip((height, width), kernel, dilation, stride, pad[::2], pad[1::2],
                                                 layer.output.shape[1:3], strict=True):
        expected = (size + before + after - (k - 1) * d - 1) // s + 1
        if expected != out:
            raise layer.error(f"the output shape {layer.output.shape} does not follow from its input and window")
    return {"stride": stride, "dilation": dilation, "pad": pad}


def weights(layer: Layer, rank: int, axis: int) -> tuple[FileTensor, NDArray[Any] | None]:
    """Weights as stored, and the bias (None when there is none), their shapes checked; ``axis`` is that of the output
    channels."""
    stored = layer.constant(1)
    if stored.data is None or stored.data.ndim != rank or 0 in stored.shape:
        raise layer.error(f"its weights must have {rank} dimensions, not the shape {stored.shape}")
    channels = stored.shape[axis]
    if len(stored.scales) not in (0, 1, channels) or (len(stored.scales) > 1 and stored.axis != axis):
        raise layer.error(f"its weights must have 1 or {channels} scales along axis {axis}, not {len(stored.scales)} "
                          f"along {stored.axis}")
    if not np.all(np.isfinite(stored.scales)) or np.any(stored.scales < 0):
        raise layer.error("its weight scales must be finite and not negative", "quantise the network again")
    if layer.output.shape[3] != channels:
        raise layer.error(f"it has {channels} filters but {layer.output.shape[3]} output channels")
    if len(layer.source.inputs) < 3 or layer.source.inputs[2] < 0:
        return stored, None
    bias = layer.constant(2).data
    if bias is None or bias.shape != (channels,):
        raise layer.error(f"its bias must have {channels} entries")
    return stored, bias


def convolution(layer: Layer, weight: NDArray[Any]) -> tuple[Tensor, dict[str, Any]]:
    """The map that a convolution reads, and its arguments ``weight`` (output channels first), ``groups``, ``stride``,
    ``dilation`` and ``pad``, a PAD before it included."""
    depthwise = layer.source.kind == "DEPTHWISE_CONV_2D"
    x, folded = layer.context.unpadded(layer.source.inputs[0])
    channels, height, width = x.shape[3], x.shape[1] + sum(folded[:2]), x.shape[2] + sum(folded[2:])
    if depthwise:
        multiplier = layer.source.options["DepthMultiplier"]
        if weight.shape[0] != 1 or weight.shape[3] != channels * multiplier:
            raise layer.error(f"weights of shape {weight.shape} do not fit {channels} input channels and the depth "
                              f"multiplier {multiplier}")
        weight, groups = np.ascontiguousarray(weight.transpose(3, 1, 2, 0)), channels
    else:
        groups = channels // weight.shape[3]
        if channels % weight.shape[3] or weight.shape[0] % groups:
            raise layer.error(f"weights of shape {weight.shape} do not fit {channels} input channels")
    result = window(layer, height, width, (weight.shape[1], weight.shape[2]))
    result["pad"] = tuple(a + b for a, b in zip(result["pad"], folded, strict=True))
    return x, {"weight": weight, "groups": groups, **result}


def dense(layer: Layer, weight: NDArray[Any]) -> tuple[Tensor, NDArray[Any]]:
    """The map that a fully connected layer reads, and its weights as those of a convolution."""
    x = layer.input()
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
    return x, weight.reshape(-1, *kernel, channels)


def pool(layer: Layer) -> tuple[Tensor, dict[str, Any]]:
    """The map that a pooling reads, and its arguments ``kind``, ``kernel``, ``stride`` and ``pad``."""
    x, options = layer.input(), layer.source.options
    kernel = (options["FilterHeight"], options["FilterWidth"])
    found = window(layer, x.shape[1], x.shape[2], kernel)
    return x, {"kind": "average" if layer.source.kind == "AVERAGE_POOL_2D" else "max", "kernel": kernel,
               "stride": found["stride"], "pad": found["pad"]}


def reduction(layer: Layer) -> tuple[Tensor, tuple[int, int]]:
    """The map that a reduction over height, width or both reads, and the size of its window."""
    x = layer.input(transposed=True)
    axes = layer.axes(layer.integers(1))
    what = "mean" if layer.source.kind == "MEAN" else "maximum"
    if not axes <= {1, 2} or not axes:
        raise layer.error(f"a {what} must go over height, width or both", "reduce over axes 1 and 2 of an NHWC map")
    kernel = (x.shape[1] if 1 in axes else 1, x.shape[2] if 2 in axes else 1)
    if layer.output.shape[1:] != (x.shape[1] // kernel[0], x.shape[2] // kernel[1], x.shape[3]):
        raise layer.error(f"a {what} that drops one spatial axis must keep dimensions", "set keepdims=True")
    return x, kernel


def concatenation(layer: Layer) -> tuple[list[Tensor], int]:
    """The maps that a concatenation joins, and the axis."""
    inputs = [layer.input(i) for i in range(len(layer.source.inputs))]
    (axis,) = layer.axes([layer.source.options["Axis"]])
    if axis == 0:
        raise layer.error("a concatenation along the batch is not supported", "concatenate height, width or channels")
    shape = list(inputs[0].shape)
    shape[axis] = sum(tensor.shape[axis] for tensor in inputs)
    if any(t.shape[i] != shape[i] for t in inputs for i in range(4) if i != axis) or tuple(shape) != layer.output.shape:
        raise layer.error("its inputs' shapes do not add up to its output's")
    return inputs, axis


def elementwise(layer: Layer) -> Tensor:
    """The map that an operator reads whose output has the same shape."""
    x = layer.input()
    if x.shape != layer.output.shape:
        raise layer.error(f"its shapes {x.shape} and {layer.output.shape} differ")
    return x


def paddings(layer: Layer, x: Tensor) -> Pads:
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
    return int(full[1, 0]), int(full[1, 1]), int(full[2, 0]), int(full[2, 1])
