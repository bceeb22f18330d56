"""The cycle model: an event simulation of the command stream with the constants of `hwgen.timing`.

Every module executes its commands in order; a command starts when it has been dispatched, its module is free and its
tokens are there. What a command costs is a formula per operation; the constants are pinned by the units' benches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwgen import isa, timing
from hwgen.compiler.stream import Entry
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.isa import Module


@dataclass(frozen=True)
class Memory:
    """The memory behind the AXI ports: cycles from address to first beat, one beat a cycle then."""

    latency: int = 32


class CycleModel:
    """Predicts when every command completes.

    Parameters
    ----------
    config : Config
    memory : Memory
    loaded : bool
        Take all LOADs as done at once (to judge a layer by itself, whose weights were fetched during the one before).
    """

    def __init__(self, config: Config, memory: Memory | None = None, *, loaded: bool = False) -> None:
        self.config, self.d = config, Derived(config)
        self.memory, self.loaded = memory or Memory(), loaded
        self.beats = self.d.dma_bytes * 8 // config.axi_bits
        """Bus cycles per DMA word."""

    def finish_times(self, entries: Sequence[Entry]) -> list[int]:
        """Return the cycle, counted from the start write, at which each command is done."""
        c, t = self.config, timing
        done = [0] * len(entries)
        free = [0.0] * 8
        """When each module can start its next command."""
        started: list[list[float]] = [[] for _ in range(8)]
        tokens: dict[tuple[int, int], list[float]] = {}
        taken: dict[tuple[int, int], int] = {}
        bus, last_run, commands_per_burst = 0.0, 0.0, t.FETCH_BURST_COMMANDS
        command_beats = isa.COMMAND_BYTES * 8 // c.axi_bits
        dispatch = t.START_TO_DISPATCH + self.memory.latency
        fetched = 0.0
        for i, e in enumerate(entries):
            m = e.module
            if not self.loaded and i % commands_per_burst == 0:
                # A burst of commands takes the read bus when the fetch FIFO has room for it.
                fetched = max(fetched, dispatch - commands_per_burst)
                bus = max(bus, fetched) + command_beats * commands_per_burst
            dispatch = max(dispatch + 1, 0.0 if self.loaded else t.START_TO_DISPATCH + self.memory.latency + i * command_beats)
            if m is Module.CTRL:
                done[i] = int(max(done[:i], default=0) + t.END_CYCLES)
                continue
            if len(started[m]) >= c.queue:
                dispatch = max(dispatch, started[m][-c.queue])
            start = max(dispatch + t.DISPATCH_TO_START, free[m])
            for source in e.wait:
                key = (source, m)
                start = max(start, tokens[key][taken.get(key, 0)] + t.DONE_TO_START)
                taken[key] = taken.get(key, 0) + 1
            started[m].append(start)
            end, free[m], bus, last_run = self._execute(e, start, bus, last_run)
            done[i] = int(end)
            for target in e.post:
                tokens.setdefault((m, target), []).append(end)
        return done

    def _execute(self, e: Entry, start: float, bus: float, last_run: float) -> tuple[float, float, float, float]:
        """Return (done, module free again, bus free again, last position of the latest RUN)."""
        t, a = timing, e.args
        if e.name == "LOAD":
            if self.loaded:
                return start, start, bus, last_run
            data = max(start + t.LOAD_REQUEST + self.memory.latency, bus)
            end = data + a["count"] * self.beats
            return end + t.LOAD_DONE, start + t.LOAD_ISSUE, end, last_run
        if e.name == "STORE":
            end = start + t.STORE_OVERHEAD + a["count"] * self.beats
            return end, end, bus, last_run
        if e.name == "WFETCH":
            end = start + t.WFETCH_OVERHEAD + a["groups"] * a["count"]
            return end, end, bus, last_run
        if e.name == "AFETCH":
            end = start + t.AFETCH_OVERHEAD + e.info["cycles"]
            return end, end, bus, last_run
        if e.name == "RUN":
            n = max(e.info["cycles"], t.RUN_SPACING)
            gap = t.RUN_ACCUMULATE_GAP if a["accumulate"] else t.RUN_OVERHEAD
            first = max(start + t.RUN_START, last_run + 1 + gap)
            last = first + n - 1
            # The grid takes the next RUN while this one walks.
            return last + t.RUN_DRAIN, first, bus, last
        if e.name == "DRAIN":
            reload = 0 if e.info["scalar"] else self.d.param_block + t.PARAM_OVERHEAD
            lane = max(e.info["rounds"], reload)
            end = start + t.DRAIN_OVERHEAD + (0 if e.info["scalar"] else self.d.param_block) + e.info["lanes"] * lane
            return end, end, bus, last_run
        if e.name == "ELTWISE":
            end = start + t.ELTWISE_OVERHEAD + e.info["cycles"]
            return end, end, bus, last_run
        return start + t.SET_CYCLES, start + t.SET_CYCLES, bus, last_run


def layer_cycles(entries: Sequence[Entry], done: Sequence[int], layers: int) -> list[int]:
    """Return the cycles of each layer: from the end of the layer before to its own last POST, STORE or END command."""
    ends = [0] * layers
    for e, end in zip(entries, done, strict=True):
        if e.module in (Module.POST, Module.STORE, Module.CTRL):
            ends[e.layer] = max(ends[e.layer], end)
    result, last = [], 0
    for end in ends:
        result.append(max(end - last, 0))
        last = max(last, end)
    return result
