"""Post-training quantisation: uniform, weights and maps, calibrated on a sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.calibrate import Range, map_ranges
from hwgen.compress.data import Data
from hwgen.compress.graph import FloatConv, FloatGraph, FloatPool
from hwgen.compress.mixed import choose_bits, measured_errors
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.quantizer import MAX_BITS, Quantizer, from_range
from hwgen.compress.ranges import METHODS, choose
from hwgen.compress.technique import Family, Technique
from hwgen.compress.techniques.fold_batch_norm import fold_batch_norm
from hwgen.errors import HwgenError
from hwgen.model.graph import Op, Pad, Reshape

LEAST_SAMPLES = 16
"""Ranges from fewer inputs than this are chance."""

MAX_RATIO = 64.0
"""Input scale times weight scale over output scale: the machine can multiply by less than 128."""

MAX_BIAS = float(1 << 30)
"""Bias in accumulator steps; leaves a bit of the 32 for the products."""


_MIXED_SAMPLES = 64
"""Inputs that mixed precision measures on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Quantize(Technique):
    """Give every layer's weights and every map a quantizer. Batch normalisation is folded first."""

    name: ClassVar[str] = "quantize"
    family: ClassVar[Family] = "quantization"
    quantizes: ClassVar[bool] = True

    bits: int = parameter(8, "width of weights and activations", low=1, high=MAX_BITS)
    weight_bits: int | None = parameter(None, "width of weights, `bits` if absent", low=1, high=MAX_BITS)
    activation_bits: int | None = parameter(None, "width of activations, `bits` if absent", low=1, high=MAX_BITS)
    layer_bits: dict[str, int] = parameter({}, "width of the weights of single layers", low=1, high=MAX_BITS)
    mean_bits: float | None = parameter(None, "instead: mean width of the weights of all layers that layer_bits does "
                                        "not name, 2 to 8 each by what it costs the outputs", low=2, high=8)
    weights: str = parameter("symmetric", "scheme of weights", choices=("symmetric", "affine"))
    activations: str = parameter("affine", "scheme of activations", choices=("symmetric", "affine"))
    granularity: str = parameter("channel", "what of a weight tensor shares a scale: all, an output channel, a group "
                                 "of its input channels", choices=("tensor", "channel", "group"))
    group: int = parameter(8, "input channels that share a scale, for granularity `group`", low=1)
    weight_range: str = parameter("min-max", "how the range of weights is chosen", choices=METHODS)
    activation_range: str = parameter("min-max", "how the range of activations is chosen", choices=METHODS)
    percentile: float = parameter(99.99, "share of values kept at either end by `percentile`", low=50, high=100)
    samples: int = parameter(512, "inputs to calibrate on, stratified by class", low=LEAST_SAMPLES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mean_bits is not None and self.weight_bits is not None:
            raise HwgenError("give weight_bits or mean_bits, not both")

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        for name in self.layer_bits:
            graph.conv(name)
        graph = fold_batch_norm(graph)
        widths = self._widths(graph, data)
        width = self.activation_bits or self.bits
        ranges = map_ranges(graph, data.sample(self.samples, LEAST_SAMPLES), width, method=self.activation_range,
                            symmetric=self.activations == "symmetric", percentile=self.percentile)
        # All inputs count, not the sample: what lies beyond is cut off before the network sees it.
        ranges[graph.input] = (float(data.x.min()), float(data.x.max()))
        maps = {graph.input: self._map(ranges[graph.input], width)}
        layers: dict[str, Quantizer] = {}
        for op in graph.device_ops:
            floor = max(float(maps[name].scale) for name in op.inputs) / MAX_RATIO
            if isinstance(op, FloatConv):
                layers[op.name] = self.weight_quantizer(op, widths[op.name], float(maps[op.inputs[0]].scale))
                floor *= float(layers[op.name].scale.max())
            maps[op.output] = maps[op.inputs[0]] if keeps_scale(op) else self._map(ranges[op.output], width, floor)
        return self.plan(layers={name: q.to_json() for name, q in layers.items()},
                         maps={name: q.to_json() for name, q in maps.items()})

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        graph = fold_batch_norm(graph)
        layers = {name: Quantizer.from_json(entry) for name, entry in plan.layers.items()}
        missing = [op.name for op in graph.convs if op.name not in layers] + [n for n in graph.shapes
                                                                              if n not in plan.maps]
        if missing:
            raise HwgenError(f"the plan says nothing about {', '.join(missing)}", where=graph.name)
        graph = graph.replace_ops({op: (replace(op, quantizer=layers[op.name]),) for op in graph.convs})
        return replace(graph, maps={name: Quantizer.from_json(plan.maps[name]) for name in graph.shapes})

    def _map(self, found: Range, bits: int, floor: float = 0.0) -> Quantizer:
        """The quantizer of a map, its scale not below ``floor``."""
        symmetric = self.activations == "symmetric"
        low, high = found
        quantizer = from_range(low, high, bits, symmetric=symmetric)
        if float(quantizer.scale) < floor:
            # Hardly anything is in this map: room at the upper end costs nothing.
            quantizer = from_range(low, min(low, 0.0) + floor * (quantizer.qmax - quantizer.qmin), bits,
                                   symmetric=symmetric)
        return quantizer

    def _widths(self, graph: FloatGraph, data: Data) -> dict[str, int]:
        """Width of each layer's weights."""
        widths = {op.name: self.layer_bits.get(op.name, self.weight_bits or self.bits) for op in graph.convs}
        if self.mean_bits is not None:
            free = [op for op in graph.convs if op.name not in self.layer_bits]
            # The error of the outputs settles on fewer inputs than ranges do.
            sample = data.sample(min(self.samples, _MIXED_SAMPLES), LEAST_SAMPLES)
            errors = measured_errors(graph, free, sample.x, lambda op, b: self.weight_quantizer(op, b).fake(op.weight))
            widths |= choose_bits(errors, {op.name: op.weight.size for op in free}, self.mean_bits)
        return widths

    def weight_quantizer(self, op: FloatConv, bits: int, input_scale: float = np.inf) -> Quantizer:
        """The quantizer of a layer's weights; where the input's scale is known, the bias fits as well."""
        symmetric = self.weights == "symmetric"
        group, rows, shape = self._rows(op)
        if bits == 1 and symmetric:
            # Signs: the least squares scale is the mean magnitude (XNOR-Net).
            mean = np.abs(rows).mean(axis=1)
            low, high = -mean, mean
        else:
            pairs = [choose(row, np.ones(len(row)), bits, method=self.weight_range, symmetric=symmetric,
                            percentile=self.percentile) for row in rows]
            low, high = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
        span = np.maximum(-low, high)
        empty = span == 0  # any scale is right: the bias decides
        low, high = np.where(empty, 0.0, low), np.where(empty, span.max() or 1.0, high)
        quantizer = from_range(low.reshape(shape), high.reshape(shape), bits, symmetric=symmetric, group=group)
        if group:
            return quantizer
        needed = np.abs(op.bias).astype(np.float64) / (input_scale * MAX_BIAS)
        needed = needed.reshape(-1, 1, 1, 1) if shape else needed.max()
        if np.all(quantizer.scale >= needed):
            return quantizer
        factor = np.maximum(needed / quantizer.scale, 1.0)
        return from_range(low.reshape(shape) * factor, high.reshape(shape) * factor, bits, symmetric=symmetric)

    def _rows(self, op: FloatConv) -> tuple[int, NDArray[Any], tuple[int, ...]]:
        """Group size, the weights of each scale as a row, and the form of the scales."""
        if self.granularity == "tensor" or op.storage == "codebook":  # equal weights must stay equal
            return 0, op.weight.reshape(1, -1), ()
        if self.granularity == "channel":
            return 0, op.weight.reshape(len(op.weight), -1), (len(op.weight), 1, 1, 1)
        depth = op.weight.shape[3]
        group = min(self.group, depth)
        if depth % group:
            raise HwgenError(f"group must divide its {depth} input channels, not {group}", where=op.name)
        shape = (*op.weight.shape[:3], depth // group, 1)
        return group, op.weight.reshape(-1, group), shape


def keeps_scale(op: Op) -> bool:
    """True for operators whose result is at its input's scale: they move values, or pick one."""
    return isinstance(op, Pad | Reshape) or (isinstance(op, FloatPool) and op.kind == "max")


def within_machine(graph: FloatGraph) -> FloatGraph:
    """The quantised graph with scales that training made too small raised to what the machine can requantise."""
    maps = dict(graph.maps)
    new: dict[Op, tuple[Op, ...]] = {}
    for op in graph.device_ops:
        if op.output not in maps:
            continue
        floor = max(float(maps[name].scale) for name in op.inputs) / MAX_RATIO
        if isinstance(op, FloatConv) and op.quantizer is not None and not op.quantizer.group:
            needed = np.abs(op.bias).astype(np.float64) / (float(maps[op.inputs[0]].scale) * MAX_BIAS)
            scale = op.quantizer.scale
            needed = needed.reshape(-1, 1, 1, 1) if scale.ndim else needed.max()
            quantizer = replace(op.quantizer, scale=np.maximum(scale, needed.astype(np.float32)))
            new[op] = (replace(op, quantizer=quantizer),)
            floor *= float(quantizer.scale.max())
        if keeps_scale(op):
            maps[op.output] = maps[op.inputs[0]]
        elif float(maps[op.output].scale) < floor:
            maps[op.output] = replace(maps[op.output], scale=np.array(floor, np.float32))
    return replace(graph.replace_ops(new), maps=maps)
