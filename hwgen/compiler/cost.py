"""The cycle model: an event simulation of the command stream with the constants of `hwgen.timing`.

Every module executes its commands in order; a command is offered to its module when it has been dispatched, stands at
the head of its queue and its tokens are there. What happens then is a formula per operation; the constants are pinned
by the units' benches.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from hwgen import isa, timing
from hwgen.compiler.stream import Entry
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.isa import Module

BURST_BEATS = 64
PASSES = 3

ADD_WAITS, FETCH_WAITS = 1.0, 0.1
"""Waits of an addition for each column that fetches per bank, and of a fetch for each operand of an addition per bank
(measured on `base`: additions take 1.6 cycles a word instead of 1.06, fetches 1.33 instead of 1)."""


@dataclass(frozen=True)
class Memory:
    """The memory behind the AXI ports: cycles from address to first beat, one beat a cycle then."""

    latency: int = 32
    write_latency: int = 8
    """Cycles from the last beat of a write burst to its response."""


@dataclass
class _Unit:
    """What is known about one module while its commands are walked through."""

    accepted: float = -1.0
    """When it took its latest command."""
    last: float = -2.0
    """Last element (position, word, read) of its latest action."""
    done: float = 0.0
    """When its latest command is done."""
    dones: list[float] = field(default_factory=list)


class CycleModel:
    """Predicts when every command completes.

    Parameters
    ----------
    config : Config
    memory : Memory
    loaded : bool
        Take all LOADs as done at once and commands as fetched (to judge a layer by itself, whose weights were fetched
        during the one before).
    """

    def __init__(self, config: Config, memory: Memory | None = None, *, loaded: bool = False) -> None:
        self.config, self.d = config, Derived(config)
        self.memory, self.loaded = memory or Memory(), loaded
        self.beats = self.d.dma_bytes * 8 // config.axi_bits
        """Bus cycles per DMA word."""
        self.command_beats = isa.COMMAND_BYTES * 8 / config.axi_bits

    def finish_times(self, entries: Sequence[Entry]) -> list[int]:
        """Return the cycle, counted from the start write, at which each command is done.

        Commands and LOADs share the read bus, and which of two requests came first is only known when both modules have
        been walked through; so the walk is repeated with the bus occupation of the walk before.
        """
        self._loads: list[tuple[float, float]] = []
        self._fetches: list[float] = []
        self._reading: list[tuple[float, float]] = []
        self._writing: list[tuple[float, float]] = []
        self._adding: list[tuple[float, float]] = []
        self._filling: list[tuple[float, float]] = []
        self._storing: list[tuple[float, float]] = []
        for _ in range(1 if self.loaded else PASSES):
            done = self._walk(entries)
        return done

    def _walk(self, entries: Sequence[Entry]) -> list[int]:
        t = timing
        self._units = {m: _Unit() for m in isa.WORKERS}
        self._bus = self._table = self._fetched = 0.0
        self._known, self._next = sorted(self._fetches), 0
        self._busy: list[tuple[float, float]] = []
        self._fetches = []
        self._read_before, self._reading = self._reading, []
        self._written_before, self._writing = self._writing, []
        self._added_before, self._adding = self._adding, []
        self._filled_before, self._filling = self._filling, []
        self._stored_before, self._storing = self._storing, []
        tokens: dict[tuple[int, int], list[float]] = {}
        taken: dict[tuple[int, int], int] = {}
        done = [0] * len(entries)
        previous = 0.0
        chunks = [] if self.loaded else [self._fetch(0.0), self._fetch(0.0)]
        for i, e in enumerate(entries):
            if self.loaded:
                previous += 1
            else:
                burst, place = divmod(i, t.FETCH_BURST_COMMANDS)
                if place == 0 and burst and (burst + 1) * t.FETCH_BURST_COMMANDS < len(entries):
                    # The buffer of the burst before is empty: the one after this is asked for.
                    chunks.append(self._fetch(previous))
                previous = max(previous + 1, chunks[burst] + t.START_TO_DISPATCH + (place + 1) * self.command_beats)
            m = e.module
            if m is Module.CTRL:
                done[i] = int(max((u.done for u in self._units.values()), default=0) + t.END_CYCLES)
                continue
            unit = self._units[m]
            if len(unit.dones) >= self.config.queue:
                previous = max(previous, unit.dones[-self.config.queue] + 1)
            offer = max(previous + t.DISPATCH_TO_START, unit.accepted + 1)
            for source in e.wait:
                key = (source, m)
                offer = max(offer, tokens[key][taken.get(key, 0)] + t.DONE_TO_START)
                taken[key] = taken.get(key, 0) + 1
            unit.done = max(self._execute(e, unit, offer), unit.done)
            unit.dones.append(unit.done)
            done[i] = int(unit.done)
            for target in e.post:
                tokens.setdefault((m, target), []).append(unit.done)
        self._loads = self._busy
        return done

    def _fetch(self, request: float) -> float:
        """Account for a burst of commands asked for in cycle ``request``; return the cycle before its first beat.

        It comes behind the LOAD bursts that were asked for before, of which only so many may be outstanding.
        """
        arrival = max(request + self.memory.latency, self._fetched)
        before = bisect_right(self._loads, (request, float("inf"))) - 1
        if before >= 0:
            arrival = max(arrival, self._loads[before][1])
        self._fetched = arrival + timing.FETCH_BURST_COMMANDS * self.command_beats
        self._fetches.append(arrival)
        return arrival

    def _oldest_outstanding(self) -> float:
        """Return when the burst ends whose end lets the next one be asked for."""
        n = self.config.outstanding
        burst = timing.FETCH_BURST_COMMANDS * self.command_beats
        fetched = [arrival + burst for arrival in self._known[max(self._next - n, 0) : self._next]]
        ends = sorted([end for _, end in self._busy[-n:]] + fetched)
        return ends[-n] if len(ends) >= n else 0.0

    def _transfer(self, first: float, beats: int) -> tuple[float, float]:
        """Return begin and end of a LOAD's ``beats`` that could begin at ``first``, command bursts going in between."""
        burst = timing.FETCH_BURST_COMMANDS * self.command_beats
        end = first + beats
        while self._next < len(self._known) and self._known[self._next] < end:
            arrival = self._known[self._next]
            self._next += 1
            if arrival + burst > first:
                late = burst if arrival >= first else arrival + burst - first
                end += late
        return first, end

    def _execute(self, e: Entry, unit: _Unit, offer: float) -> float:
        """Account for one command that is offered in cycle ``offer``; return when it is done."""
        return getattr(self, f"_{e.module.name.lower()}")(e, unit, offer)  # type: ignore[no-any-return]

    def _load(self, e: Entry, unit: _Unit, offer: float) -> float:
        t = timing
        if self.loaded:
            return 0.0
        unit.accepted = max(offer, unit.accepted + t.LOAD_ISSUE, unit.dones[-4] if len(unit.dones) >= 4 else 0.0)
        first = max(unit.accepted + t.LOAD_REQUEST + self.memory.latency, self._bus)
        beats = e.args["count"] * self.beats
        first, self._bus = self._transfer(first, beats)
        if e.args["buffer"] == isa.Buffer.ACT and self.beats == 1:
            # POST writes a word a cycle: in one of so many groups of banks LOAD waits for it.
            share = self.d.dma_words / self.config.banks
            self._bus += share * _overlap(self._written_before, first, self._bus)
            self._filling.append((first, self._bus))
        bursts = -(-beats // BURST_BEATS)
        for n in range(1, bursts + 1):
            ahead = self._oldest_outstanding()
            issue = max(unit.accepted + t.LOAD_REQUEST, ahead, self._busy[-1][0] if self._busy else 0.0)
            self._busy.append((issue, first + (self._bus - first) * n / bursts))
        return self._bus + t.LOAD_DONE

    def _store(self, e: Entry, unit: _Unit, offer: float) -> float:
        beats = e.args["count"] * self.beats
        unit.accepted = offer
        first = max(offer, unit.last)
        unit.last = first + beats
        self._storing.append((first, unit.last))
        return unit.last + timing.STORE_OVERHEAD + self.memory.write_latency

    def _wfetch(self, e: Entry, unit: _Unit, offer: float) -> float:
        t = timing
        first = max(offer + t.WFETCH_START, unit.last + 1 + t.WFETCH_OVERHEAD)
        unit.last = first + e.args["groups"] * e.args["count"] - 1
        unit.accepted = unit.last - t.WFETCH_START + 1
        return unit.last + t.WFETCH_DONE

    def _afetch(self, e: Entry, unit: _Unit, offer: float) -> float:
        t = timing
        transpose = self.config.vector if e.info.get("transpose") else 0
        if e.name != "AFETCH":
            # A map setting waits until the words of earlier fetches are in the lanes, a level until they are addressed.
            ready = unit.done if e.name == "AF_MAP" else unit.last - t.AFETCH_START + 1
            unit.accepted = max(offer, ready)
            return unit.accepted + t.AFETCH_START - 1
        first = max(offer + t.AFETCH_START + transpose, unit.last + 1 + t.AFETCH_OVERHEAD)
        unit.last = first + e.info["cycles"] - 1
        wait = FETCH_WAITS * 2 / self.config.banks
        unit.last = _stretched(first, unit.last, wait, self._added_before)
        unit.accepted = unit.last - t.AFETCH_START - transpose + 1
        self._reading.append((first, unit.last))
        return unit.last + t.AFETCH_DONE

    def _grid(self, e: Entry, unit: _Unit, offer: float) -> float:
        t = timing
        if e.name != "RUN":
            unit.accepted = offer
            return offer + t.GRID_SET_CYCLES
        gap = t.RUN_ACCUMULATE_GAP if e.args["accumulate"] else t.RUN_OVERHEAD
        first = max(offer + t.RUN_START, unit.last + 1 + gap)
        unit.last = first + max(e.info["cycles"], t.RUN_SPACING) - 1
        # The next RUN is taken while this one walks.
        unit.accepted = first
        return unit.last + t.RUN_DRAIN

    def _post(self, e: Entry, unit: _Unit, offer: float) -> float:
        t, d = timing, self.d
        if not isa.BY_NAME[e.name].action:
            ready = unit.last if e.name in ("PO_LEVEL", "PO_SOURCE") else unit.done
            unit.accepted = max(offer, ready)
            if e.name == "PO_ADD":
                self._table = unit.accepted + t.ADD_TABLE
            return unit.accepted + t.POST_SET
        if e.name == "ELTWISE":
            start = max(offer, unit.done) + t.POST_START + d.param_block
            first = max(start, self._table if e.info["add"] else 0.0)
            unit.last = first + e.info["cycles"] * t.ELTWISE_CYCLES / t.ELTWISE_ITEMS + e.info["conflicts"] - 1
            if e.info["add"]:
                # While AFETCH reads, an operand often waits for its bank, and the other way round.
                wait = ADD_WAITS * min(self.config.columns, 2) / self.config.banks
                unit.last = _stretched(first, unit.last, wait, self._read_before)
                self._adding.append((first, unit.last))
            # LOAD and STORE go before POST in their bank, unless they did so in the cycle before (STORE often).
            share = d.dma_words / self.config.banks / self.beats
            unit.last = _stretched(first, unit.last, LOAD_FIRST * share, self._filled_before)
            unit.last = _stretched(first, unit.last, STORE_FIRST * share, self._stored_before)
            self._writing.append((first, unit.last))
            unit.accepted = unit.last
            return unit.last + t.ELTWISE_TAIL
        block = 0 if e.info["scalar"] else d.param_block * e.info["passes"]
        items, changes = e.info["lanes"] * e.info["rounds"], e.info["blocks"] - 1
        items += changes * max(0, block + t.POST_BLOCK - e.info["run"]) + e.info["conflicts"]
        # A DRAIN is taken, and its first block loaded, while the one before is read.
        first = max(offer + t.POST_START + block, unit.last + 1 + max(t.POST_GAP, block + t.POST_BLOCK - items))
        unit.last = first + items - 1
        unit.accepted = max(first, unit.last - t.POST_START - block)
        self._writing.append((first + t.POST_TAIL, unit.last + t.POST_TAIL))
        return unit.last + t.POST_TAIL + (self.config.vector if e.info["transpose"] else 0)


LOAD_FIRST, STORE_FIRST = 1.0, 0.35
"""How often a LOAD or STORE goes before a result or an operand that wants its bank (measured on `base` and `small`)."""


def _overlap(intervals: Sequence[tuple[float, float]], first: float, last: float) -> float:
    """Return how long of ``first`` .. ``last`` is covered by ordered intervals."""
    total = 0.0
    for low, high in intervals[max(bisect_right(intervals, (first, 0.0)) - 1, 0) :]:
        if low >= last:
            break
        total += max(0.0, min(high, last) - max(low, first))
    return total


def _stretched(first: float, last: float, wait: float, others: Sequence[tuple[float, float]]) -> float:
    """Return the end of work from ``first`` to ``last`` that waits ``wait`` of the time in which others are at work."""
    end = last
    for _ in range(4):
        end = last + wait * _overlap(others, first, end)
    return end


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
