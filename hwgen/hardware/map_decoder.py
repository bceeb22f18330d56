"""Unpacks blocks of a map (`hwgen.golden.packed_map`): a word a cycle, while their bits and bytes arrive in time.

=====  ==============================================================================
cycle  work
=====  ==============================================================================
0      bits of the next word from the queue of bitmap words; how many bytes it takes
1      these bytes from two neighbouring words of the queue of bytes
2      every byte to its place, the zero point elsewhere
=====  ==============================================================================

Bits of the next block are queued while this one is unpacked. The last word of bytes of a block is marked: bits that
want more than it has, or less, are an error. Such a block is given out all the same, with its length and wrong values.
"""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hwgen.golden.packed_map import GROUP, bitmap_words
from hwgen.hardware.fifo import Fifo
from hwgen.hardware.ranks import ranks
from hwgen.hardware.select import pick
from hwgen.isa import LONGEST_BLOCK

JOBS = 4
BYTES = 16
BITMAPS = 2 * bitmap_words(LONGEST_BLOCK)

JobLayout = data.StructLayout({"block": bits_for(LONGEST_BLOCK), "zero_point": 8, "dst": 20, "final": 1})
"""A block: words, byte to fill in, first address, and whether it is the last one of its command."""


def packed_layout(width: int) -> data.StructLayout:
    """Return a word of a packed block: ``first`` of it (``job`` counts), ``bits`` or bytes, ``last`` of it, ``failed``
    when it or an earlier one of its command came with an error response."""
    return data.StructLayout({"data": 8 * width, "first": 1, "bits": 1, "last": 1, "failed": 1, "job": JobLayout})


def unpacked_layout(width: int) -> data.StructLayout:
    """Return a word with its address; ``last`` of its command; with it ``failed`` or ``corrupt``."""
    return data.StructLayout({"data": 8 * width, "dst": 20, "last": 1, "failed": 1, "corrupt": 1})


