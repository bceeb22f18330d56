"""WFETCH: copy weight buffer words to the weight memories of the lanes, lane group after lane group."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.delay import delayed
from hwgen.hardware.interfaces import ACT_READ_LATENCY, buffer_read, payload_layout, weight_bus, worker_ports
from hwgen.hardware.lane_walk import LaneWalk, clipped
from hwgen.hardware.weight_zero import less_zero, zero_point
from hwgen.isa import BY_NAME

ILLEGAL, OUTSIDE = 1, 3


class WeightFetch(wiring.Component):
    """Worker module WFETCH: one DMA word a cycle, one idle cycle between commands (`hwgen/timing.py`).

    The command stays on the port until its last word is requested, so that restarts need no copy of it. Each address is
    checked before its access. Errors travel with the words and stay in order; after one nothing more is accepted.
    WF_ZERO (with `Derived.weight_zero`) takes one cycle; the zero point travels with the words, too.

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
        p = data.View(payload_layout("WFETCH"), self.cmd.payload.payload)
        src, running, halted, illegal = Signal(d.weight_words.bit_length()), Signal(), Signal(), Signal()
        walk = LaneWalk(m, c, p)
        bad, step = Signal(), Signal()
        idle = self.cmd.valid & ~running & ~halted
        ready, last, zero = running & (walk.end | bad), step & walk.end, []
        if d.weight_zero:
            taken, value = zero_point(m, self.cmd, ~running & ~halted)
            idle, ready, last, zero = idle & ~taken, ready | taken, last | taken, [value]
        m.d.comb += [
            bad.eq(illegal | (src >= d.weight_words) | walk.outside),
            step.eq(running & ~bad), self.read.en.eq(step), self.read.addr.eq(src),
            self.cmd.ready.eq(ready)]
        with m.If(running):
            m.d.sync += src.eq(src + 1)
            walk.step(m)
            m.d.sync += running.eq(~(walk.end | bad))
        with m.If(idle):
            walk.start(m)
            m.d.sync += [
                running.eq(1), src.eq(clipped(p.src, d.weight_words)),
                illegal.eq((self.cmd.payload.op != BY_NAME["WFETCH"].code) | (p.count == 0) | (p.groups == 0))]
        with m.If(running & bad):
            m.d.sync += halted.eq(1)

        # Everything that belongs to a word follows it through the buffer.
        word = Cat(step, last, running & bad, illegal, walk.dst[:-1], walk.rows, walk.columns, walk.log2_nbe, *zero)
        word = delayed(m, word, ACT_READ_LATENCY, "word")
        valid, last, fault, wrong = word[0], word[1], word[2], word[3]
        at = 4
        for target, source in ((self.bus.addr, walk.dst[:-1]), (self.bus.rows, walk.rows),
                               (self.bus.columns, walk.columns), (self.bus.log2_nbe, walk.log2_nbe)):
            m.d.comb += target.eq(word[at:at + len(source)])
            at += len(source)
        weights = less_zero(self.read.data, word[at:]) if d.weight_zero else self.read.data
        m.d.comb += [self.bus.valid.eq(valid), self.bus.data.eq(weights)]
        m.d.sync += [self.done.eq(last), self.error.eq(fault), self.code.eq(Mux(wrong, ILLEGAL, OUTSIDE))]
        return m

