"""The accelerator: wires every unit between one AXI4-Lite slave and one AXI4 master."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, ClockDomain, DomainRenamer, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from hwgen import isa
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.act_buffer import ActBuffer
from hwgen.hardware.afetch import ActFetch
from hwgen.hardware.axi import axi4
from hwgen.hardware.dma import ReadMaster
from hwgen.hardware.lengths import build_dma
from hwgen.hardware.post import Post
from hwgen.hardware.registers import AxiLite, Registers
from hwgen.hardware.sequencer import Sequencer
from hwgen.hardware.skipping_grid import build_grid
from hwgen.hardware.word_buffer import WordBuffer
from hwgen.hardware.wstream import build_wfetch
from hwgen.registers import counters

TOP_MODULE = "hwgen_top"


class Top(wiring.Component):
    """The whole machine; ports are flat so that the Verilog has the usual names.

    Ports: ``clk``, ``rst`` (synchronous), ``s_axi_*`` (AXI4-Lite), ``m_axi_*`` (AXI4), ``irq`` (level).

    A soft reset first lets the AXI transfers in flight end, then resets everything except the host's registers.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        ports = {"clk": In(1), "rst": In(1), "irq": Out(1)}
        for name, member in AxiLite.members.items():
            ports[f"s_axi_{name}"] = member.flip()
        for name, member in axi4(config.axi_bits).members.items():
            ports[f"m_axi_{name}"] = member
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        reset = Signal(init=1)
        """From a register: it reaches everything."""
        m.domains.sync = core = ClockDomain()
        m.domains.host = host = ClockDomain()
        m.d.comb += [core.clk.eq(self.clk), host.clk.eq(self.clk), host.rst.eq(self.rst), core.rst.eq(reset)]

        registers = Registers(self.config)
        m.submodules.registers = DomainRenamer("host")(registers)
        for name, member in AxiLite.members.items():
            outer, inner = getattr(self, f"s_axi_{name}"), getattr(registers.bus, name)
            m.d.comb += inner.eq(outer) if member.flow == Out else outer.eq(inner)
        m.d.comb += self.irq.eq(registers.irq)

        m.submodules.sequencer = sequencer = Sequencer(self.config)
        m.submodules.read_master = reader = ReadMaster(self.config)
        workers = self._workers(m, reader, sequencer)
        self._master_port(m, reader.axi, workers[isa.Module.STORE].axi, reset)
        connect(m, sequencer.request, reader.command)
        connect(m, reader.command_data, sequencer.beats)
        self._host(m, registers, sequencer, reader, workers, reset)
        return m

    def _workers(self, m: Module, reader: ReadMaster, sequencer: Sequencer) -> dict[isa.Module, Any]:
        c, d = self.config, Derived(self.config)
        m.submodules.act_buffer = act = ActBuffer(c)
        m.submodules.weight_buffer = weight = WordBuffer(c, d.weight_words)
        m.submodules.param_buffer = param = WordBuffer(c, d.param_words)
        load, store = build_dma(m, c)
        wfetch, afetch, grid, post = build_wfetch(c), ActFetch(c), build_grid(c), Post(c)
        workers: dict[isa.Module, Any] = {
            isa.Module.LOAD: load,
            isa.Module.WFETCH: wfetch,
            isa.Module.AFETCH: afetch,
            isa.Module.GRID: grid,
            isa.Module.POST: post,
            isa.Module.STORE: store,
        }
        for module, worker in workers.items():
            m.submodules[module.name.lower()] = worker
            connect(m, getattr(sequencer, f"cmd_{int(module)}"), worker.cmd)
            for pin in ("done", "error", "code"):
                m.d.comb += getattr(sequencer, f"{pin}_{int(module)}").eq(getattr(worker, pin))
        connect(m, load.request, reader.load)
        connect(m, reader.load_data, load.beats)
        connect(m, load.act, act.load)
        connect(m, load.weight, weight.write)
        connect(m, load.param, param.write)
        connect(m, store.act, act.store)
        connect(m, wfetch.read, weight.read)
        connect(m, wfetch.bus, grid.weights)
        for i in range(c.columns):
            connect(m, afetch.reads[i], act.fetch[i])
            connect(m, afetch.buses[i], grid.patches[i])
        for i in range(d.pipes):
            connect(m, post.drain[i], grid.drain[i])
            connect(m, post.writes[i], act.post_write[i])
        for i in range(len(act.post_read)):
            connect(m, post.reads[i], act.post_read[i])
        connect(m, post.param, param.read)
        m.d.comb += sequencer.walking.eq(grid.active != 0)
        self._trace(m, post)
        return workers

    def _trace(self, m: Module, post: Post) -> None:
        """Name the result writes for the network bench; it costs nothing in hardware."""
        for name, parts in (
            ("valid", [w.valid & w.ready for w in post.writes]),
            ("addr", [w.addr for w in post.writes]),
            ("mask", [w.mask for w in post.writes]),
            ("data", [w.data for w in post.writes]),
        ):
            traced = Signal(len(Cat(parts)), name=f"trace_result_{name}")
            m.d.comb += traced.eq(Cat(parts))

    def _master_port(
        self, m: Module, read: wiring.PureInterface, write: wiring.PureInterface, reset: Signal
    ) -> None:
        """AR and R belong to the read master, AW, W and B to STORE."""
        for name, member in axi4(self.config.axi_bits).members.items():
            owner, other = (
                (read, write)
                if name[:2] == "ar" or name in ("rid", "rdata", "rresp", "rlast", "rvalid", "rready")
                else (write, read)
            )
            outer = getattr(self, f"m_axi_{name}")
            if name in ("arvalid", "awvalid", "wvalid"):
                # The reset reaches the owners a cycle late.
                m.d.comb += outer.eq(getattr(owner, name) & ~reset)
            elif member.flow == Out:
                m.d.comb += outer.eq(getattr(owner, name))
            else:
                m.d.comb += getattr(owner, name).eq(outer)
                m.d.comb += getattr(other, name).eq(0)

    def _host(
        self,
        m: Module,
        registers: Registers,
        sequencer: Sequencer,
        reader: ReadMaster,
        workers: dict[isa.Module, Any],
        reset: Signal,
    ) -> None:
        """Status, counters, and the soft reset: stop, wait until the bus is quiet, reset for a cycle."""
        store, grid = workers[isa.Module.STORE], workers[isa.Module.GRID]
        resetting = Signal()
        m.d.comb += [
            sequencer.start.eq(registers.start & ~resetting),
            sequencer.address.eq(registers.cmd_addr),
            sequencer.count.eq(registers.cmd_count),
            sequencer.watchdog.eq(registers.watchdog),
            sequencer.halt.eq(resetting),
            reader.stop.eq(resetting),
            store.stop.eq(resetting),
            registers.busy.eq(sequencer.busy | resetting),
            registers.done.eq(sequencer.done & ~resetting & ~reset),
            registers.error.eq(sequencer.error & ~resetting & ~reset),
            registers.code.eq(sequencer.code),
            registers.module.eq(sequencer.module),
            registers.index.eq(sequencer.index),
            registers.reset_done.eq(reset),
        ]
        m.d.host += reset.eq(resetting & reader.idle & store.idle & ~reset)
        with m.If(registers.soft_reset):
            m.d.host += resetting.eq(1)
        with m.Elif(reset):
            m.d.host += resetting.eq(0)
        # Nothing is counted after the end, so a host reads final values whenever it likes.
        counts = {
            "cycles": sequencer.busy,
            "lane_cycles": grid.busy,
            "multiplies": grid.active * self.config.vector,
            "read_bytes": reader.beat,
            "write_bytes": store.beat,
            **{
                name: sequencer.stall[i]
                for i, name in enumerate(("stall_wfetch", "stall_afetch", "stall_post", "stall_load", "stall_command"))
            },
        }
        if self.config.skip != "none":
            counts |= {"empty_windows": grid.empty, "imbalance": grid.ahead}
        for i, (name, _) in enumerate(counters(self.config)):
            m.d.comb += getattr(registers, f"add_{i}").eq(counts[name])
