"""Read a quantised ONNX network (QuantizeLinear / DequantizeLinear around standard operators) into the IR.

The graph is walked once in execution order. A QuantizeLinear gives the operator before it its output scale, so real
valued results wait (`Pending`), collecting Relu and Clip, until their QuantizeLinear comes. What cannot be built is
noted, its results are `Unknown`, and the walk goes on: one error lists everything that is in the way.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from hwgen.model.graph import Graph
from hwgen.model.obstacles import ObstacleError, Obstacles
from hwgen.model.onnx_check import LAYOUT, QUANTIZE, SAME, SUPPORTED, TAILS, problem
from hwgen.model.onnx_ends import Inputs, output_port, requantized, softmax
from hwgen.model.onnx_file import CHECK, End, OnnxFile, open_onnx
from hwgen.model.onnx_layers import Layers
from hwgen.model.onnx_layout import relayout
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Node
from hwgen.model.onnx_passes.pads import fold_pads
from hwgen.model.onnx_remedies import QDQ, compressed
from hwgen.model.onnx_scales import Quantizers
from hwgen.model.onnx_values import Pending, Source, Tail, Unknown, Value, View, Weights
from hwgen.model.ports import FileView

_AGAIN = "export the network again"

CANNOT = "the network cannot run on the accelerator:"


def read_onnx(path: str | Path) -> Graph:
    """Read a quantised ONNX network.

    uint8 maps become int8 (values and zero points less 128), NCHW becomes NHWC. Outputs round half to even; adds
    follow TFLite's integer rule (`hwgen.model.graph.Add`), within one step of ONNX Runtime.

    Parameters
    ----------
    path : str or Path
        A .onnx file, batch 1 or symbolic, in any of the dialects of docs/dialects.md.

    Returns
    -------
    Graph
        ``source`` is "onnx".

    Raises
    ------
    HwgenError
        Not an ONNX file; a network that is not quantised; otherwise one error that lists everything that is in the
        way: operators, types, scales, sizes, parts that were left in float.
    """
    return Reader(open_onnx(path)).read()


class Reader:
    """State of one walk: the meaning of every value name, and what has been emitted."""

    supported = SUPPORTED

    def __init__(self, file: OnnxFile, layers: Layers | None = None) -> None:
        self.file = file
        self.layers = layers or Layers(file, Emitter(file.name))
        self.emitter = self.layers.emitter
        self.quantizers = Quantizers(file, self.emitter)
        self.inputs = Inputs(file, self.emitter, self.quantizers)
        self.values: dict[str, Value] = {}
        self.found: Obstacles = file.obstacles

    def read(self) -> Graph:
        """The graph."""
        if not any(node.op in QUANTIZE for node in self.file.nodes):
            self.found.add("", "", "it is not quantised (it has no QuantizeLinear / DequantizeLinear)",
                           f"{QDQ}, or: {compressed(self.file.name)}")
            self._operators()
            self.check(CANNOT)
        self.walk()
        outputs = []
        for end in self.file.outputs:
            if isinstance(self.values.get(end.name), Unknown):
                continue
            try:
                outputs.append(output_port(end, self.values.get(end.name), self.emitter))
            except ObstacleError as obstacle:
                self.found.take(obstacle)
        for end in self.file.inputs:
            if end.name not in self.inputs.ports and not self.found:
                self.found.add("input", end.name, "is not read by a quantised layer",
                               "remove it from the file's inputs (onnx.utils.extract_model)")
        self.check(CANNOT)
        inputs = tuple(self.inputs.ports[end.name] for end in self.file.inputs)
        return fold_pads(Graph(self.file.name, "onnx", self.emitter.tensors, tuple(self.emitter.ops), inputs,
                               tuple(outputs)))

    def check(self, what: str) -> None:
        """Raise one error that lists everything that is in the way, if there is anything."""
        if not self.found and self.file.invalid:  # what is found here is named better
            self.found.add("", "", f"the file is not valid: {self.file.invalid}", CHECK)
        self.found.check(what, f"supported operators: {', '.join(sorted(self.supported))}")

    def _operators(self) -> None:
        """Note the operators that cannot be built whatever they read."""
        for node in self.file.nodes:
            wrong = problem(node, self.file, self.supported)
            if wrong is not None:
                self.found.add(node.op, node.name, *wrong)

    def walk(self) -> None:
        """Give every value of the file its meaning."""
        for end in self.file.inputs:
            try:
                self.values[end.name] = self._input(end)
            except ObstacleError as obstacle:
                self.found.take(obstacle)
                self.values[end.name] = Unknown()
        self._operators()
        for node in self.file.nodes:
            self.values.update(dict.fromkeys(node.outputs, Unknown()))
            unknown = any(isinstance(self.values.get(name), Unknown) for name in node.inputs if name)
            if not unknown and problem(node, self.file, self.supported) is None:
                try:
                    self.values[node.outputs[0]] = self._node(node)
                except ObstacleError as obstacle:
                    self.found.take(obstacle)

    def _input(self, end: End) -> Value:
        return self.inputs.value(end)

    def _node(self, node: Node) -> Value:
        if node.op == "QuantizeLinear":
            return self._quantize(node)
        if node.op == "DequantizeLinear":
            return self._dequantize(node)
        value = self._value(node, 0)
        if node.op in SAME:
            return value
        if node.op in LAYOUT:
            if isinstance(value, np.ndarray | Unknown):  # or it would have been folded into a constant
                raise self._fail(node, "does not fit its constant input", _AGAIN)
            return relayout(node, value, self.file, self.emitter)
        if node.op == "Cast":
            return self.inputs.cast(node, value)
        if isinstance(value, Tail):
            raise self._fail(node, f"follows the {value.steps[-1].source} that the host computes",
                             "cut the network there")
        if node.op in TAILS:
            return softmax(node, value, self.file.opset, self.emitter)
        inputs = [value, *(self._value(node, i) for i in range(1, len(node.inputs)) if node.input(i))]
        return self.layers.build(node, inputs)

    def _value(self, node: Node, position: int) -> Value:
        name = node.input(position)
        if name in self.values:
            return self.values[name]
        if name in self.file.consts:
            return self.file.consts[name]
        raise self._fail(node, f"input {name!r} is not defined", "the file is damaged: export the network again")

    def _fail(self, node: Node, what: str, remedy: str | None = None) -> ObstacleError:
        return self.emitter.fail(node.op, node.name, what, remedy)

    def _quantize(self, node: Node) -> Value:
        value = self._value(node, 0)
        if isinstance(value, np.ndarray):
            return self.quantizers.quantized(node, value)
        if isinstance(value, Tail):
            return requantized(node, value, self.quantizers)
        if isinstance(value, Source):
            return self.inputs.quantized(node, value)
        if isinstance(value, View) and value.real:
            value = Pending(shape=value.shape, order=value.order, seen=value.seen, kind="same", node=node.name,
                            op=node.op, inputs=(value,))
        if not isinstance(value, Pending):
            raise self._fail(node, "quantises what is quantised already", _AGAIN)
        scale, zero, kind, limits = self.quantizers.of_map(node, "")
        view = FileView(key=node.outputs[0], shape=value.seen, order=value.order, type=kind, real=node.input(0),
                        limits=limits)
        lowered = self.emitter.lower(replace(value, limits=limits), node.outputs[0], scale, zero, view)
        return replace(lowered, real=False, type=kind)

    def _dequantize(self, node: Node) -> Value:
        value = self._value(node, 0)
        if isinstance(value, np.ndarray | Weights):
            return self.quantizers.weights(node, value)
        if isinstance(value, Tail) and value.quantized is not None:
            return requantized(node, value, self.quantizers)
        if not isinstance(value, View) or value.real:
            raise self._fail(node, "dequantises a value that is not quantised", _AGAIN)
        scale, zero, _, _ = self.quantizers.of_map(node, value.type)
        return replace(self.emitter.reinterpreted(value, scale, zero, node.name), real=True)
