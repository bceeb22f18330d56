"""One engine of AFETCH: from a queue of words to fetch, through the activation buffer, to the lanes of a column."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.bank_hash import bank_of, banked_read
from hwgen.hardware.interfaces import ACT_READ_LATENCY, patch_bus
from hwgen.hardware.transposer import Transposer

QUEUE = 16
"""Words an engine may be behind the nest: one LUT memory; it must hold more than the words in flight before it."""
FULL = QUEUE - 4
"""``full`` from here on: three more words may follow the one after which it rises."""


def word_layout(config: Config) -> data.StructLayout:
    """Return the layout of a word to fetch: act word ``addr``, when ``inside``, for amem ``dst`` of ``rows``."""
    return data.StructLayout({
        "addr": max(1, (Derived(config).act_words - 1).bit_length()), "inside": 1, "last": 1,
        "dst": (config.amem_words - 1).bit_length(), "rows": config.rows})


class FetchEngine(wiring.Component):
    """Queue, access, zero point, optional transposition, bus.

    Ports
    -----
    push, word : append to the queue; a word whose ``rows`` are empty is neither transposed nor written.
    full : no room for more than the words already under way.
    zero_point, fill, transpose : of the map; change only when nothing is in flight.
    read, bus : activation buffer and lanes.
    written : a last word has been on the bus in an earlier cycle; ``done`` takes one of them back.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.derived = config, Derived(config)
        self.layout = word_layout(config)
        super().__init__({
            "push": In(1), "word": In(self.layout), "full": Out(1),
            "zero_point": In(signed(9)), "fill": In(signed(config.act_bits + 1)), "transpose": In(1),
            "read": Out(banked_read(config)), "bus": Out(patch_bus(config)), "written": Out(1), "done": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c, d = self.config, self.derived
        m.submodules.queue = queue = Memory(shape=self.layout, depth=QUEUE, init=[])
        write, read = queue.write_port(), queue.read_port(domain="comb")
        head, head_valid = Signal(self.layout), Signal()
        asks = Signal()
        """``head_valid & head.inside`` in one flip-flop: the path to the grant starts here."""
        count = Signal(range(QUEUE + 1))
        take, refill = Signal(), Signal()
        pushed = Signal.like(count)
        m.d.comb += [
            pushed.eq(count + self.push),
            write.data.eq(self.word), write.en.eq(self.push),
            take.eq(head_valid & (~asks | self.read.ready)),
            refill.eq((count != 0) & (~head_valid | take)),
            self.read.valid.eq(asks), self.read.addr.eq(head.addr)]
        m.d.sync += [write.addr.eq(write.addr + self.push), read.addr.eq(read.addr + refill),
                     count.eq(Mux(refill, pushed - 1, pushed)), self.full.eq(count >= FULL)]
        with m.If(take):
            m.d.sync += [head_valid.eq(0), asks.eq(0)]
        with m.If(refill):
            m.d.sync += [head_valid.eq(1), asks.eq(read.data.inside), head.eq(read.data),
                         self.read.bank.eq(bank_of(c, read.data.addr))]

        tag = data.StructLayout({"valid": 1, "write": 1, "turn": 1, "inside": 1, "last": 1,
                                 "dst": len(head.dst), "rows": c.rows})
        now = Signal(tag)
        m.d.comb += [now.valid.eq(take), now.write.eq(head.rows.any()),
                     now.turn.eq(take & head.rows.any() & self.transpose), now.inside.eq(head.inside),
                     now.last.eq(head.last), now.dst.eq(head.dst), now.rows.eq(head.rows)]
        for stage in range(ACT_READ_LATENCY):
            late = Signal(tag, name=f"tag{stage}")
            m.d.sync += late.eq(now)
            now = late

        raw, flags, out = self.read.data, now.inside.replicate(d.word), now
        if "pixel" in c.mappings:
            raw, flags, out = self._transposed(m, now, tag)
        # Selecting a bank's word and a way through the transposer is one cycle, the subtraction another.
        word, known, flag = Signal(len(raw), reset_less=True), Signal(tag), Signal(d.word, reset_less=True)
        m.d.sync += [word.eq(raw), flag.eq(flags), known.eq(out)]
        values, bits = [], c.act_bits + 1
        for j in range(d.word):
            byte = word.word_select(j, 8).as_signed()
            values.append(Mux(flag[j], (byte - self.zero_point)[:bits], self.fill[:bits]))
        last, finished = Signal(), Signal(5)
        m.d.sync += [
            self.bus.valid.eq(known.valid & known.write), self.bus.addr.eq(known.dst), self.bus.rows.eq(known.rows),
            self.bus.data.eq(Cat(values)), last.eq(known.valid & known.last),
            finished.eq(finished + last - self.done)]
        m.d.comb += self.written.eq(finished != 0)
        return m

    def _transposed(self, m: Module, now: data.View, tag: data.StructLayout) -> tuple[Value, Value, data.View]:
        """Return bytes, inside flags and tag of the next bus word, with or without a way through the transposer."""
        d = self.derived
        m.submodules.transposer = transposer = Transposer(d.word, 8, stalls=False)
        # Selects every bit: its own flip-flop, away from the one that commands wait for.
        transpose = Signal()
        m.d.sync += transpose.eq(self.transpose)
        held = Signal(tag)
        m.d.comb += [
            transposer.i.valid.eq(now.turn), transposer.o.ready.eq(1),
            transposer.i.payload.data.eq(self.read.data), transposer.i.payload.flag.eq(now.inside)]
        with m.If(transposer.block):
            m.d.sync += held.eq(now)
        out = Signal(tag)
        index = transposer.o.payload.index
        m.d.comb += out.eq(now)
        with m.If(transpose):
            m.d.comb += [
                out.eq(held),
                # held is the tag of the block's last word: size - 1 - index words before it.
                out.dst.eq(held.dst - ~index),
                out.valid.eq(transposer.o.valid | now.valid & ~now.write),
                out.write.eq(transposer.o.valid),
                out.last.eq(Mux(transposer.o.valid, held.last & index.all(), now.last))]
        raw = Mux(transpose, transposer.o.payload.data, self.read.data)
        flags = Mux(transpose, transposer.o.payload.flags, now.inside.replicate(d.word))
        return raw, flags, out
