"""One network on the generated Verilog, image by image, compared with the golden machine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler import Program
from hwgen.derive import Derived
from hwgen.golden.machine import MachineResult
from hwgen.golden.machine_state import PostInfo
from hwgen.sim.build import build
from hwgen.sim.network import memory_log2, run_network
from hwgen.sim.run_result import RunResult
from hwgen.verify.replay import EXAMPLES, Mismatch, compare_writes, split_writes
from hwgen.verify.zeros import check_counters


@dataclass(frozen=True)
class Bench:
    """A network, its machine's Verilog, and the memory around it.

    ``latency``: memory read latency in cycles; ``stalls``: percent of cycles in which each AXI channel pauses, as
    ``seed`` says.
    """

    program: Program
    verilog: dict[str, str]
    simulator: str
    latency: int
    stalls: int
    seed: int

    @property
    def limit(self) -> int:
        """Cycles far beyond any slow memory, near enough that a hang is found in seconds."""
        return 200_000 + 20 * sum(n.predicted for n in self.program.layers) * (1 + self.latency // 32)

    def build(self, image: NDArray[np.uint8]) -> None:
        """Compile the simulation that runs images like this one, unless it is in the cache."""
        size = memory_log2(self.simulator, image.size, self._regions())
        build(self.verilog, self.program.config, simulator=self.simulator, log2_bytes=size)

    def _regions(self) -> list[tuple[int, int]]:
        return [self.program.map_region(name) for name in outputs(self.program)]

    def run(self, image: NDArray[np.uint8], waves: Path | None = None,
            window: tuple[int, int] | None = None) -> RunResult:
        """Run an image, with ``waves`` recording the signals (of the cycles of ``window``)."""
        program = self.program
        return run_network(
            self.verilog, program.config, image.tobytes(), program.command_base, program.command_count,
            self._regions(), simulator=self.simulator, latency=self.latency,
            stalls=self.stalls, seed=self.seed, waves=waves, window=window,
            timeout=window[1] if window else self.limit,
        )  # fmt: skip


def outputs(program: Program) -> tuple[str, ...]:
    """The maps that a run leaves in DRAM for the host."""
    return tuple(dict.fromkeys(program.outputs.values()))


@dataclass(frozen=True)
class RtlResult:
    """A run, and how it differs from the golden machine: values by layer, the first of them, what else went wrong."""

    run: RunResult
    different: Counter[int]
    examples: list[Mismatch]
    failures: list[str]

    @property
    def suspect(self) -> int:
        """The cycle around which the first difference came about."""
        run = self.run
        command = min((m.command for m in self.examples), default=run.error[2] if run.error else -1)
        return run.completed.get(command, max(run.completed.values(), default=0))


def compare(program: Program, run: RunResult, seen: dict[int, PostInfo], done: MachineResult) -> RtlResult:
    """Compare a run of the RTL with the golden machine's of the same image: results, outputs in DRAM, counters."""
    different, examples = compare_writes(
        program, seen, split_writes(program, seen, run.writes), EXAMPLES, "RTL against golden machine")
    failures = []
    if not different:
        for name, raw in zip(outputs(program), run.outputs, strict=True):
            got = program.layouts[name].unpack(np.frombuffer(raw, np.int8), Derived(program.config).word)
            lost = int((program.read_map(name, done.memory) != got).sum())
            if lost:
                failures.append(f"{lost} values of the output {name} in DRAM differ, though results were right (STORE)")
                different[_layer(program, name)] += lost
    if run.error is not None:
        failures.append(f"hardware error {run.error[0]} of module {run.error[1]} at command {run.error[2]}")
    elif not run.finished:
        failures.append("no interrupt within the time limit")
    elif program.config.skip != "none":
        failures += check_counters(done.work, run.counters)
    return RtlResult(run, different, examples, failures)


def _layer(program: Program, name: str) -> int:
    """The layer that writes a map, the last one where a reshaping names it anew."""
    return next((i for i, op in enumerate(program.operators) if op.output == name), len(program.layers) - 1)
