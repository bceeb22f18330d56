"""STORE of a machine with packed maps: words go through the ring of a `MapEncoder`."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import Out

from hwgen.config import Config
from hwgen.golden.packed_map import GROUP, bitmap_words
from hwgen.hardware.axi import BURST_BEATS
from hwgen.hardware.dma import Splitter
from hwgen.hardware.fifo import Fifo
from hwgen.hardware.interfaces import LENGTH_BITS, SLOT_BITS, lengths_write, payload_layout
from hwgen.hardware.map_encoder import MapEncoder
from hwgen.hardware.store import BURSTS, Store
from hwgen.isa import BY_NAME, LONGEST_BLOCK, SLOTS

PIECE = BURST_BEATS
"""DMA words of a plain STORE that are asked for together; pieces end at multiples of it."""
JOBS = 4
TARGETS = 8
"""Blocks that are read or packed, and those that are not sent yet."""


class PackedStore(Store):
    """`Store` that also packs.

    A command is cut into blocks (a plain one into pieces). Each passes three queues: words are read for it, it is
    packed into the ring, its bursts are asked for when it is there and its length is known; then it leaves the ring.
    The range of addresses is checked block by block, before the block is read.

    Ports: those of `Store`, and ``lengths``: the length of every packed block.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config, {"lengths": Out(lengths_write())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.pieces = pieces = Fifo(data.StructLayout({"src": 20, "words_minus_1": 8}), 4)
        m.submodules.jobs = jobs = Fifo(data.StructLayout({
            "packed": 1, "zero_point": 8, "bitmaps": bitmap_words(LONGEST_BLOCK).bit_length()}), JOBS)
        m.submodules.targets = targets = Fifo(data.StructLayout({
            "dram": 32, "slot": SLOT_BITS, "packed": 1, "final": 1, "code": 4}), TARGETS)
        m.submodules.answers = answers = Fifo(data.StructLayout({"code": 4, "last": 1}), BURSTS)
        self._cut(m, pieces, jobs, targets)
        m.submodules.encoder = encoder = MapEncoder(self.derived.dma_bytes)
        words, i = self._words(m, pieces, LONGEST_BLOCK), encoder.i
        taken = Signal()
        m.d.comb += [
            i.valid.eq(words.o.valid & jobs.o.valid), taken.eq(i.valid & i.ready),
            words.o.ready.eq(taken), jobs.o.ready.eq(taken & words.o.p.last),
            i.p.data.eq(words.o.p.data), i.p.last.eq(words.o.p.last), i.p.packed.eq(jobs.o.p.packed),
            i.p.zero_point.eq(jobs.o.p.zero_point), i.p.bitmaps.eq(jobs.o.p.bitmaps),
        ]
        self._send(m, self._burst_words(m, encoder, self._bursts(m, encoder, targets, answers)))
        self._responses(m, answers)
        return m

    def _cut(self, m: Module, pieces: Fifo, jobs: Fifo, targets: Fifo) -> None:
        """Cut commands into blocks, one every second cycle."""
        d = self.derived
        shift, capacity = d.dma_bytes.bit_length() - 1, d.act_words // d.dma_words
        plain = data.View(payload_layout("STORE"), self.cmd.p.payload)
        new = data.View(payload_layout("STORE_PACKED"), self.cmd.p.payload)
        verdict, end = Signal(4), Signal(33)
        self._judge(m, plain, end, verdict)
        packs = self.cmd.p.op == BY_NAME["STORE_PACKED"].code
        with m.If(packs):
            m.d.comb += verdict.eq(judge_blocks(new, shift))
        valid, known, packed, code, left = Signal(), Signal(), Signal(), Signal(4), Signal(20)
        dram, src, block, bitmaps = Signal(33), Signal(21), Signal(9), Signal(6)
        zero_point, slot = Signal(8), Signal(range(SLOTS))
        words, step, fault, final = Signal(9), Signal(9), Signal(4), Signal()
        fire = Signal()
        m.d.comb += [
            self.cmd.ready.eq(~valid),
            fire.eq(known & targets.i.ready & ((fault != 0) | (pieces.i.ready & jobs.i.ready))),
            pieces.i.valid.eq(fire & (fault == 0)), jobs.i.valid.eq(fire & (fault == 0)), targets.i.valid.eq(fire),
            pieces.i.p.src.eq(src), pieces.i.p.words_minus_1.eq(words - 1),
            jobs.i.p.packed.eq(packed), jobs.i.p.zero_point.eq(zero_point),
            jobs.i.p.bitmaps.eq(Mux(packed, bitmaps, 0)),
            targets.i.p.dram.eq(dram), targets.i.p.slot.eq(slot), targets.i.p.packed.eq(packed),
            targets.i.p.final.eq(final), targets.i.p.code.eq(fault),
        ]
        with m.If(~valid):
            m.d.sync += [
                valid.eq(self.cmd.valid), packed.eq(packs), code.eq(verdict), dram.eq(plain.dram), src.eq(plain.src),
                left.eq(Mux(packs, new.blocks, plain.count)), block.eq(new.block),
                bitmaps.eq((new.block + GROUP - 1) >> (GROUP - 1).bit_length()), zero_point.eq(new.zero_point),
                slot.eq(new.slot)]
        with m.Elif(~known):
            whole = PIECE - dram[shift:][:(PIECE - 1).bit_length()]
            outside = packed & ((src + block > capacity) | (dram + ((block + bitmaps) << shift) > 1 << 32))
            bad = Mux(outside & (code == 0), 3, code)
            rest = Mux(left < whole, left, whole)
            m.d.sync += [
                known.eq(1), words.eq(Mux(packed, block, rest)), step.eq(Mux(packed, block + bitmaps, rest)),
                fault.eq(bad), final.eq((bad != 0) | Mux(packed, left == 1, left <= whole))]
        with m.Elif(fire):
            m.d.sync += [known.eq(0), valid.eq(~final), dram.eq(dram + (step << shift)), src.eq(src + words),
                         left.eq(left - Mux(packed, 1, words)), slot.eq(slot + 1)]

    def _bursts(self, m: Module, encoder: MapEncoder, targets: Fifo, answers: Fifo) -> Fifo:
        """Ask for the bursts of blocks that are in the ring; returns their beats."""
        axi, target = self.axi, targets.o.p
        log = (self.derived.dma_bytes * 8 // self.config.axi_bits).bit_length() - 1
        m.submodules.splitter = splitter = Splitter(self.config.axi_bits, LENGTH_BITS + log)
        m.submodules.beats = beats = Fifo(8, 4)
        good, bad, begin, fire, final = Signal(), Signal(), Signal(), Signal(), Signal()
        out = splitter.o
        m.d.comb += [
            good.eq(targets.o.valid & (target.code == 0) & encoder.length.valid),
            # Behind the bursts before it: order of ``done`` and ``error``.
            bad.eq(targets.o.valid & (target.code != 0) & ~out.valid & answers.i.ready),
            splitter.i.valid.eq(good), splitter.i.p.address.eq(target.dram),
            splitter.i.p.beats.eq(encoder.length.payload << log),
            begin.eq(good & splitter.i.ready), encoder.length.ready.eq(begin), targets.o.ready.eq(begin | bad),
            self.lengths.en.eq(begin & target.packed), self.lengths.slot.eq(target.slot),
            self.lengths.length.eq(encoder.length.payload),
            out.ready.eq((~axi.awvalid | axi.awready) & beats.i.ready & answers.i.ready & ~self.stop),
            fire.eq(out.valid & out.ready),
            beats.i.valid.eq(fire), beats.i.payload.eq(out.p.beats_minus_1),
            answers.i.valid.eq(fire | bad), answers.i.p.code.eq(Mux(bad, target.code, 0)),
            answers.i.p.last.eq(bad | (splitter.last & final)),
        ]
        with m.If(begin):
            m.d.sync += final.eq(target.final)
        self._ask(m, fire, out.p)
        return beats

    def _burst_words(self, m: Module, encoder: MapEncoder, beats: Fifo) -> wiring.PureInterface:
        """Cut the words that leave the ring into the bursts that were asked for."""
        log = (self.derived.dma_bytes * 8 // self.config.axi_bits).bit_length() - 1
        out = stream.Signature(data.StructLayout({"data": 8 * self.derived.dma_bytes, "last": 1})).create()
        sent = Signal(8)
        m.d.comb += [
            out.valid.eq(encoder.o.valid & beats.o.valid), out.p.data.eq(encoder.o.payload),
            out.p.last.eq(sent == beats.o.payload >> log), encoder.o.ready.eq(out.ready & beats.o.valid),
            beats.o.ready.eq(out.valid & out.ready & out.p.last),
        ]
        with m.If(out.valid & out.ready):
            m.d.sync += sent.eq(Mux(out.p.last, 0, sent + 1))
        return out


def judge_blocks(new: data.View, shift: int) -> Value:
    """Return the code of a LOAD_PACKED or STORE_PACKED that must not be executed, else 0; ``shift``: log2 of D."""
    malformed = new.dram[:shift].any() | (new.blocks == 0) | (new.block == 0) | (new.block > LONGEST_BLOCK)
    return Mux(malformed, 1, Mux(new.slot + new.blocks > SLOTS, 3, 0))
