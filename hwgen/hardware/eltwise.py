"""Operand path of ELTWISE: A minus its zero point, shifted left by 19, plus the rescaled B from a table.

B is one of 256 values and its rescaling constants change once a layer, so a unit computes all 256 results once (`FILL`
cycles after PO_ADD, beside other work) and every element has a table of them in a block RAM. A multiplier, a shifter
and a rounding adder per element would cost about 2000 LUT4 and 14 multiplier blocks more for eight elements.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

LATENCY = 3
"""Cycles from the vectors to ``acc``."""

FILL = 256 + 8
"""Cycles from ``start`` until the table is complete."""

OPERANDS = data.StructLayout({"zp_a": signed(9), "zp_b": signed(9), "add": 1, "multiplier_b": 32, "shift_b": 6})

_ENTRY = signed(32)


class AddTable(wiring.Component):
    """Writes ``rb`` of the contract for all 256 bytes B.

    Attributes
    ----------
    start, operands : In
        Compute for ``operands``, constant until ``busy`` falls.
    busy, write, address, value : Out
    """

    def __init__(self) -> None:
        super().__init__({"start": In(1), "operands": In(OPERANDS), "busy": Out(1), "write": Out(1), "address": Out(8),
                          "value": Out(_ENTRY)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        at, walking = Signal(8), Signal()
        valid = Signal(6)
        m.d.sync += valid.eq(Cat(walking, valid))
        m.d.sync += self.busy.eq(self.start | walking | valid.any())
        with m.If(walking):
            m.d.sync += at.eq(at + 1)
            with m.If(at.all()):
                m.d.sync += walking.eq(0)
        with m.If(self.start):
            m.d.sync += walking.eq(1)

        b = Signal(signed(10))
        parts = [Signal(signed(27)), Signal(signed(26))]
        product, h = Signal(signed(42)), Signal(signed(31))
        multiplier, shift = self.operands.multiplier_b, self.operands.shift_b
        m.d.sync += [b.eq(at.as_signed() - self.operands.zp_b),
                     parts[0].eq(b * Cat(multiplier[:17], Const(0, 1)).as_signed()),
                     parts[1].eq(b * Cat(multiplier[17:], Const(0, 1)).as_signed()),
                     product.eq(parts[0] + (parts[1] << 17) + (1 << 10))]
        m.d.comb += h.eq(product >> 11)
        # Shift by 31 at most: more gives 0 as well, because |h| < 2**30.
        amount = Mux(shift[5], 31, shift[:5])
        # With a guard bit below; what leaves it is only remembered.
        u, coarse, fine = Cat(Const(0, 1), h), Signal(signed(32)), Signal(signed(32))
        coarse_lost, fine_lost, negative = Signal(), Signal(), Signal()
        m.d.sync += [
            coarse.eq(u.as_signed() >> (amount & 0x18)),
            coarse_lost.eq(Cat(u[8 * i:8 * i + 8].any() & (amount[3:] > i) for i in range(3)).any()),
            fine.eq(coarse >> amount[:3]), negative.eq(coarse[-1]),
            fine_lost.eq(coarse_lost | Cat(coarse[i] & (amount[:3] > i) for i in range(7)).any()),
            self.value.eq(fine[1:].as_signed() + (fine[0] & (fine_lost | ~negative)))]
        m.d.comb += self.write.eq(valid[-1])
        # The address follows its product; one subtraction per stage would cost registers, a counter does not.
        with m.If(self.write):
            m.d.sync += self.address.eq(self.address + 1)
        return m


class OperandPath(wiring.Component):
    """Accumulators of one vector a cycle, `LATENCY` cycles after ``vectors``.

    Parameters
    ----------
    vector : int
        Elements.
    add : bool
        Build A + B, else A alone.

    Attributes
    ----------
    operands : In
        Constant from ``load`` until the next one and while vectors are in flight.
    load : In(1)
        ``operands`` are new.
    busy : Out(1)
        The table is being filled, from the cycle after ``load`` on; no vectors now.
    a, b : In(8 * vector)
    enable : In(1)
        In the last of the `LATENCY` cycles: else ``acc`` becomes 0.
    acc : Out
    """

    def __init__(self, vector: int, *, add: bool) -> None:
        self.vector, self.add = vector, add
        super().__init__(
            {
                "operands": In(OPERANDS),
                "load": In(1),
                "busy": Out(1),
                "a": In(8 * vector),
                "b": In(8 * vector),
                "enable": In(1),
                "acc": Out(data.ArrayLayout(signed(32), vector)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self.add:
            m.submodules.table = table = AddTable()
            m.d.comb += [table.start.eq(self.load & self.operands.add), table.operands.eq(self.operands),
                         self.busy.eq(table.busy)]
        for e in range(self.vector):
            a = self.a.word_select(e, 8).as_signed()
            difference, first = (
                Signal(signed(10), name=f"{name}{e}", reset_less=True) for name in ("difference", "first"))
            m.d.sync += [difference.eq(a - self.operands.zp_a), first.eq(difference)]
            acc: Value = first
            if self.add:
                memory = Memory(shape=32, depth=256, init=[])
                m.submodules[f"memory{e}"] = memory
                write, read, second = memory.write_port(), memory.read_port(), Signal(
                    signed(32), name=f"second{e}", reset_less=True)
                m.d.comb += [write.addr.eq(table.address), write.data.eq(table.value), write.en.eq(table.write),
                             read.addr.eq(self.b.word_select(e, 8)), read.en.eq(1)]
                m.d.sync += second.eq(read.data)
                acc = Mux(
                    self.operands.add, Cat(second[:19], (second[19:].as_signed() + first)[:13]).as_signed(), first
                )
            m.d.sync += self.acc[e].eq(Mux(self.enable, acc, 0))
        return m
