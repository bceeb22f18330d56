"""The cycle model: an event simulation of the command stream with the constants of `hwgen.timing`.

Every module executes its commands in order; a command is offered to its module when it has been dispatched, stands at
the head of its queue and its tokens are there. What happens then is a formula per operation; the constants are pinned
by the units' benches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from hwgen import isa, timing
from hwgen.compiler.intervals import Intervals
from hwgen.compiler.lanes import SkippingLanes
from hwgen.compiler.readbus import Burst, ReadBus
from hwgen.compiler.ring import ring_blocks, through_ring
from hwgen.compiler.stream import Entry
from hwgen.compiler.waits import Waits
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.golden.packed_map import slot_words
from hwgen.isa import Module

BURST_BEATS = 64
LOADS_AHEAD = 4
"""LOADs that wait for data at once."""
PASSES = 3


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
    packed: float = -2.0
    """When STORE has the latest block in its ring."""
    written: float = 0.0
    """When POST has written its latest result, as if that took no time."""
    done: float = 0.0
    """When its latest command is done."""
    dones: list[float] = field(default_factory=list)
    queue: list[tuple[int, float]] = field(default_factory=list)
    """Commands dispatched to it, and when each can be offered."""
    at: int = 0
    """How many of them it took."""


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
        self.waits = Waits.of(config)
        self.command_beats = isa.COMMAND_BYTES * 8 / config.axi_bits

    def finish_times(self, entries: Sequence[Entry]) -> list[int]:
        """Return the cycle, counted from the start write, at which each command is done.

        Units that want the same bank of the activation buffer slow each other down, and who is at work beside whom is
        only known when all have been walked through; so the walk is repeated with the intervals of the walk before, as
        much later as the command in question comes later than it did there.
        """
        self._before, offers = Intervals(), [0.0] * len(entries)
        for _ in range(1 if self.loaded else PASSES):
            self._now, self._earlier, self._offers = Intervals(), offers, offers.copy()
            done = self._walk(entries)
            self._before, offers = self._now, self._offers
        return done

    def _walk(self, entries: Sequence[Entry]) -> list[int]:
        """Advance every unit as far as what is known lets it, then the read bus by one burst, and so on.

        Whatever is still unknown when no unit can advance comes after the next burst, so bursts are served in order.
        """
        t = timing
        self._units = {m: _Unit() for m in isa.WORKERS}
        self._table = 0.0
        self._lanes, self._accumulated = SkippingLanes(self.config.rows, self.config.columns), 0.0
        burst_beats = t.FETCH_BURST_COMMANDS * self.command_beats
        self._bus = bus = ReadBus(self.memory.latency, self.config.outstanding, burst_beats)
        tokens: dict[tuple[int, int], list[float]] = {}
        taken: dict[tuple[int, int], int] = {}
        done = [0] * len(entries)
        chunks: list[float] = []
        asked = 0
        chunk_count = -(-len(entries) // t.FETCH_BURST_COMMANDS)
        dispatched, before, previous = 0, 0.0, 0.0
        # A command is joined from its beats after the one before it was dispatched.
        spacing = max(1.0, 0.0 if self.loaded else self.command_beats)
        if not self.loaded:
            asked = min(2, chunk_count)
            for _ in range(asked):
                bus.ask_commands(0.0)

        def dispatch() -> bool:
            """Give the next command to its module."""
            nonlocal dispatched, before, previous, asked
            if dispatched == len(entries):
                return False
            e = entries[dispatched]
            burst, place = divmod(dispatched, t.FETCH_BURST_COMMANDS)
            if not self.loaded:
                if place == 0 and burst and asked == burst + 1 and asked < chunk_count:
                    # The last beat of the burst before has left the buffer, to be joined into its last command while
                    # that waits: the burst after this one is asked for.
                    bus.ask_commands(before + spacing + 1)
                    asked += 1
                if burst >= len(chunks):
                    return False
                fetched = chunks[burst] + t.START_TO_DISPATCH + (place + 1) * self.command_beats
            else:
                fetched = 0.0
            if e.module is Module.CTRL:
                if not all(u.at == len(u.queue) == len(u.dones) for u in self._units.values()):
                    return False
                done[dispatched] = int(max((u.done for u in self._units.values()), default=0) + t.END_CYCLES)
                dispatched += 1
                return True
            unit = self._units[e.module]
            room = len(unit.queue) - self.config.queue
            if room >= len(unit.dones):
                return False
            before, previous = previous, max(previous + spacing, fetched, unit.dones[room] + 1 if room >= 0 else 0.0)
            unit.queue.append((dispatched, previous + t.DISPATCH_TO_START))
            dispatched += 1
            return True

        def complete(unit: _Unit, index: int, at: float) -> None:
            unit.done = max(at, unit.done)
            unit.dones.append(unit.done)
            done[index] = int(unit.done)
            e = entries[index]
            for target in e.post:
                tokens.setdefault((e.module, target), []).append(unit.done)

        def execute(m: Module, unit: _Unit) -> bool:
            """Execute the next command of a unit, when its tokens are there."""
            if unit.at == len(unit.queue):
                return False
            index, offer = unit.queue[unit.at]
            e = entries[index]
            keys = [(source, m) for source in e.wait]
            if any(taken.get(key, 0) >= len(tokens.get(key, ())) for key in keys):
                return False
            if m is Module.LOAD and not self.loaded:
                ahead = unit.at - LOADS_AHEAD
                if ahead >= len(unit.dones):
                    return False
            unit.at += 1
            offer = max(offer, unit.accepted + 1)
            for key in keys:
                offer = max(offer, tokens[key][taken.get(key, 0)] + t.DONE_TO_START)
                taken[key] = taken.get(key, 0) + 1
            self._offers[index] = offer
            self._before.later = offer - self._earlier[index]
            if m is Module.LOAD and not self.loaded:
                self._request(e, unit, offer)
            else:
                complete(unit, index, self._execute(e, unit, offer))
            return True

        load = self._units[Module.LOAD]
        while True:
            moved = True
            while moved:
                moved = False
                while dispatch():
                    moved = True
                for m, unit in self._units.items():
                    while execute(m, unit):
                        moved = True
            if bus.idle:
                break
            burst, first = bus.serve()
            if burst is None:
                chunks.append(first)
                continue
            index = load.queue[len(load.dones)][0]
            self._before.later = self._offers[index] - self._earlier[index]
            self._fill(entries[index], burst, first)
            if burst.last:
                complete(load, index, bus.free + t.LOAD_DONE + t.UNPACK_DONE * bool(entries[index].moved))
        assert dispatched == len(entries), "the command stream waits for a token that nobody gives"
        return done

    def _request(self, e: Entry, unit: _Unit, offer: float) -> None:
        """Account for the acceptance of a LOAD; its data come when the bus serves its bursts."""
        t, ahead = timing, unit.at - 1 - LOADS_AHEAD
        unit.accepted = max(offer, unit.accepted + t.LOAD_ISSUE, unit.dones[ahead] if ahead >= 0 else 0.0)
        for i, words in enumerate(e.moved or (e.args["count"],)):
            ready = unit.accepted + t.LOAD_REQUEST + (i + 1) * t.LOAD_LOOKUP * bool(e.moved)
            last = not e.moved or i == len(e.moved) - 1
            at = e.args["dram"] + (i * slot_words(e.args["block"]) * self.d.dma_bytes if e.moved else 0)
            self._bus.ask_load(ready, at * 8 // self.config.axi_bits, words * self.beats, BURST_BEATS, last=last)

    def _fill(self, e: Entry, burst: Burst, first: float) -> None:
        """Account for a burst that arrives from cycle ``first`` on."""
        if e.args.get("buffer", isa.Buffer.ACT) != isa.Buffer.ACT:
            return
        if e.moved:
            # Words come out at most one a cycle, and the bus waits.
            self._bus.stall(max(0.0, burst.beats * e.args["block"] * e.args["blocks"] / sum(e.moved) / self.beats
                                - burst.beats))
        if self.beats == 1:
            # POST writes a word a cycle; where that is in LOAD's banks, LOAD waits.
            self._bus.stall(self.waits.load * self._before.overlap("writing", first, self._bus.free))
        self._now.add("filling", first, self._bus.free)

    def _execute(self, e: Entry, unit: _Unit, offer: float) -> float:
        """Account for one command that is offered in cycle ``offer``; return when it is done."""
        return getattr(self, f"_{e.module.name.lower()}")(e, unit, offer)  # type: ignore[no-any-return]

    def _load(self, e: Entry, unit: _Unit, offer: float) -> float:
        assert self.loaded
        return 0.0

    def _store(self, e: Entry, unit: _Unit, offer: float) -> float:
        unit.accepted = offer
        if self.config.compress_maps:
            first = max(offer, unit.packed)
            blocks = ring_blocks(e, BURST_BEATS)
            unit.packed, unit.last = through_ring(
                blocks, self.beats, first, unit.last, self.waits.ring, self._before)
            self._now.add("storing", first, unit.packed)
            return unit.last + timing.STORE_OVERHEAD + self.memory.write_latency
        beats = e.args["count"] * self.beats
        first = max(offer, unit.last)
        unit.last = self._before.stretched("operating", first, first + beats, self.waits.store)
        self._now.add("storing", first, unit.last)
        return unit.last + timing.STORE_OVERHEAD + self.memory.write_latency

    def _wfetch(self, e: Entry, unit: _Unit, offer: float) -> float:
        t = timing
        if e.name == "WF_ZERO":
            unit.accepted = offer
            return offer + (t.WFETCH_DONE if self.config.weight_formats else t.WFETCH_START)
        if e.name != "WFETCH":
            # Decoded to its end before the next one is taken.
            book = e.name == "CODEBOOK"
            cycles = (1 << e.args["log2_entries"]) + t.CODEBOOK_OVERHEAD if book else t.WSTREAM_START + e.info["cycles"]
            unit.accepted = unit.last = offer + cycles - 1
            return unit.last + t.WFETCH_DONE
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
        unit.last = self._before.stretched("operating", first, unit.last, self.waits.fetch)
        unit.accepted = unit.last - t.AFETCH_START - transpose + 1
        in_step = e.info["cycles"] == e.info["words"]
        self._now.add("reading", first, unit.last, self.waits.in_step if in_step else 1.0)
        return unit.last + t.AFETCH_DONE

    def _grid(self, e: Entry, unit: _Unit, offer: float) -> float:
        t = timing.grid(self.config)
        skips = self.config.skip != "none"
        if e.name != "RUN":
            unit.accepted = self._lanes.set(e.args.get("index"), offer) if skips else offer
            return unit.accepted + timing.GRID_SET_CYCLES
        rounds, first_segment, segments = (e.args[n] for n in ("rounds", "seg_first", "seg_count"))
        gap = t.RUN_ACCUMULATE_GAP if e.args["accumulate"] else t.RUN_OVERHEAD
        if e.walk is not None:
            read = range(first_segment, first_segment + segments)
            unit.accepted, first, unit.last = self._lanes.run(
                e.walk, e.info["windows"], rounds * segments, read, offer, gap)
            if e.args["accumulate"]:
                # Every round of every lane reads what it adds to. Dense lanes do so too, but all in the same cycle.
                reads = rounds * np.count_nonzero(e.walk) / (unit.last - first + 1)
                self._now.add("accumulating", max(first, self._accumulated), unit.last, 1 - math.exp(-reads))
                self._accumulated = max(unit.last, self._accumulated)
            return unit.last + t.RUN_DRAIN
        first = max(offer + t.RUN_START, unit.last + 1 + gap)
        unit.last = first + max(e.info["cycles"], rounds * segments + t.RUN_RESTART) - 1
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
            start = max(offer, unit.done + 1) + t.POST_START + d.param_block
            first = max(start, self._table if e.info["add"] else 0.0)
            # LOAD and STORE go before POST in their bank, unless they did so in the cycle before (STORE often). A LOAD
            # only holds up results, which follow each other slowly while two operands want one bank.
            alone = first + e.info["cycles"] - 1
            written = self._before.stretched("filling", first, alone, self.waits.load_first)
            unit.last = max(alone + e.info["conflicts"], written)
            unit.last = self._before.stretched("storing", first, unit.last, self.waits.store_first)
            if e.info["add"]:
                # While AFETCH reads, an operand often waits for its bank, and the other way round.
                unit.last = self._before.stretched("reading", first, unit.last, self.waits.operand)
            self._now.add("operating", first, unit.last)
            self._now.add("writing", first, unit.last)
            unit.accepted = unit.last
            return unit.last + t.ELTWISE_TAIL
        # The parameters of PO_SCALAR are loaded once a DRAIN.
        passes, changes = (1, 0) if e.info["scalar"] else (e.info["passes"], e.info["blocks"] - 1)
        block, items = d.param_block * passes, e.info["lanes"] * e.info["rounds"]
        writes = items + e.info["conflicts"]
        slack = t.POST_HELD * writes / items
        items += changes * max(0, block + t.POST_BLOCK - e.info["run"])
        # A DRAIN is taken, and its first block loaded, while the one before is read.
        gap = max(t.POST_GAP, block + t.POST_START - t.POST_AHEAD, block + t.POST_BLOCK - items)
        first = max(offer + t.POST_START + block, unit.last + 1 + gap)
        # Results that want the same bank wait, at first without holding up what is read.
        read = self._before.stretched("accumulating", first, first + items, 1.0)
        unit.written = max(read, max(first, unit.written) + writes)
        unit.last = max(read, unit.written - slack) - 1
        unit.accepted = max(offer + items, unit.last - t.POST_START - block)
        self._now.add("writing", first + t.POST_TAIL, unit.written - 1 + t.POST_TAIL)
        return unit.written - 1 + t.POST_TAIL + (self.config.vector if e.info["transpose"] else 0)


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
