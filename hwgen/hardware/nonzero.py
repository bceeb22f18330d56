"""Which operands of a lane's memory are not zero: one bit each, read a window at a time.

Written with the operands, a word at a time. Two arrangements of the same memory: bits of single values, for the
streamed operand, and bits of vectors of P values, for the vector operand.
"""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value, unsigned
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

    Attributes
    ----------
    write, addr, bits : In
        Set the bits of a word.
    at : In
        Window to read, in units of `WINDOW` values.
    window : Out(WINDOW)
        A cycle later.
    """

    def __init__(self, words: int, values: int) -> None:
        self.per_row, self.depth = WINDOW // values, words * values // WINDOW
        super().__init__({"write": In(1), "addr": In(bits_for(words - 1)), "bits": In(values),
                          "at": In(bits_for(self.depth - 1)), "window": Out(WINDOW)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=unsigned(WINDOW), depth=self.depth, init=[], attrs=BLOCK_RAM)
        write, read = memory.write_port(granularity=len(self.bits)), memory.read_port()
        low = bits_for(self.per_row - 1)
        m.d.comb += [
            write.addr.eq(self.addr[low:]), write.data.eq(self.bits.replicate(self.per_row)),
            write.en.eq(Mux(self.write, 1 << self.addr[:low], 0)), read.addr.eq(self.at), self.window.eq(read.data)]
        return m


class VectorBits(wiring.Component):
    """Bits of vectors, of which two rows that follow each other are read, so that a window may begin anywhere.

    Parameters
    ----------
    words, per_word : int
        Operand words, and vectors of each.

    Attributes
    ----------
    write, addr, bits : In
        Set the bits of the vectors of a word.
    at, after : In
        Row of `WINDOW` vectors to read, and the one above it (modulo their number).
    pair : Out(2 * WINDOW)
        A cycle later: both rows.
    """

    def __init__(self, words: int, per_word: int) -> None:
        self.per_word, self.rows = per_word, words * per_word // WINDOW
        row = In(bits_for(self.rows - 1))
        super().__init__({"write": In(1), "addr": In(bits_for(words - 1)), "bits": In(per_word),
                          "at": row, "after": row, "pair": Out(2 * WINDOW)})

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
            m.d.comb += [
                write.addr.eq(row[1:]), write.data.eq(self.bits.replicate(WINDOW // self.per_word)),
                write.en.eq(Mux(self.write & (row[0] == parity), 1 << slot, 0)),
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
        data = one_of([old.data.word_select(n, _CELL) for n in range(WINDOW // _CELL)], write.en)
        m.d.comb += [
            old.addr.eq(row), write.addr.eq(row), write.en.eq(Mux(self.write, 1 << cell, 0)),
            write.data.eq((data & ~changes | self.bits.replicate(words) & changes).replicate(WINDOW // _CELL))]
        rows = []
        for name in ("at", "after"):
            read, addr = memory.read_port(domain="comb"), Signal.like(self.at, name=f"{name}_row", reset_less=True)
            m.d.sync += addr.eq(getattr(self, name))
            m.d.comb += read.addr.eq(addr)
            rows.append(read.data)
        m.d.comb += self.pair.eq(Cat(rows))
