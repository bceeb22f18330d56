"""Rows of marks of a vector stream: the DMA words that have values, one a cycle, where the others are left out."""

from __future__ import annotations

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.lowest import lowest, without_lowest
from hwgen.hardware.select import pick


class WeightRows(wiring.Component):
    """Takes a row of marks, gives its words from the lowest: part by part (of up to 8 words), of those that have any.

    A row without a word gives its last one, which has no values: the row's zero bits must be set once. As soon as a
    row's last part is at work the next row is taken, so that no cycle is lost between rows.

    Attributes
    ----------
    start : In(1)
        Forget everything.
    row_valid, row_first, row, row_ready : stream of rows
        A bit for each lane word; ``row_first``: the first one of a word of marks.
    valid, step : Out(1), In(1)
        A word is given; take it.
    index : Out
        Which DMA word of the row it is.
    bits : Out
        Which of its lane words have values.
    last : Out(1)
        No other word of the row follows.
    ahead, ahead_first : Out(1)
        A row behind that of the word at hand has been taken; it was the first one of a word of marks.
    """

    def __init__(self, config: Config) -> None:
        d = Derived(config)
        self.words, self.each = d.vector_row, d.dma_words
        super().__init__({
            "start": In(1), "row_valid": In(1), "row_first": In(1), "row": In(self.words * self.each),
            "row_ready": Out(1), "valid": Out(1), "step": In(1), "index": Out(range(self.words)),
            "bits": Out(self.each), "last": Out(1), "ahead": Out(1), "ahead_first": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size = min(8, self.words)
        parts, width = self.words // size, size * self.each
        row, row_valid = Signal(self.words * self.each, reset_less=True), Signal()
        left, first = Signal(parts), Signal()
        now, place, closes, load = Signal(width, reset_less=True), Signal(range(parts)), Signal(), Signal()
        which, more_parts = lowest(left), without_lowest(left)
        words = [now.word_select(n, self.each) for n in range(size)]
        flags = Cat(word.any() for word in words)
        more = without_lowest(flags)
        m.d.comb += [
            self.index.eq(Cat(lowest(flags), place)), self.bits.eq(pick(words, lowest(flags))),
            self.last.eq(closes & ~more.any()), self.ahead.eq(row_valid), self.ahead_first.eq(first),
            load.eq(row_valid & (~self.valid | self.step & ~more.any())),
            self.row_ready.eq(~row_valid | load & ~more_parts.any())]
        with m.If(load):
            m.d.sync += [self.valid.eq(1), now.eq(pick([row.word_select(n, width) for n in range(parts)], which)),
                         place.eq(which), closes.eq(~more_parts.any()), left.eq(more_parts)]
        with m.Elif(self.step):
            m.d.sync += [self.valid.eq(more.any()), now.eq(Cat(
                word & flag.replicate(self.each) for word, flag in zip(words, more, strict=True)))]
        with m.If(self.row_ready):
            m.d.sync += [row_valid.eq(self.row_valid), row.eq(self.row), first.eq(self.row_first), left.eq(Cat(
                self.row.word_select(n, width).any() for n in range(parts)))]
        with m.If(self.start):
            m.d.sync += [self.valid.eq(0), row_valid.eq(0)]
        return m
