"""Event counters: small accumulators in registers, their sums in one memory that a single adder visits in turn."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

COUNTER_BITS = 48


class Counters(wiring.Component):
    """Count ``len(widths)`` events of up to ``widths[i]`` bits a cycle in 48 bits each.

    A full-width adder per counter would cost more than a lane; here one adder serves all. Every accumulator is
    wide enough for a whole turn. ``clear`` starts all counts from zero with the next cycle's events.

    Parameters
    ----------
    widths : tuple of int
        Bits of each increment.

    Ports: ``add_<i>`` increments, ``clear``, ``index`` -> ``value`` (combinational; exact once ``turn`` cycles have
    passed since the last event).
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        self.widths = widths
        self.turn = 1 << max(1, (len(widths) - 1).bit_length())
        super().__init__(
            {
                "clear": In(1),
                "index": In((self.turn - 1).bit_length()),
                "value": Out(COUNTER_BITS),
                **{f"add_{i}": In(w) for i, w in enumerate(widths)},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.sums = sums = Memory(shape=COUNTER_BITS, depth=self.turn, init=[])
        write, own, host = sums.write_port(), sums.read_port(domain="comb"), sums.read_port(domain="comb")
        at, fresh = Signal(range(self.turn)), Signal(self.turn)
        part = Signal(max(self.widths) + self.turn.bit_length())
        m.d.sync += at.eq(at + 1)
        for i, width in enumerate(self.widths):
            acc, add = Signal(width + self.turn.bit_length(), name=f"acc{i}"), getattr(self, f"add_{i}")
            m.d.sync += acc.eq(acc + add)
            with m.If(at == i):
                m.d.comb += part.eq(acc)
                m.d.sync += acc.eq(add)
            with m.If(self.clear):
                m.d.sync += acc.eq(0)
        old = Signal(COUNTER_BITS)
        with m.If(~fresh.bit_select(at, 1)):
            m.d.comb += old.eq(own.data)
        m.d.sync += fresh.bit_select(at, 1).eq(0)
        with m.If(self.clear):
            m.d.sync += fresh.eq(-1)
        m.d.comb += [
            own.addr.eq(at),
            write.addr.eq(at),
            write.en.eq(1),
            write.data.eq(old + part),
            host.addr.eq(self.index),
            self.value.eq(host.data),
        ]
        return m
