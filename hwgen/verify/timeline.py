"""When each unit worked on what, as the simulation of the RTL traced it."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.compiler import Program
from hwgen.isa import Module
from hwgen.sim.run_result import RunResult


@dataclass(frozen=True)
class Span:
    """The cycles after the start write in which a command was the oldest one under way in its unit.

    Attributes
    ----------
    unit : Module
    layer : int
        Index of the layer that the command belongs to.
    command : int
        Index in the command stream.
    operation : str
        ``RUN``, ``LOAD`` and so on.
    given : int
        Cycle in which the unit took the command; units take commands before earlier ones have ended.
    start, end : int
        From the later of ``given`` and the end of the unit's command before, to the command's own end.
    """

    unit: Module
    layer: int
    command: int
    operation: str
    given: int
    start: int
    end: int


def timeline(program: Program, run: RunResult) -> list[Span]:
    """Return what every unit did in a run, in order of completion; spans of a unit do not overlap."""
    ends: dict[Module, int] = {}
    spans = []
    for done in run.trace:
        entry, start = program.entries[done.index], max(done.issued, ends.get(done.module, 0))
        spans.append(Span(done.module, entry.layer, done.index, entry.name, done.issued, start, done.completed))
        ends[done.module] = done.completed
    return spans
