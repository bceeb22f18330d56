"""MUL by a constant, one for all or one a channel: a depthwise convolution of one pixel, to the bit.

TFLite multiplies ``(x - zero point) * (constant - zero point)`` and requantises by ``scale_x * scale_constant /
scale_y``, as a depthwise convolution with that weight does.
"""

from __future__ import annotations

import numpy as np

from hwgen.model import tflite_scales as scales
from hwgen.model.graph import Conv, Op
from hwgen.model.tflite_context import Layer


def multiplied(layer: Layer) -> Op:
    """The operator.

    Raises
    ------
    HwgenError
        When the constant has no scale and zero point.
    """
    model = layer.context.model
    position = 1 if model.tensors[layer.source.inputs[1]].data is not None else 0
    x, constant = layer.input(1 - position), layer.constant(position)
    channels = x.shape[3]
    assert constant.data is not None
    if layer.unsigned or constant.type != "INT8" or len(constant.scales) != 1 or len(constant.zero_points) != 1:
        raise layer.error(f"its constant must be int8 with one scale and zero point, not {constant.file_type.lower()}",
                          "convert the network again with int8 quantisation")
    if not 0 < float(constant.scales[0]) < np.inf:
        raise layer.error(f"the scale of its constant must be finite and positive, not {constant.scales[0]}",
                          "quantise the network again")
    values = constant.data.reshape(-1).astype(np.int16) - np.int16(constant.zero_points[0])
    weight = np.resize(values, channels).reshape(channels, 1, 1, 1)
    if weight.min() >= -128 and weight.max() <= 127:
        weight = weight.astype(np.int8)
    ratios = scales.convolution_ratios(x, constant.scales, layer.output)
    bias = np.zeros(channels, np.int32)
    requant = scales.requant(ratios, layer.output, layer.activation, layer.where,
                             reach=scales.reach(weight, bias, x, len(ratios)))
    return Conv(**layer.names(x), weight=weight, bias=bias, requant=requant, groups=channels,
                weight_scale=np.resize(constant.scales, channels))