class MapDecoder(wiring.Component):
    """Ports: ``i``: words of packed blocks. ``o``: words. ``idle``: nothing inside.

    Parameters
    ----------
    width : int
        D, bytes of a word: at least 8, a power of two.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__({"i": In(stream.Signature(packed_layout(width))),
                          "o": Out(stream.Signature(unpacked_layout(width))), "idle": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width, i = self.width, self.i.p
        m.submodules.jobs = jobs = Fifo(JobLayout, JOBS)
        m.submodules.bitmaps = bitmaps = SyncFIFOBuffered(width=8 * width, depth=BITMAPS)
        byte_word = data.StructLayout({"data": 8 * width, "last": 1, "failed": 1})
        m.submodules.words = words = Fifo(byte_word, BYTES)
        taken = self.i.valid & self.i.ready
        m.d.comb += [
            self.i.ready.eq((jobs.i.ready | ~i.first) & Mux(i.bits, bitmaps.w_rdy, words.i.ready)),
            jobs.i.valid.eq(taken & i.first), jobs.i.payload.eq(i.job),
            bitmaps.w_en.eq(taken & i.bits), bitmaps.w_data.eq(i.data),
            words.i.valid.eq(taken & ~i.bits), words.i.p.data.eq(i.data), words.i.p.last.eq(i.last),
            words.i.p.failed.eq(i.failed),
        ]
        mask, on = self._bits(m, jobs, bitmaps)
        self._bytes(m, words, Signal(byte_word, name="low", reset_less=True), mask, on)
        m.d.comb += self.idle.eq(~jobs.o.valid & ~mask.valid & ~self.o.valid)
        return m

    def _bits(self, m: Module, jobs: Fifo, bitmaps: SyncFIFOBuffered) -> tuple[data.View, Signal]:
        """Cycle 0: take the bits of a word whenever ``on``."""
        width, job = self.width, jobs.o.p
        count = bits_for(width)
        mask = Signal(data.StructLayout({
            "valid": 1, "bits": width, "ranks": data.ArrayLayout(count, width), "need": count, "last": 1, "final": 1,
            "zero_point": 8, "dst": 20}), name="mask")
        on, number, there, last = Signal(), Signal(range(LONGEST_BLOCK)), Signal(), Signal()
        now, turn = Signal(width), number[:(GROUP - 1).bit_length()]
        m.d.comb += [
            there.eq(jobs.o.valid & bitmaps.r_rdy), now.eq(bitmaps.r_data.word_select(turn, width)),
            last.eq(number == job.block - 1),
            bitmaps.r_en.eq(on & there & (last | (turn == GROUP - 1))), jobs.o.ready.eq(on & there & last),
        ]
        *lower, need = ranks(m, now)
        with m.If(on):
            m.d.sync += [mask.valid.eq(there), mask.bits.eq(now), mask.need.eq(need), mask.last.eq(last),
                         mask.final.eq(job.final), mask.zero_point.eq(job.zero_point), mask.dst.eq(job.dst + number)]
            m.d.sync += [mask.ranks[n].eq(rank) for n, rank in enumerate(lower)]
            with m.If(there):
                m.d.sync += number.eq(Mux(last, 0, number + 1))
        return mask, on

    def _bytes(self, m: Module, words: Fifo, low: data.View, mask: data.View, on: Signal) -> None:
        """Cycles 1 and 2. ``low`` is the word that bytes are taken of from ``offset`` on, the queue's head the next."""
        width, head = self.width, words.o
        low_valid = Signal()
        offset, dry, started, draining = Signal(range(width)), Signal(), Signal(), Signal()
        """``dry``: the block's last byte word is used up. ``started``: the block has bytes. ``draining``: words of a
        block that had less bits are dropped."""
        lost, wrong = Signal(), Signal()
        end, beyond, whole, exact, short = Signal(range(2 * width + 1)), Signal(), Signal(), Signal(), Signal()
        go, free, pop, load = Signal(), Signal(), Signal(), Signal()
        corrupt, failed = Signal(), Signal()
        m.d.comb += [
            end.eq(offset + mask.need), beyond.eq(end > width), whole.eq(end >= width),
            free.eq(~self.o.valid | self.o.ready), on.eq(~mask.valid | go),
            go.eq(mask.valid & free & ~draining & (dry | low_valid | ((mask.need == 0) & ~mask.last))
                  & (~beyond | dry | low.last | head.valid)),
            # More bytes wanted than there are; or words left, or a word of which nothing was wanted.
            short.eq((dry & (mask.need != 0)) | (~dry & beyond & low.last)),
            exact.eq(dry | Mux(beyond & ~low.last, head.p.last, low.last & ~(started & (end == 0)))),
            corrupt.eq(wrong | short | (mask.last & ~exact)),
            failed.eq(lost | (low_valid & low.failed) | (beyond & ~low.last & head.valid & head.p.failed)),
        ]
        # The next word becomes ``low`` when that is used up (but not the first of another block), or not there.
        m.d.comb += [
            load.eq(Mux(go & low_valid, whole & ~low.last & ~mask.last, ~low_valid & ~dry & ~draining)),
            pop.eq(load | draining | (go & mask.last & ~dry & beyond & ~low.last)),
            head.ready.eq(pop),
        ]
        with m.If(go):
            m.d.sync += [offset.eq(Mux(mask.last | dry, 0, end)), started.eq(~mask.last & (started | (mask.need != 0))),
                         lost.eq(failed & ~(mask.last & mask.final)), wrong.eq(corrupt & ~(mask.last & mask.final))]
            with m.If(mask.last):
                m.d.sync += [low_valid.eq(0), dry.eq(0),
                             draining.eq(~dry & ~low.last & ~(beyond & head.p.last))]
            with m.Elif(whole & low_valid):
                m.d.sync += [low_valid.eq(0), dry.eq(low.last)]
        with m.If(load):
            m.d.sync += [low.eq(head.p), low_valid.eq(head.valid)]
        with m.If(draining & head.valid & head.p.last):
            m.d.sync += draining.eq(0)

        wide = Cat(low.data, head.p.data)
        shifted = pick([wide[8 * n:8 * (n + width)] for n in range(width)], offset)
        found = Signal(data.StructLayout({
            "bytes": data.ArrayLayout(8, width), "bits": width, "ranks": mask.shape()["ranks"].shape, "zero_point": 8}),
            name="found", reset_less=True)
        with m.If(free):
            m.d.sync += [self.o.valid.eq(go), found.bytes.eq(shifted), found.bits.eq(mask.bits),
                         found.ranks.eq(mask.ranks), found.zero_point.eq(mask.zero_point),
                         self.o.p.dst.eq(mask.dst), self.o.p.last.eq(mask.last & mask.final),
                         self.o.p.failed.eq(failed), self.o.p.corrupt.eq(corrupt)]
        for n in range(width):
            size = bits_for(n)
            choice = pick([found.bytes[min(k, n)] for k in range(1 << size)], found.ranks[n][:size]) if n else (
                found.bytes[0])
            m.d.comb += self.o.p.data.word_select(n, 8).eq(Mux(found.bits[n], choice, found.zero_point))
