"""An activation in float32 between two quantised maps (`hwgen.model.tflite_passes.islands`), as one requantisation."""

from __future__ import annotations

import numpy as np

from hwgen.golden.fixedpoint import requantize
from hwgen.golden.host import quantize
from hwgen.model import tflite_geometry as geometry
from hwgen.model import tflite_scales as scales
from hwgen.model.graph import Op, Requant, Requantize, Rounding
from hwgen.model.tflite_context import Layer
from hwgen.model.tflite_passes.islands import FLOAT_ACTIVATIONS

_BOUNDS = {"FLOAT RELU": (0.0, np.inf), "FLOAT RELU6": (0.0, 6.0), "FLOAT RELU_N1_TO_1": (-1.0, 1.0)}
_ROUNDINGS: tuple[Rounding, ...] = ("half_away", "double", "single", "half_even")
FLOAT_KINDS = tuple(f"FLOAT {kind}" for kind in FLOAT_ACTIVATIONS)


def float_activation(layer: Layer) -> Op:
    """The requantisation that gives what float32 gives, for each of the 256 values.

    Raises
    ------
    HwgenError
        When there is none.
    """
    x, y = geometry.elementwise(layer), layer.output
    q = np.arange(-128, 128)
    real = (q - x.zero_point).astype(np.float32) * np.float32(x.scale)
    low, high = _BOUNDS[layer.source.kind]
    attrs = {"scale": y.scale, "zero_point": y.zero_point}
    expected = quantize(np.clip(real, np.float32(low), np.float32(high)), attrs, "tflite")
    qmin, qmax = (int(q) for q in quantize(np.array([low, high], np.float32), attrs, "tflite"))
    multiplier, shift = scales.multipliers(np.array([float(x.scale) / float(y.scale)]))
    for rounding in _ROUNDINGS:
        requant = Requant(multiplier, shift, y.zero_point, qmin, qmax, rounding)
        if np.array_equal(requantize((q - x.zero_point).reshape(-1, 1), requant).reshape(-1), expected):
            return Requantize(**layer.names(x), requant=requant)
    raise layer.error("rounds in float32 as no requantisation does", "quantise the activation too")
