"""Which operands of a lane's memory are not zero: one bit each, read a window at a time.

Written with the operands, a word at a time. Two arrangements of the same memory: bits of single values, for the
streamed operand, and bits of vectors of P values, for the vector operand.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hwgen.derive import SKIP_WINDOW
from hwgen.hardware.select import one_of
from hwgen.hardware.walker import BLOCK_RAM

WINDOW = SKIP_WINDOW
WINDOW_BITS = bits_for(WINDOW - 1)
_BYTE = 8
_CELL = 4
"""Bits of a word of distributed RAM that are written together."""


class ValueBits(wiring.Component):
    """Bits of single values in block RAM.

    Parameters
    ----------
    words, values : int
        Operand words, and values of each.
    leaves_out : bool
        With ``fresh``.

    Attributes
    ----------
    write, addr, bits : In
        Set the bits of a word.
    fresh : In(1)
        And clear those of the others in its window.
    at : In
        Window to read, in units of `WINDOW` values.
    window : Out(WINDOW)
        A cycle later.
    """

    def __init__(self, words: int, values: int, leaves_out: bool = False) -> None:
        self.per_row, self.depth, self.leaves_out = WINDOW // values, words * values // WINDOW, leaves_out
        super().__init__({**({"fresh": In(1)} if leaves_out else {}), "write": In(1), "addr": In(bits_for(words - 1)),
                          "bits": In(values), "at": In(bits_for(self.depth - 1)), "window": Out(WINDOW)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=unsigned(WINDOW), depth=self.depth, init=[], attrs=BLOCK_RAM)
        write, read = memory.write_port(granularity=len(self.bits)), memory.read_port()
        low = bits_for(self.per_row - 1)
        data, enable = _in_place(self, self.bits, self.addr[:low], self.per_row)
        m.d.comb += [
            write.addr.eq(self.addr[low:]), write.data.eq(data), write.en.eq(Mux(self.write, enable, 0)),
            read.addr.eq(self.at), self.window.eq(read.data)]
        return m


def _in_place(bits: ValueBits | VectorBits, value: Value, slot: Value, slots: int) -> tuple[Value, Value]:
    """Return what is written to all slots of a row, and which of them are."""
    if not bits.leaves_out:
        return value.replicate(slots), Const(1, slots) << slot
    here = [slot == n for n in range(slots)]
    return (Cat(value & (h | ~bits.fresh).replicate(len(value)) for h in here),
            Cat(here) | bits.fresh.replicate(slots))


class VectorBits(wiring.Component):
    """Bits of vectors, of which two rows that follow each other are read, so that a window may begin anywhere.

    Parameters
    ----------
    words, per_word : int
        Operand words, and vectors of each.
    marks : tuple of str
        `hwgen.hardware.interfaces.row_marks`, if words may be left out.
    group : int
        Words of `WINDOW` values.

    Attributes
    ----------
    write, addr, bits : In
        Set the bits of the vectors of a word.
    fresh, wide : In(1)
        And clear those of the other words of its aligned group; of its row.
    at, after : In
        Row of `WINDOW` vectors to read, and the one above it (modulo their number).
    pair : Out(2 * WINDOW)
        A cycle later: both rows.
    """

    def __init__(self, words: int, per_word: int, marks: tuple[str, ...], group: int) -> None:
        self.per_word, self.rows = per_word, words * per_word // WINDOW
        self.marks, self.leaves_out, self.group = marks, "fresh" in marks, group
        row = In(bits_for(self.rows - 1))
        super().__init__({**{mark: In(1) for mark in marks}, "write": In(1), "addr": In(bits_for(words - 1)),
                          "bits": In(per_word), "at": row, "after": row, "pair": Out(2 * WINDOW)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        slot_bits = bits_for(WINDOW // self.per_word - 1)
        slot, row = self.addr[:slot_bits], self.addr[slot_bits:]
        if self.per_word % _BYTE == 0:
            self._in_banks(m, slot, row)
        else:
            self._distributed(m, slot, row)
        return m

    def _in_banks(self, m: Module, slot: Value, row: Value) -> None:
        """Large: block RAM, even rows in one and odd ones in another."""
        odd_first, outputs = Signal(), []
        m.d.sync += odd_first.eq(self.at[0])
        for parity, name in enumerate(("even", "odd")):
            m.submodules[name] = memory = Memory(
                shape=unsigned(WINDOW), depth=self.rows // 2, init=[], attrs=BLOCK_RAM)
            write, read = memory.write_port(granularity=self.per_word), memory.read_port()
            data, enable = _in_place(self, self.bits, slot, WINDOW // self.per_word)
            m.d.comb += [
                write.addr.eq(row[1:]), write.data.eq(data),
                write.en.eq(Mux(self.write & (row[0] == parity), enable, 0)),
                read.addr.eq(Mux(self.at[0] == parity, self.at, self.after)[1:])]
            outputs.append(read.data)
        even, odd = outputs
        m.d.comb += self.pair.eq(Mux(odd_first, Cat(odd, even), Cat(even, odd)))

    def _distributed(self, m: Module, slot: Value, row: Value) -> None:
        """Small: distributed RAM, whose cells of four bits are changed by reading them in the same cycle."""
        m.submodules.memory = memory = Memory(shape=unsigned(WINDOW), depth=self.rows, init=[])
        write, old = memory.write_port(granularity=_CELL), memory.read_port(domain="comb")
        words = _CELL // self.per_word
        in_cell, cell = slot[:bits_for(words) - 1], slot[bits_for(words) - 1:]
        # Not a multiplexer, which Yosys would turn into a write enable, and so a cell, for each bit.
        changes = Cat((in_cell == n).replicate(self.per_word) for n in range(words))
        here = Signal(WINDOW // _CELL)
        data = one_of([old.data.word_select(n, _CELL) for n in range(WINDOW // _CELL)], here)
        kept = ~changes
        if self.leaves_out:
            near = (self.group - 1).bit_length()
            kept &= Cat(~(self.fresh & (in_cell >> near == n >> near)) for n in range(words))
        whole: Value = Const(0, 1)
        if "wide" in self.marks:
            whole = self.fresh & self.wide
            kept &= ~whole.replicate(_CELL)
        changed = data & kept | self.bits.replicate(words) & changes
        m.d.comb += [
            old.addr.eq(row), write.addr.eq(row), here.eq(1 << cell),
            write.en.eq(Mux(self.write, here | whole.replicate(len(here)), 0)),
            write.data.eq(Cat(changed & (h | ~whole).replicate(_CELL) for h in here))]
        rows = []
        for name in ("at", "after"):
            read, addr = memory.read_port(domain="comb"), Signal.like(self.at, name=f"{name}_row", reset_less=True)
            m.d.sync += addr.eq(getattr(self, name))
            m.d.comb += read.addr.eq(addr)
            rows.append(read.data)
        m.d.comb += self.pair.eq(Cat(rows))
