"""Huffman coding of the quantised weights, zero runs of pruned layers included."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from hwgen.compress.coding import decode, encode_huffman
from hwgen.compress.count import layer_bytes, stored_integers
from hwgen.compress.data import Data
from hwgen.compress.graph import FloatGraph
from hwgen.compress.parameters import parameter
from hwgen.compress.plan import Plan
from hwgen.compress.technique import Family, Technique, chosen_layers
from hwgen.errors import HwgenError


@dataclass(frozen=True, kw_only=True, eq=False)
class Huffman(Technique):
    """Store the weights Huffman-coded (Han 2016). It changes how they are stored, and no result.

    What is coded is decoded again and compared. A layer that comes out longer stays as it was.
    """

    name: ClassVar[str] = "huffman"
    family: ClassVar[Family] = "quantization"
    on_quantized: ClassVar[bool] = True

    layers: tuple[str, ...] = parameter((), "layers to code, all if absent")
    exclude: tuple[str, ...] = parameter((), "layers to leave alone")

    def fit(self, graph: FloatGraph, data: Data) -> Plan:
        layers, notes = {}, []
        for op in chosen_layers(graph, self.layers, self.exclude):
            values = stored_integers(op)
            content = encode_huffman(values)
            if not np.array_equal(decode(content, values.size), values.reshape(-1)):
                raise HwgenError("its weights are not the same once coded and decoded", where=op.name)
            before, after = layer_bytes(op), layer_bytes(replace(op, storage="huffman"))
            if after >= before:
                notes.append(f"{op.name}: {after} bytes, not fewer than {before}, left as it is")
                continue
            layers[op.name] = {"weights": int(values.size), "coded_bytes": len(content), "layer_bytes": after,
                               "before": before}
        return self.plan(layers=layers, notes=notes)

    def apply(self, graph: FloatGraph, plan: Plan) -> FloatGraph:
        return graph.replace_ops({op: (replace(op, storage="huffman"),) for op in graph.convs
                                  if op.name in plan.layers})
