"""WFETCH: copy weight buffer words to the weight memories of the lanes, lane group after lane group."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.delay import delayed
from hwgen.hardware.interfaces import ACT_READ_LATENCY, buffer_read, payload_layout, weight_bus, worker_ports
from hwgen.isa import BY_NAME

ILLEGAL, OUTSIDE = 1, 3


class WeightFetch(wiring.Component):
    """Worker module WFETCH: one DMA word a cycle, one idle cycle between commands (`hwgen/timing.py`).

    The command stays on the port until its last word is requested, so that restarts need no copy of it. Each address is
    checked before its access. Errors travel with the words and stay in order; after one nothing more is accepted.

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
        row_bits, column_bits, bus_bits = ((n - 1).bit_length() for n in (c.rows, c.columns, d.weight_buses))

        # One more bit than an address needs says that the address has run out of the memory.
        src, dst = Signal(d.weight_words.bit_length()), Signal(c.wmem_words.bit_length())
        left, groups = Signal(len(p.count)), Signal(len(p.groups))
        rows, columns, log2_nbe = Signal(c.rows), Signal(c.columns), Signal(range(max(2, bus_bits + 1)))
        running, halted, illegal = Signal(), Signal(), Signal()
        start_rows, start_columns = Signal(c.rows), Signal(c.columns)
        start_nbe = Mux(p.log2_rc < bus_bits, p.log2_rc, bus_bits)
        with m.Switch(p.log2_rc):
            for k in range(row_bits + 1):
                with m.Case(k):
                    m.d.comb += start_rows.eq(
                        sum(1 << r for r in range(c.rows) if r % (1 << k) < d.weight_buses))
        with m.Switch(p.log2_cc):
            for k in range(column_bits + 1):
                with m.Case(k):
                    m.d.comb += start_columns.eq(sum(1 << n for n in range(0, c.columns, 1 << k)))

        group_end, end, bad, step = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            group_end.eq(left == 1), end.eq(group_end & (groups == 1)),
            bad.eq(illegal | (src >= d.weight_words) | dst[-1] | ~rows.any() | ~columns.any()),
            step.eq(running & ~bad), self.read.en.eq(step), self.read.addr.eq(src),
            self.cmd.ready.eq(running & (end | bad))]
        with m.If(running):
            m.d.sync += [src.eq(src + 1), dst.eq(dst + 1), left.eq(left - 1)]
            with m.If(group_end):
                m.d.sync += [left.eq(p.count), dst.eq(_clipped(p.dst, c.wmem_words)), groups.eq(groups - 1)]
                turned = Signal(c.rows)
                with m.Switch(log2_nbe):
                    for k in range(bus_bits + 1):
                        with m.Case(k):
                            m.d.comb += turned.eq(rows.rotate_left(1 << k))
                m.d.sync += rows.eq(turned)
                with m.If(turned[0]):
                    # All groups along the rows are served. The next column group; past the last one no column is left.
                    m.d.sync += columns.eq(columns << 1)
                    with m.If(columns[-1]):
                        m.d.sync += columns.eq(0)
            m.d.sync += running.eq(~(end | bad))
        with m.If(self.cmd.valid & ~running & ~halted):
            m.d.sync += [
                running.eq(1), rows.eq(start_rows), columns.eq(start_columns), log2_nbe.eq(start_nbe),
                src.eq(_clipped(p.src, d.weight_words)), dst.eq(_clipped(p.dst, c.wmem_words)),
                left.eq(p.count), groups.eq(p.groups),
                illegal.eq((self.cmd.payload.op != BY_NAME["WFETCH"].code) | (p.count == 0) | (p.groups == 0)),
            ]
        with m.If(running & bad):
            m.d.sync += halted.eq(1)

        # Everything that belongs to a word follows it through the buffer.
        word = Cat(step, step & end, running & bad, illegal, dst[:-1], rows, columns, log2_nbe)
        word = delayed(m, word, ACT_READ_LATENCY, "word")
        valid, last, fault, wrong = word[0], word[1], word[2], word[3]
        at = 4
        for target, source in ((self.bus.addr, dst[:-1]), (self.bus.rows, rows), (self.bus.columns, columns),
                               (self.bus.log2_nbe, log2_nbe)):
            m.d.comb += target.eq(word[at:at + len(source)])
            at += len(source)
        m.d.comb += [self.bus.valid.eq(valid), self.bus.data.eq(self.read.data)]
        m.d.sync += [self.done.eq(last), self.error.eq(fault), self.code.eq(Mux(wrong, ILLEGAL, OUTSIDE))]
        return m


def _clipped(value: Value, limit: int) -> Value:
    """Return ``value`` in as many bits as ``limit`` has, or ``limit`` when it is larger."""
    bits = limit.bit_length()
    return Mux(value[bits:].any(), limit, value[:bits])
