"""LOAD of a machine with packed maps: blocks go through a `MapDecoder`."""

from __future__ import annotations

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import Out

from hwgen.config import Config
from hwgen.golden.packed_map import GROUP
from hwgen.hardware.axi import Skid
from hwgen.hardware.bank_hash import group_of
from hwgen.hardware.dma import Splitter
from hwgen.hardware.fifo import Fifo
from hwgen.hardware.interfaces import CORRUPT, SLOT_BITS, lengths_read, payload_layout
from hwgen.hardware.load import AHEAD, Load
from hwgen.hardware.map_decoder import JobLayout, MapDecoder
from hwgen.hardware.packed_store import judge_blocks
from hwgen.isa import BY_NAME, Buffer


class PackedLoad(Load):
    """`Load` that also unpacks.

    A LOAD_PACKED is cut into blocks, whose lengths come from the table; a block takes the place of a command in the
    queue of what was asked for. The range of addresses is checked block by block, before the block is asked for. Plain
    words behind packed ones wait until these are out of the decoder.

    Errors: those of `Load`, and 5: bits and length of a block disagree, or none of its size was stored.

    Ports: those of `Load`, and ``lengths``.
    """

    def __init__(self, config: Config) -> None:
        super().__init__(config, {"lengths": Out(lengths_read())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        info = data.StructLayout({"buffer": 2, "count": 20, "code": 4, "packed": 1, "bitmaps": 6, "job": JobLayout})
        m.submodules.ahead = ahead = Fifo(info, AHEAD)
        self._address_side(m, ahead)
        self._data_side(m, ahead)
        return m

    def _address_side(self, m: Module, ahead: Fifo) -> None:
        """Accept, check, cut into blocks and hand to the splitter; bad ones only leave their code for the data side."""
        d, entry = self.derived, ahead.i.p
        shift = d.dma_bytes.bit_length() - 1
        log = (d.dma_bytes * 8 // self.config.axi_bits).bit_length() - 1
        m.submodules.splitter = splitter = Splitter(self.config.axi_bits, 20 + log)
        plain = data.View(payload_layout("LOAD"), self.cmd.p.payload)
        new = data.View(payload_layout("LOAD_PACKED"), self.cmd.p.payload)
        verdict, end, room = Signal(4), Signal(33), Signal(21)
        self._judge(m, plain, room, end, verdict)
        packs = self.cmd.p.op == BY_NAME["LOAD_PACKED"].code
        with m.If(packs):
            m.d.comb += verdict.eq(judge_blocks(new, shift))
        valid, packed, code, left = Signal(), Signal(), Signal(4), Signal(11)
        dram, dst, count, slot = Signal(33), Signal(21), Signal(20), Signal(SLOT_BITS)
        block, bitmaps, zero_point, buffer = Signal(9), Signal(6), Signal(8), Signal(2)
        looked, known, good, move = Signal(), Signal(), Signal(), Signal()
        """A block is looked up, then judged."""
        m.d.comb += [
            self.cmd.ready.eq(~valid), good.eq(code == 0), self.lengths.slot.eq(slot),
            move.eq(valid & known & ahead.i.ready & (splitter.i.ready | ~good)),
            ahead.i.valid.eq(move),
            entry.buffer.eq(buffer), entry.count.eq(count), entry.code.eq(code), entry.packed.eq(packed),
            entry.bitmaps.eq(bitmaps), entry.job.block.eq(block), entry.job.zero_point.eq(zero_point),
            entry.job.dst.eq(dst), entry.job.final.eq(~packed | (left == 1) | ~good),
            splitter.i.valid.eq(valid & known & ahead.i.ready & good),
            splitter.i.p.address.eq(dram), splitter.i.p.beats.eq(count << log),
            self.request.valid.eq(splitter.o.valid), self.request.payload.eq(splitter.o.payload),
            splitter.o.ready.eq(self.request.ready),
        ]
        with m.If(~valid):
            m.d.sync += [
                valid.eq(self.cmd.valid), packed.eq(packs), code.eq(verdict), dram.eq(plain.dram),
                count.eq(plain.count), dst.eq(Mux(packs, new.dst, plain.dst)),
                buffer.eq(Mux(packs, Buffer.ACT, plain.buffer)),
                left.eq(new.blocks), block.eq(new.block), zero_point.eq(new.zero_point), slot.eq(new.slot),
                bitmaps.eq((new.block + GROUP - 1) >> (GROUP - 1).bit_length()),
                looked.eq(0), known.eq(~packs | (verdict != 0))]
        with m.Elif(~looked & ~known):
            m.d.sync += looked.eq(1)
        with m.Elif(~known):
            length = self.lengths.length
            outside = ((dst + block > d.act_words // d.dma_words)
                       | (dram + ((block + bitmaps) << shift) > 1 << 32))
            stored = (length > bitmaps) & (length <= block + bitmaps)
            m.d.sync += [known.eq(1), count.eq(length), code.eq(Mux(outside, 3, Mux(stored, 0, CORRUPT)))]
        with m.Elif(move):
            m.d.sync += [valid.eq(~entry.job.final), looked.eq(0), known.eq(0), left.eq(left - 1), slot.eq(slot + 1),
                         dram.eq(dram + ((block + bitmaps) << shift)), dst.eq(dst + block)]

    def _data_side(self, m: Module, ahead: Fifo) -> None:
        """Collect beats into words, unpack those of blocks, and write them."""
        d, head = self.derived, ahead.o.p
        m.submodules.decoder = decoder = MapDecoder(d.dma_bytes)
        item = data.StructLayout({"data": 8 * d.dma_bytes, "dst": 20, "group": len(self.act.group), "buffer": 2,
                                  "last": 1, "failed": 1, "corrupt": 1})
        m.submodules.skid = skid = Skid(item)
        position, after, bits = Signal(20), Signal(20, init=1), Signal(init=1)
        """Words of the entry so far, and whether the next one, of a block, is of its bits."""
        word, ends, take, complete = Signal(8 * d.dma_bytes), Signal(), Signal(), Signal()
        failed, fails, following = Signal(), Signal(), Signal(20)
        unpacked, i = decoder.o, decoder.i.p
        m.d.comb += [
            take.eq(self.beats.valid & self.beats.ready),
            self.beats.ready.eq(ahead.o.valid & (head.code == 0)
                                & Mux(head.packed, decoder.i.ready, skid.i.ready & decoder.idle)),
            ends.eq(after == head.count), fails.eq(failed | self.beats.p.error),
            decoder.i.valid.eq(complete & head.packed), i.data.eq(word), i.first.eq(position == 0), i.bits.eq(bits),
            i.last.eq(ends), i.failed.eq(fails), i.job.eq(head.job),
            unpacked.ready.eq(skid.i.ready),
            skid.i.valid.eq(unpacked.valid | (complete & ~head.packed)),
            following.eq(Mux(unpacked.valid, unpacked.p.dst, head.job.dst + position)),
            skid.i.p.dst.eq(following), skid.i.p.group.eq(group_of(self.config, following)),
        ]
        # Not under m.If: the group, a constant where there is one, would be undefined on Icarus.
        plain = {"data": word, "buffer": head.buffer, "last": ends, "failed": fails, "corrupt": Const(0, 1)}
        m.d.comb += [skid.i.p[n].eq(Mux(unpacked.valid, Buffer.ACT if n == "buffer" else unpacked.p[n], value))
                     for n, value in plain.items()]
        self._join(m, take, complete, word)
        with m.If(take):
            m.d.sync += failed.eq(fails & ~(complete & ends & head.job.final))
        with m.If(complete):
            m.d.sync += [position.eq(Mux(ends, 0, after)), after.eq(Mux(ends, 1, after + 1)),
                         bits.eq(ends | ~head.packed | (bits & (after != head.bitmaps)))]

        bad, finished, out = Signal(), Signal(), skid.o.p
        m.d.comb += [
            bad.eq(ahead.o.valid & (head.code != 0) & ~skid.o.valid & decoder.idle),
            ahead.o.ready.eq((complete & ends) | bad),
            skid.o.ready.eq((out.buffer != Buffer.ACT) | self.act.ready),
            finished.eq(skid.o.valid & skid.o.ready & out.last),
        ]
        m.d.sync += [
            self.done.eq(finished & ~out.failed & ~out.corrupt),
            self.error.eq((finished & (out.failed | out.corrupt)) | bad),
            self.code.eq(Mux(bad, head.code, Mux(out.failed, 4, CORRUPT))),
        ]
        self._write(m, skid)
