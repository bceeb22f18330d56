"""AdaRound: each weight is rounded up or down so that the layer's results come near the float ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.data import Data
from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.compress.learned_rounding import learn_rounding, rounding_error
from hwgen.compress.moments import moments, plain_results
from hwgen.compress.packing import pack, unpack
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.quantizer import Quantizer
from hwgen.compress.technique import Family, Technique, chosen_layers
from hwgen.errors import HwgenError


@dataclass(frozen=True, kw_only=True, eq=False)
class AdaRound(Technique):
    """Learn for each weight of a quantised network whether to round up or down, layer by layer.

    Each layer sees what the layers before it, rounded already, give it (Nagel et al., "Up or down? Adaptive rounding
    for post-training quantization", ICML 2020). Weights that are zero stay zero.
    """

    name: ClassVar[str] = "adaround"
    family: ClassVar[Family] = "quantization"
    on_quantized: ClassVar[bool] = True

    steps: int = parameter(1000, "gradient steps a layer", low=1)
    rate: float = parameter(0.02, "length of a step", low=1e-6, high=1)
    samples: int = parameter(256, "inputs to fit on, stratified by class", low=16)
    layers: tuple[str, ...] = parameter((), "layers to round, all if absent")
    exclude: tuple[str, ...] = parameter((), "layers to leave to the nearest integers")

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        chosen = chosen_layers(graph, self.layers, self.exclude)
        for op in chosen:
            _quantizer(op)
        x = data.sample(self.samples, 16).x
        dense = graph
        entries = {}
        for op in chosen:
            wanted = plain_results(dense, op.name, x)
            up, before, after = self._learned(graph, op, x, wanted)
            entries[op.name] = {"error_nearest": before, "error_learned": after, "up": pack(up),
                                "changed": int(np.sum(up != (_parts(op)[1] >= 0.5)))}
            graph = _rounded(graph, op.name, up)
        return self.plan(layers=entries)

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        for name, entry in plan.layers.items():
            graph = _rounded(graph, name, unpack(entry["up"]))
        return graph

    def _learned(self, graph: FloatGraph, op: FloatConv, x: NDArray[np.float32],
                 wanted: NDArray[np.float32]) -> tuple[NDArray[np.bool_], float, float]:
        """What rounds up, and the errors relative to the results' spread with the nearest integers and with these."""
        quantizer = _quantizer(op)
        down, start = _parts(op)
        outputs = len(op.weight) // op.groups
        flat = [np.asarray(a, np.float64).reshape(len(op.weight), -1) for a in (quantizer.dequantize(down), start)]
        scale = np.broadcast_to(quantizer.scale, op.weight.shape).reshape(len(op.weight), -1)[:, :1].astype(np.float64)
        up, errors = [], np.zeros(2)
        for group, (moment, results) in enumerate(moments(graph, op.name, x, wanted, fake=True)):
            part = slice(group * outputs, (group + 1) * outputs)
            cross = results[:, :-1] - op.bias[part, None] * moment[-1, :-1]  # what the weights alone should make
            gram = moment[:-1, :-1]
            bottom, share, s = flat[0][part], flat[1][part], scale[part]
            up.append(learn_rounding(bottom, share, s, gram, cross, steps=self.steps, rate=self.rate))
            errors += [rounding_error(bottom + s * u, gram, cross) for u in (share >= 0.5, up[-1])]
        wide = np.square(wanted - op.bias, dtype=np.float64).sum()
        spread = float(np.square(wanted - wanted.mean(axis=(0, 1, 2)), dtype=np.float64).sum())
        before, after = np.sqrt(np.maximum(errors + wide, 0) / max(spread, 1e-300))
        return np.concatenate(up).reshape(op.weight.shape), float(before), float(after)


def _quantizer(op: FloatConv) -> Quantizer:
    quantizer = op.quantizer
    if quantizer is None or quantizer.group:
        raise HwgenError("its weights must have one scale an output channel, or one in all, to be rounded",
                         where=op.name)
    if op.storage == "codebook":
        raise HwgenError("its weights share a codebook: rounding each by itself would undo that", where=op.name,
                         remedy="exclude the layer")
    if quantizer.narrow and quantizer.bits == 1:
        raise HwgenError("one-bit weights are signs: there is nothing to round", where=op.name,
                         remedy="exclude the layer")
    return quantizer


def _parts(op: FloatConv) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Integers of the weights rounded down, and the share of a step that this takes (0 where up is not possible)."""
    quantizer = _quantizer(op)
    ratio = op.weight.astype(np.float64) / quantizer.scale.astype(np.float64) + quantizer.zero_point
    down = np.clip(np.floor(ratio), quantizer.qmin, quantizer.qmax)
    share = np.where(down < quantizer.qmax, np.clip(ratio - down, 0.0, 1.0), 0.0)
    # A pruned weight is no chance to round.
    exact = op.weight == 0
    return np.where(exact, quantizer.zero_point, down), np.where(exact, 0.0, share)


def _rounded(graph: FloatGraph, name: str, up: NDArray[np.bool_]) -> FloatGraph:
    op = graph.conv(name)
    quantizer = _quantizer(op)
    down = _parts(op)[0]
    return graph.replace_ops({op: (replace(op, weight=quantizer.dequantize(down + up)),)})
