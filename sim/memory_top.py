"""Small tops for the benches of the fetchers: each with the memory it reads, other ports left to the bench."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.act_buffer import POST_READS, ActBuffer
from hwgen.hardware.afetch import ActFetch
from hwgen.hardware.bank_hash import banked_read, banked_write, grouped_read, grouped_write
from hwgen.hardware.interfaces import buffer_write, patch_bus, weight_bus, worker_ports
from hwgen.hardware.word_buffer import WordBuffer
from hwgen.hardware.wstream import build_wfetch


class ActFetchTop(wiring.Component):
    """AFETCH on an activation buffer; ``grants`` tells when the engines' reads are served."""

    def __init__(self, config: Config) -> None:
        self.config, d = config, Derived(config)
        super().__init__({
            **worker_ports(), "buses": Out(patch_bus(config)).array(config.columns), "requests": Out(config.columns),
            "grants": Out(config.columns), "post_read": In(banked_read(config)).array(POST_READS),
            "store": In(grouped_read(config)), "post_write": In(banked_write(config)).array(d.pipes),
            "load": In(grouped_write(config))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = ActFetch(self.config)
        m.submodules.act_buffer = act = ActBuffer(self.config)
        for pin in ("done", "error", "code"):
            m.d.comb += getattr(self, pin).eq(getattr(unit, pin))
        connect(m, flipped(self.cmd), unit.cmd)
        for i in range(self.config.columns):
            connect(m, unit.reads[i], act.fetch[i])
            connect(m, unit.buses[i], flipped(self.buses[i]))
            m.d.comb += [self.requests[i].eq(unit.reads[i].valid), self.grants[i].eq(unit.reads[i].ready)]
        for name in ("post_read", "post_write"):
            for outer, inner in zip(getattr(self, name), getattr(act, name), strict=True):
                connect(m, flipped(outer), inner)
        connect(m, flipped(self.store), act.store)
        connect(m, flipped(self.load), act.load)
        return m


class WeightFetchTop(wiring.Component):
    """The weight fetcher of a configuration on a weight buffer."""

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__({**worker_ports(), "bus": Out(weight_bus(config)), "write": In(buffer_write(config))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = unit = build_wfetch(self.config)
        m.submodules.weight_buffer = buffer = WordBuffer(
            self.config, Derived(self.config).weight_words)
        for pin in ("done", "error", "code"):
            m.d.comb += getattr(self, pin).eq(getattr(unit, pin))
        connect(m, flipped(self.cmd), unit.cmd)
        connect(m, unit.bus, flipped(self.bus))
        connect(m, unit.read, buffer.read)
        connect(m, flipped(self.write), buffer.write)
        return m
