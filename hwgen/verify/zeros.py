"""What zeros a layer has, what skipping them gave, and where its cycles went that were not walked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen import timing
from hwgen.compiler import Program, compile_graph
from hwgen.derive import Derived
from hwgen.golden.machine_state import Work
from hwgen.golden.machine_zeros import Zeros
from hwgen.isa import Module
from hwgen.model.graph import Conv
from hwgen.sim.run_result import CommandTrace, RunResult


@dataclass(frozen=True)
class LayerZeros:
    """Zeros of one layer on a machine that skips them (docs/verification.md has the definitions).

    Attributes
    ----------
    weights, activations : float or None
        Shares that are not zero: of the layer's weights (None: it has none), of the map it reads.
    positions : Zeros
    bound : float
        Cycles that the effectual positions take when all lanes always have some.
    mean, worst : float, int
        Positions walked by a lane.
    dense : int
        Cycles of the layer on the same grid without skipping, by the cycle model.
    starved : dict of str to int
        Cycles in which no lane had a position and the next command waited, by what for: ``v``, ``s``, ``post``,
        ``command``.
    """

    weights: float | None
    activations: float
    positions: Zeros
    bound: float
    mean: float
    worst: int
    dense: int
    starved: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the documented keys."""
        return {
            "weights": self.weights,
            "activations": self.activations,
            **asdict(self.positions),
            "bound": self.bound,
            "lanes": {"mean": self.mean, "worst": self.worst},
            "dense": self.dense,
            "starved": self.starved,
        }


def layer_zeros(
    program: Program, work: Sequence[Work], run: RunResult, tensors: Mapping[str, NDArray[np.int8]]
) -> list[LayerZeros]:
    """Return the zeros of every layer.

    Parameters
    ----------
    program : Program
        Of a machine that skips.
    work : sequence of Work
        Of every command, by the golden machine.
    run : RunResult
        Of the same image in RTL.
    tensors : mapping
        The maps of that image by name, shape (1, height, width, channels).
    """
    dense = compile_graph(program.graph, program.config.replace(skip="none"))
    lanes = Derived(program.config).lanes
    starved = starvation(program, run.trace)
    found = []
    for index, (op, plan) in enumerate(zip(program.operators, dense.layers, strict=True)):
        mine = [work[i] for i in program.layers[index].commands if work[i].zeros is not None]
        positions = sum((w.zeros for w in mine if w.zeros is not None), Zeros())
        walked = sum((w.walked for w in mine if w.walked is not None), np.zeros(1, np.int64))
        source = op.inputs[0]
        found.append(LayerZeros(
            float((op.weight != 0).mean()) if isinstance(op, Conv) else None,
            float((tensors[source] != program.graph.tensors[source].zero_point).mean()),
            positions, positions.effectual / lanes, float(walked.mean()), int(walked.max()), plan.predicted,
            starved[index],
        ))  # fmt: skip
    return found


def starvation(program: Program, trace: Sequence[CommandTrace]) -> list[dict[str, int]]:
    """Return the cycles of each layer in which the grid was idle before a RUN, by what that waited for."""
    at = {t.index: t for t in trace}
    t = timing.grid(program.config)
    given: dict[tuple[Module, Module], list[int]] = {}
    taken: Counter[tuple[Module, Module]] = Counter()
    found = [dict.fromkeys(("v", "s", "post", "command"), 0) for _ in program.layers]
    idle_from, latest = 0, (0, "command")
    for index, e in enumerate(program.entries):
        for target in e.post:
            given.setdefault((e.module, target), []).append(index)
        if e.module is not Module.GRID or index not in at:
            continue
        for source in e.wait:
            giver = given[source, Module.GRID][taken[source, Module.GRID]]
            taken[source, Module.GRID] += 1
            latest = max(latest, (at[giver].completed if giver in at else 0, source.name))
        if e.name != "RUN":
            continue
        idle = at[index].issued - idle_from
        if idle > 0:
            late = latest[0] >= idle_from
            found[e.layer][_cause(latest[1] if late else "command", pixel=e.args["mode"] == 1)] += idle
        idle_from, latest = max(idle_from, at[index].completed - t.RUN_DRAIN), (0, "command")
    return found


def _cause(giver: str, *, pixel: bool) -> str:
    vector = "AFETCH" if pixel else "WFETCH"
    if giver in ("WFETCH", "AFETCH"):
        return "v" if giver == vector else "s"
    return "post" if giver == "POST" else "command"


def check_counters(work: Sequence[Work], counters: Mapping[str, int]) -> list[str]:
    """Return what the hardware counted otherwise than the golden machine."""
    zeros = sum((w.zeros for w in work if w.zeros is not None), Zeros())
    expected = {"lane_cycles": zeros.walked, "empty_windows": zeros.empty}
    return [f"counter {name}: {counters[name]:,} in hardware, {value:,} by the golden machine"
            for name, value in expected.items() if counters[name] != value]
