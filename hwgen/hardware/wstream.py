"""WSTREAM and CODEBOOK: weight streams to the weight memories of the lanes, decoded."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.golden.machine_weights import NEEDS
from hwgen.hardware.delay import delayed
from hwgen.hardware.fifo import Fifo
from hwgen.hardware.interfaces import (
    ACT_READ_LATENCY,
    CORRUPT,
    buffer_read,
    payload_layout,
    row_marks,
    weight_bus,
    worker_ports,
)
from hwgen.hardware.lane_walk import LaneWalk
from hwgen.hardware.select import pick
from hwgen.hardware.weight_decoder import TAG_LAST, WeightDecoder
from hwgen.hardware.weight_zero import zero_point
from hwgen.hardware.wfetch import WeightFetch
from hwgen.isa import BY_NAME, Format

ILLEGAL, OUTSIDE = 1, 3
AHEAD = 8
"""Words of values under way and waiting."""


class WeightStream(wiring.Component):
    """Worker module WFETCH of a machine with ``weight_formats``: a DMA word of weights a cycle.

    The weight buffer is read a word a cycle, at two places: marks when none wait, else values as far as there is room.
    The command stays on the port until its last word has been decoded. Errors come instead of ``done``; words that are
    on their way then may still reach the lanes. After one nothing more is accepted. WF_ZERO takes a cycle.

    Ports
    -----
    cmd, done, error, code : see `interfaces.worker_ports`; ``done`` comes one cycle after the last word on the bus.
    read : weight buffer.
    bus : weight words to the lanes.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.derived = config, Derived(config)
        super().__init__({**worker_ports(), "read": Out(buffer_read(config)), "bus": Out(weight_bus(config))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c, d = self.config, self.derived
        p = data.View(payload_layout("WSTREAM"), self.cmd.payload.payload)
        book = data.View(payload_layout("CODEBOOK"), self.cmd.payload.payload)
        is_book = self.cmd.payload.op == BY_NAME["CODEBOOK"].code
        running, halted, illegal, outside = Signal(), Signal(), Signal(), Signal()
        parsing, unindexed = Signal(), Signal()
        start, end, good = Signal(), Signal(21), Signal()
        rows_end = Signal() if d.leaves_rows else None
        walk, opened = LaneWalk(m, c, p, d.leaves_out, rows_end), Signal()
        fields = {"addr": walk.at[:len(walk.dst) - 1], "rows": walk.rows, "columns": walk.columns,
                  "log2_nbe": walk.log2_nbe} | ({"fresh": ~opened} if d.leaves_out else {})
        tag = Cat(walk.end, *fields.values())
        m.submodules.decoder = decoder = WeightDecoder(c, len(tag))
        if d.leaves_out:
            m.d.comb += [walk.jump.eq(decoder.jump), decoder.free.eq(walk.free)]
            with m.If(start):
                m.d.sync += opened.eq(0)
            with m.Elif(decoder.step):
                m.d.sync += opened.eq(~walk.row_end)
        if rows_end is not None:
            m.d.comb += rows_end.eq(decoder.row_end)

        idle, taken = self.cmd.valid & ~running & ~halted, None
        if d.weight_zero:
            taken, zero = zero_point(m, self.cmd, ~running & ~halted)
            idle &= ~taken
            m.d.comb += decoder.zero.eq(zero)
        m.d.comb += [
            start.eq(idle), decoder.start.eq(start),
            end.eq(p.src + Mux(is_book, self._book_words(book), p.marks + p.values)),
            decoder.format.eq(p.format), decoder.bits.eq(p.bits), decoder.codebook.eq(p.codebook),
            decoder.values.eq(p.values), decoder.tag.eq(tag), decoder.tagged.eq(parsing & good),
            good.eq(running & ~illegal & ~outside)]
        queue, more_marks = self._reader(m, decoder, p, is_book, start, end, good)
        book_ends, loaded = self._codebook(m, decoder, queue, book.log2_entries, is_book & good)

        # Marks must end with the last word, and the last word with them.
        # They are told a cycle later; the last word is not on the bus before.
        unplaced, fault = Signal(), Signal()
        m.d.sync += [
            unplaced.eq(good & decoder.step & walk.outside),
            fault.eq(good & ~is_book & (
                unindexed | decoder.short | decoder.long | decoder.wrong | (parsing & decoder.idle & ~more_marks)
                | (decoder.step & walk.end & (more_marks | decoder.spare))))]
        with m.If(decoder.step):
            walk.step(m)
            m.d.sync += parsing.eq(~walk.end)
        last = decoder.valid & decoder.out_tag[TAG_LAST]
        bad = illegal | outside | unplaced | fault
        ends = running & (last | book_ends | bad)
        m.d.comb += self.cmd.ready.eq(ends if taken is None else ends | taken)
        with m.If(ends):
            m.d.sync += [running.eq(0), halted.eq(bad)]
        with m.If(start):
            walk.start(m)
            m.d.sync += [
                running.eq(1), parsing.eq(~is_book), outside.eq(end > d.weight_words),
                illegal.eq(Mux(is_book, self._bad_book(book.log2_entries), self._bad_stream(p))),
                unindexed.eq(~is_book & p.codebook & (p.bits >= loaded))]

        m.d.comb += [self.bus.valid.eq(decoder.valid & running & ~bad), self.bus.data.eq(decoder.out)]
        at = 1
        for name, value in fields.items():
            m.d.comb += getattr(self.bus, name).eq(decoder.out_tag[at:at + len(value)])
            at += len(value)
        if "wide" in row_marks(c):
            m.d.comb += self.bus.wide.eq(p.format == int(Format.VECTOR))
        done = ends & ~bad
        m.d.sync += [self.done.eq(done if taken is None else done | taken), self.error.eq(running & bad), self.code.eq(
            Mux(illegal, ILLEGAL, Mux(outside | unplaced, OUTSIDE, CORRUPT)))]
        return m

    def _bad_stream(self, p: data.View) -> Value:
        """Whether the machine cannot read such a stream."""
        built = [int(f) for f, name in NEEDS.items() if name in self.config.weight_formats]
        wrong = (self.cmd.payload.op != BY_NAME["WSTREAM"].code) | (p.count == 0) | (p.groups == 0)
        wrong |= ~p.format.matches(*built)
        if self.derived.leaves_out:
            # Words before it would be marked as zero.
            d, row = self.derived, Const(self.derived.bits_words - 1)
            row = Mux(p.format == int(Format.VECTOR), d.vector_row - 1, row) if d.leaves_rows else row
            wrong |= (p.dst & row).any()
        return wrong if self.config.codebook else wrong | p.codebook

    def _bad_book(self, log2_entries: Value) -> Value:
        return (log2_entries == 0) | (log2_entries > max(0, self.config.codebook.bit_length() - 1))

    def _book_words(self, book: data.View) -> Value:
        """DMA words of a codebook."""
        log = (self.derived.dma_bytes - 1).bit_length()
        return Cat((book.log2_entries == n) | ((book.log2_entries <= log) if n == log else 0) for n in range(log, 9))

    def _reader(self, m: Module, decoder: WeightDecoder, p: data.View, is_book: Value, start: Signal, end: Signal,
                good: Signal) -> tuple[Fifo, Value]:
        """Read the buffer; returns the queue of values, and whether marks are still to come or wait."""
        d = self.derived
        mark_at, value_at = Signal(range(d.weight_words)), Signal(range(d.weight_words))
        marks_left, values_left, asked = Signal(14), Signal(16), Signal()
        mark, value, popped = Signal(), Signal(), Signal()
        room = Signal(range(AHEAD + 1), init=AHEAD)
        m.submodules.queue = queue = Fifo(8 * d.dma_bytes, AHEAD)
        m.d.comb += [
            mark.eq(good & (marks_left != 0) & decoder.mark_wanted & ~asked),
            value.eq(good & ~mark & (values_left != 0) & (room != 0)),
            self.read.en.eq(mark | value), self.read.addr.eq(Mux(mark, mark_at, value_at))]
        arrives = delayed(m, Cat(mark, value), ACT_READ_LATENCY, "arrives")
        m.d.comb += [
            decoder.mark.eq(arrives[0]), decoder.word.eq(self.read.data), queue.i.valid.eq(arrives[1]),
            queue.i.payload.eq(self.read.data), decoder.value_valid.eq(queue.o.valid & ~is_book),
            decoder.value.eq(queue.o.payload), popped.eq(queue.o.valid & queue.o.ready)]
        with m.If(mark):
            m.d.sync += [mark_at.eq(mark_at + 1), marks_left.eq(marks_left - 1), asked.eq(1)]
        with m.Elif(arrives[0]):
            m.d.sync += asked.eq(0)
        with m.If(value):
            m.d.sync += [value_at.eq(value_at + 1), values_left.eq(values_left - 1)]
        m.d.sync += room.eq(room + popped - value)
        with m.If(start):
            m.d.sync += [
                mark_at.eq(p.src), value_at.eq(p.src + Mux(is_book, 0, p.marks)),
                marks_left.eq(Mux(is_book, 0, p.marks)), values_left.eq(Mux(is_book, end - p.src, p.values))]
        return queue, (marks_left != 0) | asked | ~decoder.mark_wanted

    def _codebook(
        self, m: Module, decoder: WeightDecoder, queue: Fifo, log2_entries: Value, active: Value
    ) -> tuple[Value, Value]:
        """Write the codebook, a byte a cycle; returns whether that is its last one, and the bits of an index."""
        width = self.derived.dma_bytes
        loaded = Signal(4)
        if not self.config.codebook:
            m.d.comb += queue.o.ready.eq(decoder.value_ready)
            return Signal(name="no_book"), loaded
        log = (width - 1).bit_length()
        at, write, ends = Signal(8), Signal(), Signal()
        full = Cat(log2_entries > n for n in range(8))
        m.d.comb += [
            write.eq(active & queue.o.valid), ends.eq(write & (at == full)),
            decoder.book_write.eq(write), decoder.book_addr.eq(at),
            decoder.book_data.eq(pick([queue.o.payload.word_select(n, 8) for n in range(width)], at[:log])),
            queue.o.ready.eq(Mux(active, ends | at[:log].all(), decoder.value_ready))]
        with m.If(write):
            m.d.sync += at.eq(Mux(ends, 0, at + 1))
        with m.If(ends):
            m.d.sync += loaded.eq(log2_entries)
        return ends, loaded


def build_wfetch(config: Config) -> WeightFetch | WeightStream:
    """Return the weight fetcher of a configuration."""
    return WeightStream(config) if config.weight_formats else WeightFetch(config)
