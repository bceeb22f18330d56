"""Cycles of our machine, layer by layer, with memory and without."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler import Program, compile_graph
from hwgen.compiler.stream import Entry
from hwgen.config import Config
from hwgen.golden.graph import Batch, batch_of
from hwgen.golden.machine import Machine
from hwgen.isa import Module
from hwgen.model.graph import Graph
from hwgen.samples import samples
from hwgen.verify.machine import memory_image, predict


@dataclass(frozen=True)
class MachineLayer:
    """One layer, mean of the images.

    Attributes
    ----------
    cycles : float
        From the end of the layer before to its own last result, by the cycle model: fetches, drains and DMA included.
    compute : float
        The lanes alone (`lanes_alone`), which is what the published schemes' cycles are.
    """

    name: str
    mapping: str
    cycles: float
    compute: float


def run_machine(graph: Graph, config: Config, x: Batch) -> list[MachineLayer]:
    """Compile a network and count the cycles of its layers, with the operands of every image where zeros are skipped.

    Raises
    ------
    HwgenError
        When the machine cannot run the network.
    """
    program = compile_graph(graph, config, samples=samples(graph, config, x))
    if config.skip == "none":
        walked = [np.array([[e.info["cycles"]]]) if e.name == "RUN" else None for e in program.entries]
        return [
            MachineLayer(n.name, n.mapping, float(n.predicted), float(c))
            for n, c in zip(program.layers, _by_layer(program, walked), strict=True)
        ]
    cycles, lanes = np.zeros(len(program.layers)), np.zeros(len(program.layers))
    given = batch_of(graph, x)
    count = len(given[graph.input])
    for i in range(count):
        done = Machine(config).run(program.commands, memory_image(program, given, i))
        predict(program, done)
        cycles += [layer.predicted for layer in program.layers]
        lanes += _by_layer(program, [w.walked for w in done.work])
    return [
        MachineLayer(n.name, n.mapping, float(c) / count, float(w) / count)
        for n, c, w in zip(program.layers, cycles, lanes, strict=True)
    ]


def lanes_alone(entries: Sequence[Entry], walked: Sequence[NDArray[np.int64] | None]) -> list[int]:
    """Return when each command is done if nothing takes time but lanes that walk.

    A lane starts its next job when it is free and the job's tokens are there, as in the machine: operands that have to
    wait for memory in use make lanes wait for each other, and nothing else does.

    Parameters
    ----------
    entries : sequence of Entry
        In stream order, in which every token is given before it is taken.
    walked : sequence of int arrays, shape (rows, columns)
        Positions of each RUN in every lane; None for other commands.
    """
    tokens: dict[tuple[Module, Module], deque[int]] = defaultdict(deque)
    ready: dict[Module, int] = defaultdict(int)
    done: dict[Module, int] = defaultdict(int)
    lanes: NDArray[np.int64] = np.zeros((1, 1), np.int64)
    times = []
    for entry, walk in zip(entries, walked, strict=True):
        m = entry.module
        ready[m] = max([ready[m], *(tokens[source, m].popleft() for source in entry.wait)])
        end = ready[m]
        if walk is not None:
            lanes = np.where(walk > 0, np.maximum(lanes, ready[m]) + walk, lanes)
            end = int(lanes.max())
        done[m] = max(done[m], end)
        times.append(done[m])
        for target in entry.post:
            tokens[m, target].append(done[m])
    return times


def _by_layer(program: Program, walked: Sequence[NDArray[np.int64] | None]) -> list[int]:
    """Return cycles of the lanes alone by layer, from the last position of the layer before."""
    ends = [0] * len(program.layers)
    for entry, end in zip(program.entries, lanes_alone(program.entries, walked), strict=True):
        if entry.name == "RUN":
            ends[entry.layer] = max(ends[entry.layer], end)
    reached = np.maximum.accumulate(ends)
    return [int(v) for v in np.diff(reached, prepend=0)]
