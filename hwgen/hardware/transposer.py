"""Square transposer: ``size`` words of ``size`` elements in, element i of every word out as word i."""

from __future__ import annotations

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.hardware.select import one_of


class Transposer(wiring.Component):
    """One word in and one word out a cycle, without bubbles.

    Words shift into one array; with the last word of a block everything is copied into a second one, from which a
    multiplexer picks element i of every word. That is half the logic of two arrays that shift in turn, and the output
    empties by itself however the input pauses. The first output word is valid the cycle after the last input word. With
    ``o.ready`` always high ``i.ready`` is always high.

    Parameters
    ----------
    size : int
        Words of a block and elements of a word, a power of two >= 2.
    width : int
        Bits of an element.
    stalls : bool
        Whether ``o.ready`` is ever low. Without, that the output is free is known and not looked for.

    Ports
    -----
    i : ``data`` and one ``flag`` a word.
    o : ``data``, element j from input word j; ``flags``, bit j from input word j; ``index`` i of the output word.
    block : the last word of a block is taken in this cycle.
    """

    def __init__(self, size: int, width: int, *, stalls: bool = True) -> None:
        if size < 2 or size & (size - 1):
            raise ValueError(f"size must be a power of two >= 2, not {size}")
        self.size, self.width, self.stalls = size, width, stalls
        super().__init__({
            "block": Out(1),
            "i": In(stream.Signature(data.StructLayout({"data": size * width, "flag": 1}))),
            "o": Out(stream.Signature(data.StructLayout({"data": size * width, "flags": size, "index": range(size)})))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        at, index, full = Signal(range(self.size)), Signal(range(self.size)), Signal()
        chosen = Signal(self.size, init=1)
        """``index`` one-hot: five LUTs instead of nine for every output bit of size 8."""
        entry = data.StructLayout({"data": self.size * self.width, "flag": 1})
        # Slot size - 1 is the newest word; the last word of a block goes straight to the second array.
        shift = [Signal(entry, name=f"shift{j}", reset_less=True) for j in range(self.size - 1)]
        block = [Signal(entry, name=f"block{j}", reset_less=True) for j in range(self.size)]
        end, free, copy = Signal(), Signal(), self.block
        m.d.comb += [
            end.eq(at == self.size - 1),
            free.eq(~full | self.o.ready & (index == self.size - 1) if self.stalls else 1),
            self.i.ready.eq(~end | free),
            copy.eq(self.i.valid & end & free)]
        with m.If(self.o.ready & full):
            m.d.sync += [index.eq(index + 1), chosen.eq(chosen.rotate_left(1))]
            with m.If(index == self.size - 1):
                m.d.sync += full.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += at.eq(at + 1)
            for old, new in zip(shift, [*shift[1:], self.i.payload], strict=True):
                m.d.sync += old.eq(new)
        with m.If(copy):
            m.d.sync += full.eq(1)
            for old, new in zip(block, [*shift, self.i.payload], strict=True):
                m.d.sync += old.eq(new)
        m.d.comb += [
            self.o.valid.eq(full), self.o.payload.index.eq(index),
            self.o.payload.flags.eq(Cat(word.flag for word in block)),
            self.o.payload.data.eq(Cat(self._pick(word.data, chosen) for word in block))]
        return m

    def _pick(self, word: Value, chosen: Signal) -> Value:
        """Return the element of ``word`` that the one-hot ``chosen`` selects."""
        return one_of([word.word_select(i, self.width) for i in range(self.size)], chosen)
