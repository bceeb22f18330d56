"""Post-training quantisation of the embedded network, straight into the graph that the ONNX writer takes.

Weights are symmetric per output channel, maps asymmetric over the range that float calibration images reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwgen.model.graph import Graph
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_values import Pending, Shape, View, Weights

FloatArray = NDArray[np.float32]

_PIXEL_MAX = 16.0


class Layer(NamedTuple):
    """A float layer: weights (O, kh, kw, I // groups), bias (O,)."""

    weight: FloatArray
    bias: FloatArray
    stride: int = 1
    pad: int = 0
    groups: int = 1


def quantize_digits(layers: Mapping[str, Layer], images: FloatArray) -> Graph:
    """The network as an int8 graph.

    Parameters
    ----------
    layers : mapping of str to Layer
        stem, depthwise_1, pointwise_1, depthwise_2, pointwise_2 and dense.
    images : float32 array, shape (N, 8, 8, 1)
        Calibration images, 0 to 16.
    """
    net = _Quantizer(layers)
    start = net.start(images)
    stem = net.layer("stem", start)
    branch = net.layer("pointwise_1", net.layer("depthwise_1", stem), relu=False)
    total = net.add("residual", stem, branch)
    deep = net.layer("pointwise_2", net.layer("depthwise_2", total))
    scores = net.layer("dense", net.average("pool", deep, 2), relu=False)
    return Graph("digits", "onnx", net.emitter.tensors, tuple(net.emitter.ops), start.view.tensor.name,
                 scores.view.tensor.name)


class _Value(NamedTuple):
    """A map of the graph and its real values on the calibration images, (N, H, W, C)."""

    view: View
    real: FloatArray


class _Quantizer:
    """Runs the float network and emits each operator once its output's range is known."""

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        self.layers = layers
        self.emitter = Emitter("digits")

    def start(self, images: FloatArray) -> _Value:
        shape: Shape = (1, images.shape[1], images.shape[2], images.shape[3])
        tensor = self.emitter.tensor("image", shape, float(np.float32(_PIXEL_MAX / 255)), -128)
        return _Value(View(shape=shape, tensor=tensor), images)

    def layer(self, name: str, source: _Value, *, relu: bool = True) -> _Value:
        """A convolution (the last layer's kernel covers its map)."""
        layer = self.layers[name]
        scale = np.maximum(np.abs(layer.weight).max(axis=(1, 2, 3)) / 127, 1e-6).astype(np.float32)
        integers = np.rint(layer.weight / scale.reshape(-1, 1, 1, 1)).astype(np.int8)
        args = {"weights": Weights(values=integers, scale=scale, zero_point=np.zeros(len(scale), np.int64)),
                "bias": layer.bias, "stride": (layer.stride, layer.stride), "pad": (layer.pad,) * 4,
                "groups": layer.groups}
        return self._finish(name, "conv", "Conv", (source,), convolve(layer, source.real), relu, args)

    def add(self, name: str, first: _Value, second: _Value) -> _Value:
        """Residual add, then ReLU."""
        return self._finish(name, "add", "Add", (first, second), first.real + second.real, True, {})

    def average(self, name: str, source: _Value, size: int) -> _Value:
        """Average pooling, windows side by side; the map keeps its scale."""
        n, height, width, channels = source.real.shape
        real = source.real.reshape(n, height // size, size, width // size, size, channels).mean(axis=(2, 4))
        args = {"kernel": (size, size), "stride": (size, size), "pad": (0, 0, 0, 0), "include_pad": False}
        tensor = source.view.tensor
        return self._finish(name, "average", "AveragePool", (source,), real, False, args,
                            (tensor.scale, tensor.zero_point))

    def _finish(self, name: str, kind: str, op: str, inputs: tuple[_Value, ...], real: FloatArray, relu: bool,
                args: dict[str, object], scale: tuple[float, int] | None = None) -> _Value:
        real = np.maximum(real, 0) if relu else real
        shape: Shape = (1, real.shape[1], real.shape[2], real.shape[3])
        pending = Pending(shape=shape, kind=kind, node=name, op=op, inputs=tuple(v.view for v in inputs), args=args,
                          lo=0.0 if relu else -np.inf)
        return _Value(self.emitter.lower(pending, f"{name}_out", *(scale or _range(real))), real)


def _range(real: FloatArray) -> tuple[float, int]:
    """Scale and zero point that cover what was seen, zero included."""
    low, high = min(float(real.min()), 0.0), max(float(real.max()), 0.0)
    scale = float(np.float32((high - low) / 255))
    return scale, round(-128 - low / scale)


def convolve(layer: Layer, x: FloatArray) -> FloatArray:
    """The float convolution of ``x`` (N, H, W, C) with a layer, zeros around the map."""
    out, kernel, _, per_group = layer.weight.shape
    padded = np.pad(x, ((0, 0), (layer.pad, layer.pad), (layer.pad, layer.pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(1, 2))
    windows = windows[:, :: layer.stride, :: layer.stride]  # (N, rows, columns, C, kh, kw)
    windows = windows.reshape(*windows.shape[:3], layer.groups, per_group, kernel, kernel)
    weight = layer.weight.reshape(layer.groups, out // layer.groups, kernel, kernel, per_group)
    result = np.einsum("nyxgikl,gokli->nyxgo", windows, weight, optimize=True)
    return np.asarray(result.reshape(*result.shape[:3], out) + layer.bias, np.float32)
