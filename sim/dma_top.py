"""LOAD, STORE and read master with their buffers, for the DMA bench."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.act_buffer import ActBuffer
from hwgen.hardware.axi import BurstLayout, axi4, read_beat
from hwgen.hardware.dma import ReadMaster
from hwgen.hardware.interfaces import CommandLayout, buffer_read
from hwgen.hardware.lengths import build_dma
from hwgen.hardware.word_buffer import WordBuffer


class DmaTop(wiring.Component):
    """LOAD and STORE on one AXI port.

    Ports: ``axi``; ``load_*``, ``store_*``: worker ports;
    ``fetch``, ``fetched``: command client; ``weight``, ``param``: reads.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        workers: dict[str, wiring.Member] = {}
        for name in ("load", "store"):
            workers |= {
                f"{name}_cmd": In(stream.Signature(CommandLayout)),
                f"{name}_done": Out(1),
                f"{name}_error": Out(1),
                f"{name}_code": Out(4),
            }
        super().__init__(
            workers
            | {
                "axi": Out(axi4(config.axi_bits)),
                "fetch": In(stream.Signature(BurstLayout)),
                "fetched": Out(stream.Signature(read_beat(config.axi_bits))),
                "weight": In(buffer_read(config)),
                "param": In(buffer_read(config)),
                "stop": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c, d = self.config, Derived(self.config)
        m.submodules.reader = reader = ReadMaster(c)
        m.submodules.act = act = ActBuffer(c)
        m.submodules.weight_buffer = weight = WordBuffer(c, d.weight_words)
        m.submodules.param_buffer = param = WordBuffer(c, d.param_words)
        load, store = build_dma(m, c)
        m.submodules.load, m.submodules.store = load, store
        for name, worker in (("load", load), ("store", store)):
            connect(m, flipped(getattr(self, f"{name}_cmd")), worker.cmd)
            m.d.comb += [getattr(self, f"{name}_{pin}").eq(getattr(worker, pin)) for pin in ("done", "error", "code")]
        connect(m, load.request, reader.load)
        connect(m, reader.load_data, load.beats)
        connect(m, load.act, act.load)
        connect(m, load.weight, weight.write)
        connect(m, load.param, param.write)
        connect(m, store.act, act.store)
        connect(m, flipped(self.weight), weight.read)
        connect(m, flipped(self.param), param.read)
        connect(m, flipped(self.fetch), reader.command)
        connect(m, reader.command_data, flipped(self.fetched))
        for name, member in axi4(c.axi_bits).members.items():
            owner = reader.axi if name.startswith(("ar", "r")) else store.axi
            outer, inner = getattr(self.axi, name), getattr(owner, name)
            m.d.comb += outer.eq(inner) if member.flow == Out else inner.eq(outer)
        m.d.comb += [reader.stop.eq(self.stop), store.stop.eq(self.stop), self.idle.eq(reader.idle & store.idle)]
        return m
