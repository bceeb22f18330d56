"""The grid of lanes that skip zeros: each at its own pace.

Cycles (`hwgen.timing.SKIPPING`, pinned by tests/hardware/test_grid.py)
-----------------------------------------------------------------------
A lane walks a RUN in max(1, positions at which no skipped operand is zero) cycles a round, and goes on to the next one
at once when that is there. A RUN is handed to all lanes when none of them still has the one before waiting; it is done
when all lanes that have work (BASE) are, which may be `_IN_FLIGHT` RUNs apart. Otherwise as in `hwgen.hardware.grid`; a
SEGMENT waits while a lane may still read a range that contains it.
"""

from __future__ import annotations

from functools import reduce
from operator import add

from amaranth import Cat, Module, Mux, Signal
from amaranth.utils import bits_for

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.fifo import Fifo
from hwgen.hardware.grid import _IN_FLIGHT, ILLEGAL_COMMAND, OUT_OF_RANGE, Grid
from hwgen.hardware.grid_decode import ILLEGAL, RANGE, RUN, SET, Decoder


class SkippingGrid(Grid):
    """A `Grid` whose lanes skip. ``active`` counts the lanes that walk, as ``busy``.

    Attributes
    ----------
    empty : Out
        Windows without a position that lanes dropped (a cycle late).
    ahead : Out
        Lanes that have done the oldest RUN under way and walk nothing while others still walk it (a cycle late).
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        lanes = bits_for(Derived(config).lanes)
        self.empty, self.ahead = Signal(lanes), Signal(lanes)

    def _control(self, m: Module, lanes: list[list[dict[str, Signal]]]) -> None:
        """Decode, check, start, report in order."""
        shape = self.shape
        every = [lane for row in lanes for lane in row]
        decoder = Decoder(self.config)
        job, entry, index = Signal(shape.job), Signal(shape.segment), Signal(shape.seg_bits)
        valid, tag, is_segment, mask = Signal(), Signal(2), Signal(), Signal(len(every))
        failed, go, start = Signal(), Signal(), Signal()
        m.submodules.decoder = decoder
        m.submodules.order = order = Fifo(2 + len(every), _IN_FLIGHT)

        accept = self.cmd.valid & self.cmd.ready
        m.d.comb += [
            decoder.command.eq(self.cmd.payload), decoder.accept.eq(accept),
            self.cmd.ready.eq(~failed & (~valid | (tag == SET) & go))]
        # Segments of the two RUNs handed out last: one may wait, the other be walked.
        ranges = [(Signal(shape.seg_bits, name=f"low{n}"), Signal(shape.seg_bits, name=f"high{n}")) for n in range(2)]
        touches = Signal()
        with m.If(accept):
            m.d.sync += [
                valid.eq(1), tag.eq(decoder.tag), is_segment.eq(decoder.is_segment), job.eq(decoder.job),
                entry.eq(decoder.entry), index.eq(decoder.index),
                mask.eq(Cat(decoder.rows[r] & decoder.columns[c] for r in range(self.config.rows)
                            for c in range(self.config.columns))),
                touches.eq(Cat((decoder.index >= low) & (decoder.index <= high) for low, high in ranges).any())]
        with m.Elif(go):
            m.d.sync += valid.eq(0)

        # From registers; a RUN on its way to the lanes is not in them yet.
        ready, generating, recent = Signal(), Signal(), Signal(3)
        m.d.sync += [
            ready.eq(Cat(lane["ready"] for lane in every).all()), recent.eq(Cat(start, recent)),
            generating.eq(Cat(lane["generating"] for lane in every).any())]
        m.d.comb += [
            go.eq(valid & order.i.ready & Mux(
                tag == RUN, ready & ~recent.any(), ~(is_segment & touches & (generating | recent.any())))),
            start.eq(go & (tag == RUN)), order.i.valid.eq(go), order.i.payload.eq(Cat(tag, mask))]
        with m.If(start):
            (low, high), before = ranges
            m.d.sync += [low.eq(job.seg_first), high.eq(job.seg_last), before[0].eq(low), before[1].eq(high)]
        with m.If(go & tag.matches(ILLEGAL, RANGE)):
            m.d.sync += failed.eq(1)
        starts, work = Signal(len(every)), Signal.like(job)
        write, at, what = Signal(), Signal.like(index), Signal.like(entry)
        m.d.sync += [starts.eq(Mux(start, mask, 0)), work.eq(job), at.eq(index), what.eq(entry),
                     write.eq(go & is_segment & (tag == SET))]
        for n, lane in enumerate(every):
            m.d.comb += [lane["start"].eq(starts[n]), lane["job"].eq(work), lane["segment_write"].eq(write),
                         lane["segment_index"].eq(at), lane["segment"].eq(what)]
        self._report(m, every, order)

        walking = Signal(range(len(every) + 1))
        m.d.comb += walking.eq(reduce(add, (lane["walking"] for lane in every)))
        m.d.sync += [self.busy.eq(walking), self.active.eq(walking),
                     self.empty.eq(reduce(add, (lane["empty"] for lane in every)))]

    def _report(self, m: Module, every: list[dict[str, Signal]], order: Fifo) -> None:
        """Give ``done`` and ``error`` in the order of the commands."""
        tag, mask = order.o.payload[:2], order.o.payload[2:]
        pop, is_run = Signal(), Signal()
        there, ahead = [], []
        m.d.comb += is_run.eq(tag == RUN)
        for n, lane in enumerate(every):
            finished = Signal(range(_IN_FLIGHT + 1), name=f"finished{n}")
            m.d.sync += finished.eq(finished + lane["done"] - (pop & is_run & mask[n]))
            there.append((finished != 0) | ~mask[n])
            ahead.append((finished != 0) & ~lane["walking"])
        m.d.comb += [pop.eq(order.o.valid & (~is_run | Cat(there).all())), order.o.ready.eq(pop)]
        m.d.sync += [
            self.ahead.eq(Mux(pop, 0, reduce(add, ahead))),
            self.done.eq(pop & tag.matches(SET, RUN)), self.error.eq(pop & tag.matches(ILLEGAL, RANGE)),
            self.code.eq(Mux(tag == RANGE, OUT_OF_RANGE, ILLEGAL_COMMAND))]


def build_grid(config: Config) -> Grid:
    """Return the grid of a configuration."""
    return Grid(config) if config.skip == "none" else SkippingGrid(config)
