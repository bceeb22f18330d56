"""What the compiler produces: commands, memory image, layout and a plan per layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.arrange import Arrangement
from hwgen.compiler.maps import Layout
from hwgen.compiler.stream import Entry
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.isa import COMMAND_BYTES, encode
from hwgen.model.graph import Conv, Graph, Op


@dataclass
class LayerPlan:
    """One operator as it was compiled."""

    name: str
    op: str
    mapping: str
    macs: int
    detail: str = ""
    commands: list[int] = field(default_factory=list)
    """Indices of its commands."""
    predicted: int = 0
    """Cycles by the compiler's cycle model, from the end of the layer before."""
    weight_bytes: int = 0
    """What its weights take in DRAM, codebooks included."""


@dataclass(frozen=True)
class Program:
    """A compiled network.

    ``image`` holds constants from DRAM address 0, maps from ``map_base`` and commands from ``command_base``. ``graph``
    is the network as it was given; ``layouts`` are those of the machine's maps, whose channels ``arrangement`` tells,
    with maps that only the machine has (between the stages of a pooling). ``inputs`` and ``outputs`` map the network's
    maps at its ends to those that the machine has: a reshape between them is the host's.
    """

    graph: Graph
    config: Config
    entries: list[Entry]
    constants: NDArray[np.uint8]
    map_base: int
    map_words: int
    command_base: int
    layers: list[LayerPlan]
    layouts: dict[str, Layout]
    chip: dict[str, int]
    dram: dict[str, int]
    inputs: dict[str, str]
    outputs: dict[str, str]
    arrangement: Arrangement = field(default_factory=Arrangement)

    @property
    def operators(self) -> tuple[Op, ...]:
        """The operators that were compiled, one a layer."""
        named = {op.name: op for op in self.graph.ops}
        return tuple(named[layer.name] for layer in self.layers)

    @cached_property
    def commands(self) -> bytes:
        """The command stream, encoded."""
        return b"".join(encode(e.command()) for e in self.entries)

    def image(self, x: NDArray[np.int8] | Mapping[str, NDArray[np.int8]]) -> NDArray[np.uint8]:
        """Return the DRAM image for one image: (H, W, C), already quantised, of the one input's map or of each input's
        map by its name in the network."""
        given = x if isinstance(x, Mapping) else {self.graph.input: x}
        word = Derived(self.config).word
        commands = self.commands
        out = np.zeros(self.command_base + len(commands), np.uint8)
        out[: len(self.constants)] = self.constants
        for name, own in self.inputs.items():
            layout = self.layouts[own]
            packed = layout.pack(given[name].reshape(layout.shape), word).view(np.uint8)
            start = self.map_base + self.dram[own] * word
            out[start : start + len(packed)] = packed
        out[self.command_base :] = np.frombuffer(commands, np.uint8)
        return out

    def read_outputs(self, memory: NDArray[np.uint8]) -> dict[str, NDArray[np.int8]]:
        """Return every output's map (H, W, C) from a DRAM image, by its name in the network."""
        shapes = {name: self.graph.tensors[name].shape[1:] for name in self.outputs}
        return {name: self.read_map(own, memory).reshape(shapes[name]) for name, own in self.outputs.items()}

    def map_region(self, name: str) -> tuple[int, int]:
        """Return (byte address, bytes) of a map in DRAM."""
        word = Derived(self.config).word
        return self.map_base + self.dram[name] * word, self.layouts[name].words * word

    def read_map(self, name: str, memory: NDArray[np.uint8]) -> NDArray[np.int8]:
        """Return a map (H, W, C) from a DRAM image."""
        start, size = self.map_region(name)
        return self.layouts[name].unpack(memory[start : start + size].view(np.int8), Derived(self.config).word)

    @property
    def predicted(self) -> int:
        """Cycles of all layers by the compiler's cycle model."""
        return sum(layer.predicted for layer in self.layers)

    @property
    def weight_bytes(self) -> int:
        """What all weights take in DRAM, codebooks included."""
        return sum(layer.weight_bytes for layer in self.layers)

    @property
    def command_count(self) -> int:
        return len(self.entries)

    @property
    def bytes(self) -> int:
        return self.command_base + self.command_count * COMMAND_BYTES


def macs(op: Op, graph: Graph) -> int:
    """Multiply-accumulates of an operator (0 for anything but convolutions)."""
    if not isinstance(op, Conv):
        return 0
    _, height, width, _ = graph.tensors[op.output].shape
    return height * width * op.weight.size
