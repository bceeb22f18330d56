"""The golden machine on a compiled network, compared with the golden graph: what shows a fault of the compiler."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler import Program
from hwgen.compiler.cost import CycleModel, layer_cycles
from hwgen.golden.graph import Maps
from hwgen.golden.machine import Machine, MachineResult
from hwgen.golden.machine_state import PostInfo
from hwgen.isa import Command
from hwgen.verify.replay import EXAMPLES, Mismatch, maps, of_machine


def memory_image(program: Program, maps: Maps, index: int) -> NDArray[np.uint8]:
    """The memory before a run: one image's input maps beside constants and commands."""
    return program.image({name: maps[name][index] for name in program.inputs})


def machine_writes(program: Program, image: NDArray[np.uint8]) -> tuple[dict[int, PostInfo], MachineResult]:
    """Run the golden machine; return what every DRAIN and ELTWISE wrote, and its result."""
    seen: dict[int, PostInfo] = {}

    def observe(index: int, command: Command, info: PostInfo | None) -> None:
        if info is not None:
            seen[index] = info

    return seen, Machine(program.config).run(program.commands, image, observe=observe)


def predict(program: Program, done: MachineResult) -> None:
    """Let the cycle model tell again, by what lanes really walk and packed blocks really take in this run."""
    for entry, work in zip(program.entries, done.work, strict=True):
        if work.walked is not None:
            entry.walk = work.walked.astype(float)
        entry.moved = work.moved
    times = CycleModel(program.config).finish_times(program.entries)
    for plan, cycles in zip(program.layers, layer_cycles(program.entries, times, len(program.layers)), strict=True):
        plan.predicted = cycles


def compare_graph(
    program: Program, seen: dict[int, PostInfo], tensors: dict[str, NDArray[np.int8]], image: int
) -> tuple[Counter[int], list[Mismatch]]:
    """Compare the golden machine's maps with the golden graph's (checks the compiler); count by layer."""
    found: list[Mismatch] = []
    total: Counter[int] = Counter()
    layers = {op.output: i for i, op in enumerate(program.operators)}
    for name, held in maps(program, {i: of_machine(info) for i, info in seen.items()}).items():
        expected = tensors[name][image]
        got, computed = program.arrangement.restore(name, held)
        wrong = np.argwhere((got != expected) & computed)
        if not len(wrong):
            continue
        total[layers.get(name, 0)] += len(wrong)
        op = next(op for op in program.graph.ops if op.output == name)
        for y, x, c in wrong[:EXAMPLES]:
            found.append(
                Mismatch(
                    op.name,
                    "-",
                    int(y),
                    int(x),
                    int(c),
                    int(expected[y, x, c]),
                    int(got[y, x, c]),
                    None,
                    -1,
                    "golden machine against golden graph",
                )
            )
    return total, found
