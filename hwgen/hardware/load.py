"""LOAD: DRAM to the activation, weight or parameter buffer."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.axi import BurstLayout, Skid, read_beat
from hwgen.hardware.bank_hash import group_of, grouped_write
from hwgen.hardware.dma import Splitter
from hwgen.hardware.fifo import Fifo
from hwgen.hardware.interfaces import buffer_write, payload_layout, worker_ports
from hwgen.isa import Buffer

AHEAD = 4
"""Commands whose bursts may be requested before the data of the first has arrived."""


class Load(wiring.Component):
    """Worker module LOAD: requests run ahead of the data, so back-to-back commands keep the bus full.

    The first burst of a command is requested two cycles after it is accepted; ``done`` comes one
    cycle after the last word is written, two after it left the read master.

    Errors: 1 misaligned address, no words or unknown buffer; 3 outside a buffer or beyond 4 GiB; 4 error response.
    """

    def __init__(self, config: Config, ports: dict[str, wiring.Member] | None = None) -> None:
        self.config, self.derived = config, Derived(config)
        super().__init__(
            worker_ports()
            | (ports or {})
            | {
                "request": Out(stream.Signature(BurstLayout)),
                "beats": In(stream.Signature(read_beat(config.axi_bits))),
                "act": Out(grouped_write(config)),
                "weight": Out(buffer_write(config)),
                "param": Out(buffer_write(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        info = data.StructLayout({"buffer": 2, "dst": 20, "count": 20, "code": 4})
        m.submodules.ahead = ahead = Fifo(info, AHEAD)
        self._address_side(m, ahead)
        self._data_side(m, ahead)
        return m

    def _address_side(self, m: Module, ahead: Fifo) -> None:
        """Accept, check and hand to the splitter; bad commands only leave their code for the data side."""
        ratio = self.derived.dma_bytes * 8 // self.config.axi_bits
        log = ratio.bit_length() - 1
        m.submodules.splitter = splitter = Splitter(self.config.axi_bits, 20 + log)
        new, c = data.View(payload_layout("LOAD"), self.cmd.p.payload), Signal(payload_layout("LOAD"))
        valid, move = Signal(), Signal()
        verdict, code, room, end = Signal(4), Signal(4), Signal(21), Signal(33)
        good = Signal()
        self._judge(m, new, room, end, verdict)
        m.d.comb += [
            good.eq(code == 0),
            move.eq(valid & ahead.i.ready & (splitter.i.ready | ~good)),
            ahead.i.valid.eq(valid & (splitter.i.ready | ~good)),
            ahead.i.p.buffer.eq(c.buffer),
            ahead.i.p.dst.eq(c.dst),
            ahead.i.p.count.eq(c.count),
            ahead.i.p.code.eq(code),
            splitter.i.valid.eq(valid & ahead.i.ready & good),
            splitter.i.p.address.eq(c.dram),
            splitter.i.p.beats.eq(c.count << log),
            # Not also in the cycle in which the one before goes on: whether it does is too long a path to the queue.
            self.cmd.ready.eq(~valid),
        ]
        with m.If(~valid):
            m.d.sync += [valid.eq(self.cmd.valid), c.eq(self.cmd.p.payload), code.eq(verdict)]
        with m.Elif(move):
            m.d.sync += valid.eq(0)
        m.d.comb += [
            self.request.valid.eq(splitter.o.valid),
            self.request.payload.eq(splitter.o.payload),
            splitter.o.ready.eq(self.request.ready),
        ]

    def _judge(self, m: Module, new: data.View, room: Signal, end: Signal, verdict: Signal) -> None:
        """Set the code of a LOAD that must not be executed, else 0."""
        d = self.derived
        with m.Switch(new.buffer):
            for buffer, words in (
                (Buffer.ACT, d.act_words // d.dma_words),
                (Buffer.WEIGHT, d.weight_words),
                (Buffer.PARAM, d.param_words),
            ):
                with m.Case(buffer):
                    m.d.comb += room.eq(words)
        m.d.comb += end.eq(new.dram + (new.count << (d.dma_bytes.bit_length() - 1)))
        with m.If((new.dram & (d.dma_bytes - 1)).any() | (new.count == 0) | (new.buffer == 3)):
            m.d.comb += verdict.eq(1)
        with m.Elif((new.dst + new.count > room) | (end > 1 << 32)):
            m.d.comb += verdict.eq(3)

    def _data_side(self, m: Module, ahead: Fifo) -> None:
        """Collect beats into words and write them."""
        d = self.derived
        head, position, after = ahead.o.p, Signal(20), Signal(20, init=1)
        # A buffer of two between them: whether the activation buffer takes a word is too long a way to the beats.
        item = data.StructLayout({"data": 8 * d.dma_bytes, "dst": 20, "group": len(self.act.group), "buffer": 2,
                                  "last": 1, "failed": 1})
        m.submodules.skid = skid = Skid(item)
        word, following = skid.o.p, Signal(20)
        ends, take, complete, failed = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            take.eq(self.beats.valid & self.beats.ready),
            self.beats.ready.eq(ahead.o.valid & (head.code == 0) & skid.i.ready),
            ends.eq(after == head.count),
            following.eq(head.dst + position),
            skid.i.valid.eq(complete),
            skid.i.p.dst.eq(following),
            skid.i.p.group.eq(group_of(self.config, following)),
            skid.i.p.buffer.eq(head.buffer),
            skid.i.p.last.eq(ends),
            skid.i.p.failed.eq(failed | self.beats.p.error),
        ]
        with m.If(take):
            m.d.sync += failed.eq((failed | self.beats.p.error) & ~(complete & ends))
        self._join(m, take, complete, skid.i.p.data)
        with m.If(complete):
            m.d.sync += [position.eq(Mux(ends, 0, after)), after.eq(Mux(ends, 1, after + 1))]

        bad, finished = Signal(), Signal()
        m.d.comb += [
            bad.eq(ahead.o.valid & (head.code != 0) & ~skid.o.valid),
            ahead.o.ready.eq((complete & ends) | bad),
            skid.o.ready.eq((word.buffer != Buffer.ACT) | self.act.ready),
            finished.eq(skid.o.valid & skid.o.ready & word.last),
        ]
        m.d.sync += [
            self.done.eq(finished & ~word.failed),
            self.error.eq((finished & word.failed) | bad),
            self.code.eq(Mux(bad, head.code, 4)),
        ]
        self._write(m, skid)

    def _join(self, m: Module, take: Signal, complete: Signal, word: Signal) -> None:
        """Make words of the beats that are taken."""
        bits = self.config.axi_bits
        ratio = self.derived.dma_bytes * 8 // bits
        if ratio == 1:
            m.d.comb += [complete.eq(take), word.eq(self.beats.p.data)]
        else:
            part, below = Signal(range(ratio)), Signal(bits * (ratio - 1))
            m.d.comb += [complete.eq(take & (part == ratio - 1)), word.eq(Cat(below, self.beats.p.data))]
            with m.If(take):
                m.d.sync += [part.eq(part + 1), below.eq(Cat(below, self.beats.p.data)[bits:])]

    def _write(self, m: Module, skid: Skid) -> None:
        """Write the word on offer to its buffer."""
        word = skid.o.p
        m.d.comb += [
            self.act.valid.eq(skid.o.valid & (word.buffer == Buffer.ACT)),
            self.act.addr.eq(word.dst),
            self.act.group.eq(word.group),
            self.act.data.eq(word.data),
            self.act.mask.eq(Const(-1, self.derived.dma_bytes)),
            self.weight.en.eq(skid.o.valid & (word.buffer == Buffer.WEIGHT)),
            self.weight.addr.eq(word.dst),
            self.weight.data.eq(word.data),
            self.param.en.eq(skid.o.valid & (word.buffer == Buffer.PARAM)),
            self.param.addr.eq(word.dst),
            self.param.data.eq(word.data),
        ]
