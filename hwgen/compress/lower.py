"""From a float network with quantizers to the integer graph that runs on the machine and goes into ONNX."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from hwgen.compress.graph import Activation, Clamped, FloatAdd, FloatConv, FloatGraph, FloatPool
from hwgen.compress.quantizer import Quantizer
from hwgen.errors import HwgenError
from hwgen.model.graph import Concat, Graph, Op, Pad, Pool, Reshape
from hwgen.model.onnx_lower import Emitter, clamp
from hwgen.model.onnx_passes.pads import fold_pads
from hwgen.model.onnx_values import Pending, View, Weights
from hwgen.model.ports import Port, Step

_ANNOTATE = "or give --annotate, which writes real numbers with the scheme in metadata"


class SchemeError(HwgenError):
    """A scheme that can be evaluated, but that neither QDQ of 8 bits nor the machine has."""


_KINDS: dict[type[Op], str] = {FloatConv: "conv", FloatAdd: "add", FloatPool: "average", Concat: "concat",
                               Activation: "same"}


def lower(graph: FloatGraph) -> Graph:
    """The integer graph.

    Parameters
    ----------
    graph : FloatGraph
        Every map and every layer has a quantizer, and no batch normalisation is left.

    Raises
    ------
    SchemeError
        When a quantizer does not fit the machine: more than 8 bits, scales per group, weights that less their zero
        point take more than 8 bits.
    HwgenError
        When something has no quantizer, or no integer form.
    """
    return _Lowering(graph).run()


class _Lowering:
    """One walk over the operators."""

    def __init__(self, graph: FloatGraph) -> None:
        self.graph = graph
        self.emitter = Emitter(graph.name, finer=False)  # the recipe says how many bits weights have
        self.views: dict[str, View] = {}

    def run(self) -> Graph:
        graph = self.graph
        for name in graph.shapes:
            if name not in graph.maps:
                raise HwgenError("the network is not quantised: a map has no quantizer", where=f"{graph.name}: {name}",
                                 remedy="add a step `quantize`")
            if graph.maps[name].bits > 8:
                raise SchemeError(f"activations must have at most 8 bits on the machine, not {graph.maps[name].bits}",
                                  where=name, remedy=f"use at most 8 bits, {_ANNOTATE}")
        self.views[graph.input] = self._map(graph.input)
        for op in graph.device_ops:
            self._operator(op)
        x, y = graph.ports
        quantize = Step(kind="quantize", name=f"{x.name}/quantize", source="QuantizeLinear",
                        attrs=self._scale(graph.input))
        dequantize = Step(kind="dequantize", name=f"{y.name}/dequantize", source="DequantizeLinear",
                          attrs=self._scale(graph.output))
        result = Graph(graph.name, "onnx", self.emitter.tensors, tuple(self.emitter.ops),
                       (self._port(x, graph.input, (*x.steps, quantize)),),
                       (self._port(y, graph.output, (dequantize, *y.steps)),))
        return fold_pads(result)

    def _scale(self, name: str) -> dict[str, float]:
        tensor = self.views[name].tensor
        return {"scale": tensor.scale, "zero_point": tensor.zero_point}

    def _port(self, port: Port, of: str, steps: tuple[Step, ...]) -> Port:
        return replace(port, map=self.views[of].tensor.name, steps=steps)

    def _map(self, name: str) -> View:
        quantizer, shape = self.graph.maps[name], self.graph.shapes[name]
        tensor = self.emitter.tensor(name, shape, float(quantizer.scale), int(quantizer.zero_point))
        return View(shape=shape, seen=shape, tensor=tensor)

    def _operator(self, op: Op) -> None:
        inputs = tuple(self.views[name] for name in op.inputs)
        pending = self._pending(op, inputs)
        if isinstance(op, Pad | Reshape) or (isinstance(op, FloatPool) and op.kind == "max"):
            view = self.views[op.output] = self._map(op.output)
            common: dict[str, Any] = {"name": op.name, "inputs": tuple(v.tensor.name for v in inputs),
                                      "output": view.tensor.name, "source": op.source}
            if isinstance(op, FloatPool):
                qmin, qmax = clamp(pending, view.tensor)
                self.emitter.emit(Pool(**common, kind="max", kernel=op.kernel, stride=op.stride, pad=op.pad, qmin=qmin,
                                       qmax=qmax))
            else:
                self.emitter.emit(Pad(**common, pad=op.pad) if isinstance(op, Pad) else Reshape(**common))
            return
        if type(op) not in _KINDS:
            raise HwgenError(f"{type(op).__name__} has no integer form", where=op.name)
        quantizer = self.graph.maps[op.output]
        self.views[op.output] = self.emitter.lower(pending, op.output, float(quantizer.scale),
                                                   int(quantizer.zero_point))

    def _pending(self, op: Op, inputs: tuple[View, ...]) -> Pending:
        """The operator with its clamp, that of a map of fewer than 8 bits included."""
        quantizer = self.graph.maps[op.output]
        lo, hi = (op.lo, op.hi) if isinstance(op, Clamped) else (-np.inf, np.inf)
        if quantizer.qmin > -128 or quantizer.qmax < 127:
            lo, hi = max(lo, float(quantizer.low)), min(hi, float(quantizer.high))
        args: dict[str, Any] = {}
        if isinstance(op, FloatConv):
            args = {"weights": _weights(op), "bias": op.bias, "stride": op.stride, "dilation": op.dilation,
                    "pad": op.pad, "groups": op.groups}
        elif isinstance(op, FloatPool):
            args = {"kernel": op.kernel, "stride": op.stride, "pad": op.pad,
                    "counted": op.pad if op.include_pad else (0, 0, 0, 0)}
        elif isinstance(op, Concat):
            args = {"axis": op.axis}
        shape = self.graph.shapes[op.output]
        return Pending(shape=shape, seen=shape, kind=_KINDS.get(type(op), "same"), node=op.name,
                       op=op.source or type(op).__name__, inputs=inputs, args=args, lo=lo, hi=hi)


def _weights(op: FloatConv) -> Weights:
    quantizer = op.quantizer
    if quantizer is None:
        raise HwgenError("its weights have no quantizer", where=op.name, remedy="add a step `quantize`")
    check_weights(quantizer, op.name)
    q = quantizer.quantize(op.weight) - quantizer.zero_point
    if q.min() < -128 or q.max() > 127:
        raise SchemeError("weights less their zero point must fit 8 bits on the machine, not "
                          f"{q.min()}..{q.max()}", where=op.name,
                          remedy=f"use symmetric weights, or 7 bits, {_ANNOTATE}")
    scale = np.array(np.broadcast_to(quantizer.scale.reshape(-1), len(op.weight)))
    return Weights(values=q.astype(np.int8), scale=scale, zero_point=np.zeros(len(scale), np.int64))


def check_weights(quantizer: Quantizer, where: str) -> None:
    """Raise `SchemeError` when the machine has no such weights."""
    if quantizer.bits > 8:
        raise SchemeError(f"weights must have at most 8 bits on the machine, not {quantizer.bits}", where=where,
                          remedy=f"use at most 8 bits, {_ANNOTATE}")
    if quantizer.group:
        raise SchemeError("scales per group of input channels cannot be lowered: the machine has one accumulator and "
                          "one scale for an output channel", where=where,
                          remedy=f'use granularity = "channel", {_ANNOTATE}')
