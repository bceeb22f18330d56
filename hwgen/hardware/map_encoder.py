"""Packs blocks of a map: leaves out the bytes that are the zero point and puts a bit a byte in front.

The format is that of `hwgen.golden.packed_map`. Bits and length come before the bytes on their way to DRAM but are only
known after them, so a block is written to a ring memory and leaves it when it is complete.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hwgen.golden.packed_map import GROUP, bitmap_words
from hwgen.hardware.interfaces import LENGTH_BITS
from hwgen.hardware.ranks import ranks
from hwgen.hardware.select import one_of, pick
from hwgen.isa import LONGEST_BLOCK

RING = 512
"""Words of the ring memory; the longest packed block has 288."""
SPARE = 40
"""Words that are kept free of the ring: the bits of a block, and what is under way when it is seen to be full."""


def word_layout(width: int) -> data.StructLayout:
    """Return a word of ``width`` bytes for `MapEncoder`, with what holds for its whole block.

    ``packed``: pack it (otherwise the block goes as it is); ``bitmaps``: words of bits (0 unless ``packed``).
    """
    return data.StructLayout({"data": 8 * width, "last": 1, "packed": 1, "zero_point": 8,
                              "bitmaps": bits_for(bitmap_words(LONGEST_BLOCK))})


class MapEncoder(wiring.Component):
    """Takes a word a cycle, but for bitmap words that find no free cycle of the ring, and three cycles a block.

    Parameters
    ----------
    width : int
        D, bytes of a word: at least 8, a power of two.

    Ports
    -----
    i : words of blocks. o : words of completed blocks, those of one behind those of the other.
    length : of each completed block, in words.
    """

    def __init__(self, width: int) -> None:
        self.width = width
        super().__init__({
            "i": In(stream.Signature(word_layout(width))),
            "o": Out(stream.Signature(8 * width)),
            "length": Out(stream.Signature(LENGTH_BITS)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width, pointer = self.width, RING.bit_length()
        m.submodules.ring = ring = Memory(shape=8 * width, depth=RING, init=[])
        write = ring.write_port()
        word, valid, step = self._compacted(m)
        at, bits_at, base = Signal(pointer), Signal(pointer), Signal(pointer)
        """Where the next bytes and the next bits go, and where the block begins."""
        closed, read_at, room = Signal(pointer), Signal(pointer), Signal()
        m.d.sync += room.eq((at - read_at)[:pointer] < RING - SPARE)

        # Bytes: those of earlier words that do not fill a word yet, and the word's own behind them.
        fill, held = Signal(range(width)), Signal(8 * width)
        total, joined = Signal(range(2 * width)), Signal(16 * width)
        full, wrote = Signal(), Signal()
        m.d.comb += [
            total.eq(fill + word.count), full.eq(total >= width),
            joined.eq(pick([Cat(Const(0, 8 * n), word.data, Const(0, 8 * (width - n))) for n in range(width)], fill)
                      | held),
        ]
        # Bits: `GROUP` words' fill a word, which waits for a cycle without bytes.
        k, bits, ended = Signal(range(GROUP)), Signal(8 * width), Signal()
        waiting, waits = Signal(8 * width, reset_less=True), Signal()
        grown = Signal(8 * width)
        m.d.comb += [
            ended.eq(word.packed & (word.last | (k == GROUP - 1))),
            grown.eq(bits), grown.word_select(k, width).eq(word.mask),
        ]
        opened, closing = Signal(), Signal()
        flush = closing & ((fill != 0) | ~wrote)
        bytes_now = step & full | flush
        m.d.comb += [
            step.eq(valid & opened & ~closing & room & ~(ended & waits & full)),
            write.en.eq(bytes_now | waits),
            write.addr.eq(Mux(bytes_now, at, bits_at)),
            write.data.eq(Mux(bytes_now, Mux(closing, held, joined[:8 * width]), waiting)),
        ]
        with m.If(waits & ~bytes_now):
            m.d.sync += [waits.eq(0), bits_at.eq(bits_at + 1)]
        with m.If(bytes_now):
            m.d.sync += [at.eq(at + 1), wrote.eq(1)]
        with m.If(valid & ~opened & room):
            m.d.sync += [opened.eq(1), wrote.eq(0), base.eq(at), bits_at.eq(at), at.eq(at + word.bitmaps)]
        with m.If(step):
            m.d.sync += [fill.eq(total), held.eq(Mux(full, joined[8 * width:], joined)), closing.eq(word.last),
                         k.eq(k + 1), bits.eq(grown)]
            with m.If(ended):
                m.d.sync += [waits.eq(1), waiting.eq(grown), k.eq(0), bits.eq(0)]
        with m.If(flush):
            m.d.sync += [fill.eq(0), held.eq(0)]
        done = closing & ~flush & ~waits
        m.d.comb += [self.length.valid.eq(done), self.length.payload.eq(at - base)]
        with m.If(done & self.length.ready):
            m.d.sync += [closing.eq(0), opened.eq(0), k.eq(0), bits.eq(0), closed.eq(at)]
        self._read(m, ring, closed, read_at)
        return m

    def _compacted(self, m: Module) -> tuple[data.View, Signal, Signal]:
        """Two stages: which bytes are kept, and these at the front of the word; returns it and the pulse to go on."""
        width, step = self.width, Signal()
        i = self.i.p
        one = Signal(data.StructLayout({**{n: f.shape for n, f in i.shape() if n != "zero_point"}, "mask": width}),
                     name="one", reset_less=True)
        two = Signal(data.StructLayout({**{n: f.shape for n, f in one.shape()}, "count": bits_for(width)}),
                     name="two", reset_less=True)
        one_valid, two_valid, on, go = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [on.eq(~two_valid | step), go.eq(~one_valid | on), self.i.ready.eq(go)]
        with m.If(go):
            m.d.sync += one_valid.eq(self.i.valid)
            m.d.sync += [one[n].eq(i[n]) for n in ("data", "last", "packed", "bitmaps")]
            m.d.sync += one.mask.eq(Cat(~i.packed | (i.data.word_select(j, 8) != i.zero_point) for j in range(width)))
        rank = ranks(m, one.mask)
        source = [one.data.word_select(j, 8) for j in range(width)]
        front = []
        for k in range(width):
            chosen = Signal(width - k, name=f"chosen{k}")
            m.d.comb += chosen.eq(Cat(one.mask[j] & (rank[j] == k) for j in range(k, width)))
            front.append(one_of(source[k:], chosen))
        with m.If(on):
            m.d.sync += two_valid.eq(one_valid)
            m.d.sync += [two[n].eq(one[n]) for n in ("last", "packed", "bitmaps", "mask")]
            m.d.sync += [two.data.eq(Cat(front)), two.count.eq(rank[width])]
        return two, two_valid, step

    def _read(self, m: Module, ring: Memory, closed: Signal, read_at: Signal) -> None:
        """Offer the words of completed blocks; the memory's own output register holds the word on offer."""
        read, free = ring.read_port(), Signal()
        m.d.comb += [free.eq(~self.o.valid | self.o.ready), read.en.eq(free), read.addr.eq(read_at),
                     self.o.payload.eq(read.data)]
        with m.If(free):
            m.d.sync += self.o.valid.eq(read_at != closed)
            with m.If(read_at != closed):
                m.d.sync += read_at.eq(read_at + 1)
