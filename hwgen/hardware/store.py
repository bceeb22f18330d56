"""STORE: activation buffer to DRAM through the AXI4 write channels."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.axi import BURST_BEATS, axi4
from hwgen.hardware.bank_hash import group_of, grouped_read
from hwgen.hardware.dma import Splitter
from hwgen.hardware.fifo import Fifo
from hwgen.hardware.interfaces import ACT_READ_LATENCY, payload_layout, worker_ports

BUFFERED_WORDS = 8
BURSTS = 8
"""Write bursts without a response."""


class Store(wiring.Component):
    """Worker module STORE: ``done`` after the response to the last burst, so the data is in memory.

    Commands overlap: the next one is sent while responses of the previous one are outstanding.

    Errors: 1 misaligned address or no words; 3 outside the buffer or beyond 4 GiB; 5 error response.

    Ports: worker ports, ``act`` read port, ``axi`` (AW, W, B; the read channels are tied off by the owner), ``stop``
    (begin no further burst), ``idle`` (no burst without a response), ``beat`` (a beat was sent).
    """

    def __init__(self, config: Config, ports: dict[str, wiring.Member] | None = None) -> None:
        self.config, self.derived = config, Derived(config)
        super().__init__(
            worker_ports()
            | (ports or {})
            | {
                "act": Out(grouped_read(config)),
                "axi": Out(axi4(config.axi_bits)),
                "stop": In(1),
                "idle": Out(1),
                "beat": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bursts = bursts = Fifo(data.StructLayout({"src": 20, "words_minus_1": 7}), 4)
        m.submodules.answers = answers = Fifo(data.StructLayout({"code": 4, "last": 1}), BURSTS)
        self._address_side(m, bursts, answers)
        self._send(m, self._words(m, bursts).o)
        self._responses(m, answers)
        return m

    def _address_side(self, m: Module, bursts: Fifo, answers: Fifo) -> None:
        d, axi = self.derived, self.axi
        log = (d.dma_bytes * 8 // self.config.axi_bits).bit_length() - 1
        m.submodules.splitter = splitter = Splitter(self.config.axi_bits, 20 + log)
        new, c = data.View(payload_layout("STORE"), self.cmd.p.payload), Signal(payload_layout("STORE"))
        valid, verdict, code, end = Signal(), Signal(4), Signal(4), Signal(33)
        good, bad, fire, src = Signal(), Signal(), Signal(), Signal(20)
        out, last = splitter.o, splitter.last
        self._judge(m, new, end, verdict)
        m.d.comb += [
            good.eq(valid & (code == 0)),
            # A bad command joins the queue of answers only after the bursts before it: order of ``done`` and ``error``.
            bad.eq(valid & (code != 0) & ~out.valid & answers.i.ready),
            splitter.i.valid.eq(good),
            splitter.i.p.address.eq(c.dram),
            splitter.i.p.beats.eq(c.count << log),
            # Not also in the cycle in which the one before goes on: whether it does is too long a path to the queue.
            self.cmd.ready.eq(~valid),
            out.ready.eq((~axi.awvalid | axi.awready) & bursts.i.ready & answers.i.ready & ~self.stop),
            fire.eq(out.valid & out.ready),
            bursts.i.valid.eq(fire),
            bursts.i.p.src.eq(src),
            bursts.i.p.words_minus_1.eq(out.p.beats_minus_1 >> log),
            answers.i.valid.eq(fire | bad),
            answers.i.p.code.eq(Mux(bad, code, 0)),
            answers.i.p.last.eq(Mux(bad, 1, last)),
        ]
        with m.If(~valid):
            m.d.sync += [valid.eq(self.cmd.valid), c.eq(self.cmd.p.payload), code.eq(verdict)]
        with m.Elif((good & splitter.i.ready) | bad):
            m.d.sync += valid.eq(0)
        self._ask(m, fire, out.p, src.eq(src + (out.p.beats_minus_1 >> log) + 1))
        with m.If(splitter.i.valid & splitter.i.ready):
            m.d.sync += src.eq(c.src)

    def _judge(self, m: Module, new: data.View, end: Signal, verdict: Signal) -> None:
        """Set the code of a STORE that must not be executed, else 0."""
        d = self.derived
        m.d.comb += end.eq(new.dram + (new.count << (d.dma_bytes.bit_length() - 1)))
        with m.If((new.dram & (d.dma_bytes - 1)).any() | (new.count == 0)):
            m.d.comb += verdict.eq(1)
        with m.Elif((new.src + new.count > d.act_words // d.dma_words) | (end > 1 << 32)):
            m.d.comb += verdict.eq(3)

    def _ask(self, m: Module, fire: Signal, burst: data.View, *also: Any) -> None:
        """Put a burst on AW in the cycle behind ``fire``, and do ``also``."""
        axi = self.axi
        m.d.comb += [axi.awsize.eq((self.config.axi_bits // 8).bit_length() - 1), axi.awburst.eq(1),
                     axi.awcache.eq(3)]
        with m.If(axi.awready):
            m.d.sync += axi.awvalid.eq(0)
        with m.If(fire):
            m.d.sync += [axi.awvalid.eq(1), axi.awaddr.eq(burst.address), axi.awlen.eq(burst.beats_minus_1), *also]

    def _words(self, m: Module, bursts: Fifo, longest: int = BURST_BEATS) -> Fifo:
        """Read words ahead of the bus, within the room of the FIFO that is returned."""
        d, act = self.derived, self.act
        m.submodules.words = words = Fifo(data.StructLayout({"data": 8 * d.dma_bytes, "last": 1}), BUFFERED_WORDS)
        at, held = Signal(range(longest)), Signal(range(BUFFERED_WORDS + 1))
        ask, final, room = Signal(), Signal(), Signal()
        grant, following, ends, sent = Signal(), Signal(20), Signal(), Signal()
        m.d.comb += [
            act.valid.eq(ask),
            grant.eq(ask & act.ready),
            room.eq((held != BUFFERED_WORDS) & (~ask | grant)),
            following.eq(bursts.o.p.src + at),
            ends.eq(at == bursts.o.p.words_minus_1),
            bursts.o.ready.eq(room & ends),
            sent.eq(words.o.valid & words.o.ready),
        ]
        # A word is asked for from registers: its address and bank are too long a way to its grant.
        with m.If(room):
            m.d.sync += ask.eq(bursts.o.valid)
            with m.If(bursts.o.valid):
                m.d.sync += [act.addr.eq(following), act.group.eq(group_of(self.config, following)), final.eq(ends),
                             at.eq(Mux(ends, 0, at + 1))]
        with m.Elif(grant):
            m.d.sync += ask.eq(0)
        m.d.sync += held.eq(held + (room & bursts.o.valid) - sent)
        arriving = [(grant, final)]
        for _ in range(ACT_READ_LATENCY):
            one, two = Signal(), Signal()
            m.d.sync += [one.eq(arriving[-1][0]), two.eq(arriving[-1][1])]
            arriving.append((one, two))
        m.d.comb += [
            words.i.valid.eq(arriving[-1][0]),
            words.i.p.data.eq(act.data),
            words.i.p.last.eq(arriving[-1][1]),
        ]
        return words

    def _send(self, m: Module, words: wiring.PureInterface) -> None:
        """Send a stream of words whose ``last`` ends a burst."""
        axi, ratio = self.axi, self.derived.dma_bytes * 8 // self.config.axi_bits
        m.d.comb += [
            axi.wvalid.eq(words.valid),
            axi.wstrb.eq(Const(-1, self.config.axi_bits // 8)),
            self.beat.eq(axi.wvalid & axi.wready),
        ]
        if ratio == 1:
            m.d.comb += [axi.wdata.eq(words.p.data), axi.wlast.eq(words.p.last), words.ready.eq(axi.wready)]
            return
        part = Signal(range(ratio))
        width = self.config.axi_bits
        parts = Array(words.p.data[i * width : (i + 1) * width] for i in range(ratio))
        m.d.comb += [
            axi.wdata.eq(parts[part]),
            axi.wlast.eq(words.p.last & (part == ratio - 1)),
            words.ready.eq(axi.wready & (part == ratio - 1)),
        ]
        with m.If(self.beat):
            m.d.sync += part.eq(part + 1)

    def _responses(self, m: Module, answers: Fifo) -> None:
        axi, head = self.axi, answers.o
        failed, bad, finished, wrong = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            bad.eq(head.valid & (head.p.code != 0)),
            axi.bready.eq(head.valid & ~bad),
            wrong.eq(failed | axi.bresp[1]),
            finished.eq(axi.bvalid & axi.bready & head.p.last),
            head.ready.eq((axi.bvalid & axi.bready) | bad),
            self.idle.eq(~head.valid),
        ]
        m.d.sync += [
            self.done.eq(finished & ~wrong),
            self.error.eq((finished & wrong) | bad),
            self.code.eq(Mux(bad, head.p.code, 5)),
        ]
        with m.If(axi.bvalid & axi.bready):
            m.d.sync += failed.eq(wrong & ~head.p.last)
