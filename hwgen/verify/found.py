"""What a verification finds, added up image by image."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from hwgen.compiler import Program
from hwgen.compiler.cost import layer_cycles
from hwgen.derive import Derived
from hwgen.inputs import Inputs
from hwgen.sim.run_result import RunResult
from hwgen.verify.replay import EXAMPLES, Mismatch
from hwgen.verify.result import LayerResult, VerifyResult
from hwgen.verify.rtl import RtlResult
from hwgen.verify.timeline import timeline
from hwgen.verify.zeros import LayerZeros


def measured_layers(program: Program, run: RunResult) -> list[int]:
    """Return the RTL cycles of each layer (`hwgen.compiler.cost.layer_cycles`)."""
    done = [run.completed.get(i, 0) for i in range(len(program.entries))]
    done[-1] = run.cycles
    return layer_cycles(program.entries, done, len(program.layers))


@dataclass
class Found:
    """Differences of all images; cycles, counters and ``zeros`` of the first."""

    program: Program
    examples: list[Mismatch] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    different: Counter[int] = field(default_factory=Counter)
    """Values by layer."""
    first: RunResult | None = None
    zeros: list[LayerZeros] = field(default_factory=list)
    run_s: float = 0.0
    cycles: int = 0

    def add(self, image: int, by_graph: tuple[Counter[int], list[Mismatch]], rtl: RtlResult) -> None:
        """Add an image: the golden machine's differences from the golden graph, the RTL's from the golden machine."""
        different, examples = by_graph
        self.different += different + rtl.different
        self.examples += examples + rtl.examples
        self.failures += [f"image {image}: {text}" for text in rtl.failures]
        run = rtl.run
        self.first = self.first or run
        self.run_s, self.cycles = self.run_s + run.run_s, self.cycles + run.cycles

    def result(self, model: str, given: Inputs, seed: int | None, reference: dict[str, Any] | None,
               accuracy: float | None, stages: dict[str, float]) -> VerifyResult:
        """The whole verification's result: ``accuracy`` is the golden model's, ``stages`` tells seconds."""
        program, run = self.program, self.first
        assert run is not None
        multipliers = Derived(program.config).multipliers
        layers = [
            LayerResult(n.name, n.op, n.mapping, c, n.predicted, n.macs, n.macs / (c * multipliers) if c else 0.0,
                        self.different[i], n.detail, self.zeros[i] if self.zeros else None)
            for (i, n), c in zip(enumerate(program.layers), measured_layers(program, run), strict=True)
        ]  # fmt: skip
        return VerifyResult(
            model=model,
            config=program.config.to_dict(),
            multipliers=multipliers,
            images=len(given.values[0]),
            seed=seed,
            mismatches=self.different.total(),
            examples=self.examples[:EXAMPLES],
            total=run.cycles,
            predicted=sum(n.predicted for n in program.layers),
            macs=sum(n.macs for n in program.layers),
            layers=layers,
            bytes_read=run.counters["read_bytes"],
            bytes_written=run.counters["write_bytes"],
            counters=run.counters,
            sim={
                "name": run.simulator,
                "version": run.version,
                "build_s": stages.get("building", 0.0),
                "run_s": self.run_s,
                "cycles_per_s": self.cycles / self.run_s if self.run_s else 0.0,
                "simulated_cycles": self.cycles,
            },
            reference=reference,
            host=[f"{step.name} ({step.kind})" for step in program.graph.host_steps],
            failures=self.failures,
            stages=stages,
            saturated=given.saturated,
            top1=accuracy,
            warnings=given.warnings,
            spans=timeline(program, run),
        )
