"""Which operands of a lane's memory are not zero: one bit each, read a window at a time.

Written with the operands, a word at a time. Two arrangements of the same memory: bits of single values, for the
streamed operand, and bits of vectors of P values, for the vector operand.
"""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hwgen.derive import SKIP_WINDOW
from hwgen.hardware.walker import BLOCK_RAM

WINDOW = SKIP_WINDOW
WINDOW_BITS = bits_for(WINDOW - 1)
_BYTE = 8


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
    """Bits of vectors in two banks of alternate rows, so that a window may begin anywhere.

    Parameters
    ----------
    words, per_word : int
        Operand words, and vectors of each.

    Attributes
    ----------
    write, addr, bits : In
        Set the bits of the vectors of a word.
    at : In
        Row of `WINDOW` vectors to read.
    pair : Out(2 * WINDOW)
        A cycle later: that row, and above it the next one.
    """

    def __init__(self, words: int, per_word: int) -> None:
        self.per_word, self.rows = per_word, words * per_word // WINDOW
        super().__init__({"write": In(1), "addr": In(bits_for(words - 1)), "bits": In(per_word),
                          "at": In(bits_for(self.rows - 1)), "pair": Out(2 * WINDOW)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        slots = WINDOW // self.per_word
        slot_bits = bits_for(slots - 1)
        slot, row = self.addr[:slot_bits], self.addr[slot_bits:]
        second = Signal.like(self.at)
        m.d.comb += second.eq(self.at + 1)
        odd_first, outputs = Signal(), []
        m.d.sync += odd_first.eq(self.at[0])
        for parity in range(2):
            wanted = Mux(self.at[0] == parity, self.at, second)[1:]
            enable = self.write & (row[0] == parity)
            name = ("even", "odd")[parity]
            if self.per_word % _BYTE == 0:
                memory = Memory(shape=unsigned(WINDOW), depth=self.rows // 2, init=[], attrs=BLOCK_RAM)
                write, read = memory.write_port(granularity=self.per_word), memory.read_port()
                m.d.comb += [write.data.eq(self.bits.replicate(slots)), write.en.eq(Mux(enable, 1 << slot, 0)),
                             read.addr.eq(wanted)]
                output = read.data
            else:
                # Small: distributed RAM, whose words are changed by reading them in the same cycle.
                memory = Memory(shape=unsigned(WINDOW), depth=self.rows // 2, init=[])
                write, read = memory.write_port(), memory.read_port(domain="comb")
                old, output = memory.read_port(domain="comb"), Signal(WINDOW, name=f"{name}_row", reset_less=True)
                m.d.comb += [old.addr.eq(row[1:]), write.en.eq(enable), read.addr.eq(wanted), write.data.eq(Cat(
                    Mux(slot == n, self.bits, old.data[n * self.per_word:(n + 1) * self.per_word])
                    for n in range(slots)))]
                m.d.sync += output.eq(read.data)
            m.d.comb += write.addr.eq(row[1:])
            m.submodules[name] = memory
            outputs.append(output)
        even, odd = outputs
        m.d.comb += self.pair.eq(Mux(odd_first, Cat(odd, even), Cat(even, odd)))
        return m
