"""ADD of a constant and SUB of one, one for all or one a channel: the constant as a map of its own, to the bit.

A depthwise convolution of weight 0 with a bias makes that map, and the machine's addition follows. Keras writes such
operators for the bias of a dilated convolution, for `Rescaling` and for `Normalization`.
"""

from __future__ import annotations

import numpy as np

from hwgen.golden.fixedpoint import ADD_LEFT_SHIFT, rescale
from hwgen.model import tflite_scales as scales
from hwgen.model.graph import Add, Conv, Op, Requant, Tensor
from hwgen.model.tflite_context import Layer


def added(layer: Layer) -> Op:
    """ADD of two maps, or of a map and a constant.

    Raises
    ------
    HwgenError
        When the constant has no scale and zero point.
    """
    places = [i for i in (0, 1) if layer.constant(i).data is not None]
    if not places:
        return _sum(layer, layer.input(0), layer.input(1))
    x = layer.input(1 - places[0])
    return _sum(layer, x, _constant_map(layer, x, places[0], negative=False))


def subtracted(layer: Layer) -> Op:
    """SUB of a constant from a map; errors as `added`."""
    x = layer.input(0)
    return _sum(layer, x, _constant_map(layer, x, 1, negative=True))


def _sum(layer: Layer, a: Tensor, b: Tensor) -> Op:
    first, second = sorted((a, b), key=lambda tensor: -tensor.scale)
    multiplier, shift, requant = scales.add_scales(first, second, layer.output, layer.activation, layer.where)
    return Add(**layer.names(first, second), multiplier=multiplier, shift=shift, requant=requant)


def _constant_map(layer: Layer, x: Tensor, position: int, *, negative: bool) -> Tensor:
    """A map of the shape of ``x`` that holds the constant; ``negative``: its opposite."""
    constant, channels = layer.constant(position), x.shape[3]
    assert constant.data is not None
    if layer.unsigned or constant.type != "INT8" or len(constant.scales) != 1 or len(constant.zero_points) != 1:
        raise layer.error(f"its constant must be int8 with one scale and zero point, not {constant.file_type.lower()}",
                          "convert the network again with int8 quantisation")
    scale, zero = float(constant.scales[0]), int(constant.zero_points[0])
    if not 0 < scale < np.inf or not -128 <= zero <= 127:
        raise layer.error(f"its constant has the scale {scale:g} and zero point {zero}", "quantise the network again")
    q = np.resize(constant.data.reshape(-1).astype(np.int64), channels)
    if negative:
        _check_signs(layer, q - zero, scale, x.scale)
        q, zero = -1 - q, -1 - zero
    map_ = layer.context.new_map(f"{layer.output.name}/constant", x.shape, Tensor("", x.shape, scale, zero))
    one = Requant(np.full(channels, 1 << 30, np.int64), np.ones(channels, np.int64), zero)
    layer.context.emit(Conv(name=map_.name, inputs=(x.name,), output=map_.name, source=layer.source.kind,
                            weight=np.zeros((channels, 1, 1, 1), np.int8), bias=(q - zero).astype(np.int32),
                            requant=one, groups=channels, weight_scale=np.ones(channels, np.float32)))
    return map_


def _check_signs(layer: Layer, values: np.ndarray, scale: float, other: float) -> None:
    """Refuse a constant whose opposite the kernels rescale to another number than the opposite (at ties)."""
    multiplier, shift = scales.multipliers(np.array([scale / (2.0 * max(scale, other))]))
    plus, minus = (rescale(v << ADD_LEFT_SHIFT, multiplier, shift, "double") for v in (values, -values))
    if (plus != -minus).any():
        raise layer.error("its constant lies on a tie of the kernels' rounding, which the machine's addition decides "
                          "the other way", "calibrate again, or add the negative constant instead")
