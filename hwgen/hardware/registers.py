"""AXI4-Lite slave built from the register table (`hwgen.registers`)."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen import registers as table
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.counters import Counters

AxiLite = wiring.Signature(
    {
        "awaddr": Out(table.ADDRESS_BITS),
        "awprot": Out(3),
        "awvalid": Out(1),
        "awready": In(1),
        "wdata": Out(32),
        "wstrb": Out(4),
        "wvalid": Out(1),
        "wready": In(1),
        "bresp": In(2),
        "bvalid": In(1),
        "bready": Out(1),
        "araddr": Out(table.ADDRESS_BITS),
        "arprot": Out(3),
        "arvalid": Out(1),
        "arready": In(1),
        "rdata": In(32),
        "rresp": In(2),
        "rvalid": In(1),
        "rready": Out(1),
    }
)
"""AXI4-Lite seen from the master."""

SLVERR = 2


def counter_widths(config: Config) -> tuple[int, ...]:
    """Return the increment width of every counter of the table."""
    lanes = Derived(config).lanes.bit_length()
    wide = dict.fromkeys(("lane_cycles", "empty_windows", "imbalance"), lanes)
    wide["multiplies"] = Derived(config).multipliers.bit_length()
    return tuple(wide.get(name, 1) for name, _ in table.counters(config))


class Registers(wiring.Component):
    """Host interface: control and status registers, counters, interrupt.

    A write is accepted in one cycle (address and data together); ``start`` follows one cycle later. A register
    that does not exist, or a write to a read-only one, is answered with SLVERR. Reads of counters take one turn of
    the counter memory longer, so after ``done`` they are exact.

    Ports
    -----
    bus : AXI4-Lite slave.
    start, soft_reset : one-cycle pulses.
    cmd_addr, cmd_count, watchdog : what the host has set.
    busy : the machine runs or resets. done, error (with code, module, index) : pulses.
    reset_done : pulse, a soft reset has been carried out.
    add_<i> : increments of the counters, in the order of `hwgen.registers.counters` (beats, not bytes, for AXI).
    irq : interrupt, level.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        super().__init__(
            {
                "bus": In(AxiLite),
                "start": Out(1),
                "soft_reset": Out(1),
                "cmd_addr": Out(32),
                "cmd_count": Out(24),
                "watchdog": Out(32),
                "busy": In(1),
                "done": In(1),
                "error": In(1),
                "code": In(4),
                "module": In(4),
                "index": In(24),
                "reset_done": In(1),
                "irq": Out(1),
                **{f"add_{i}": In(w) for i, w in enumerate(counter_widths(config))},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        irq_enable, done, pending, failed = Signal(), Signal(), Signal(), Signal()
        code, module, index = Signal(4), Signal(4), Signal(24)
        writable: dict[tuple[str, str], Signal] = {
            ("CTRL", "irq_enable"): irq_enable,
            ("CMD_ADDR", "address"): self.cmd_addr,
            ("CMD_COUNT", "count"): self.cmd_count,
            ("WATCHDOG", "cycles"): self.watchdog,
            ("CTRL", "start"): self.start,
            ("CTRL", "soft_reset"): self.soft_reset,
            ("STATUS", "irq"): pending,
        }
        readable = {
            **writable,
            ("STATUS", "busy"): self.busy,
            ("STATUS", "done"): done,
            ("STATUS", "error"): failed,
            ("ERROR", "code"): code,
            ("ERROR", "module"): module,
            ("ERROR", "index"): index,
        }

        m.d.sync += [self.start.eq(0), self.soft_reset.eq(0)]
        self._write(m, writable)
        self._read(m, readable)

        with m.If(self.start):
            m.d.sync += done.eq(0)
        with m.If(self.reset_done):
            m.d.sync += [done.eq(0), failed.eq(0), pending.eq(0), code.eq(0), module.eq(0), index.eq(0)]
        with m.If(self.done):
            m.d.sync += [done.eq(1), pending.eq(1)]
        with m.If(self.error):
            m.d.sync += [failed.eq(1), pending.eq(1), code.eq(self.code), module.eq(self.module), index.eq(self.index)]
        m.d.comb += self.irq.eq(pending & irq_enable)
        return m

    def _write(self, m: Module, writable: dict[tuple[str, str], Signal]) -> None:
        bus, good = self.bus, Signal()
        take = Signal()
        m.d.comb += [
            take.eq(bus.awvalid & bus.wvalid & (~bus.bvalid | bus.bready)),
            bus.awready.eq(take),
            bus.wready.eq(take),
        ]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(take):
            m.d.sync += [bus.bvalid.eq(1), bus.bresp.eq(Mux(good, 0, SLVERR))]
        with m.Switch(bus.awaddr[2:]):
            for register in (r for r in table.REGISTERS if r.writable):
                with m.Case(register.offset >> 2):
                    m.d.comb += good.eq(1)
                    with m.If(take):
                        for bits in (b for b in register.bits if b.access != "ro"):
                            self._write_bits(m, writable[register.name, bits.name], bits)

    def _write_bits(self, m: Module, target: Signal, bits: table.Bits) -> None:
        for byte in range(4):
            low, high = max(bits.low, 8 * byte), min(bits.low + bits.width, 8 * byte + 8)
            if low >= high:
                continue
            new = self.bus.wdata[low:high]
            part = target[low - bits.low : high - bits.low]
            with m.If(self.bus.wstrb[byte]):
                m.d.sync += part.eq(part & ~new if bits.access == "w1c" else new)

    def _read(self, m: Module, readable: dict[tuple[str, str], Signal]) -> None:
        bus = self.bus
        m.submodules.counters = counters = Counters(counter_widths(self.config))
        for i in range(len(counters.widths)):
            m.d.comb += getattr(counters, f"add_{i}").eq(getattr(self, f"add_{i}"))
        m.d.comb += counters.clear.eq(self.start & ~self.busy)
        fixed = table.constants(self.config)
        word, good, address = Signal(32), Signal(), Signal(table.ADDRESS_BITS - 2)
        wait = Signal(range(counters.turn + 1))
        asked = Signal()
        shift = (self.config.axi_bits // 8).bit_length() - 1
        count = Signal(64)
        m.d.comb += [counters.index.eq((address - (table.COUNTER_BASE >> 2)) >> 1), count.eq(counters.value)]
        with m.Switch(address):
            for register in table.registers(self.config):
                with m.Case(register.offset >> 2):
                    m.d.comb += good.eq(1)
                    if register.name in fixed:
                        m.d.comb += word.eq(fixed[register.name])
                    elif register.offset >= table.COUNTER_BASE:
                        value: Value = count << shift if "BYTES" in register.name else count
                        m.d.comb += word.eq(value[32:64] if register.offset & 4 else value[:32])
                    else:
                        for b in register.bits:
                            if b.access != "w1s":
                                m.d.comb += word[b.low : b.low + b.width].eq(readable[register.name, b.name])
        m.d.comb += bus.arready.eq(~asked & ~bus.rvalid)
        with m.If(bus.arready & bus.arvalid):
            m.d.sync += [
                asked.eq(1),
                address.eq(bus.araddr[2:]),
                wait.eq(Mux(bus.araddr >= table.COUNTER_BASE, counters.turn, 0)),
            ]
        with m.If(asked):
            m.d.sync += wait.eq(wait - 1)
            with m.If(wait == 0):
                m.d.sync += [asked.eq(0), bus.rvalid.eq(1), bus.rdata.eq(word), bus.rresp.eq(Mux(good, 0, SLVERR))]
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += bus.rvalid.eq(0)
