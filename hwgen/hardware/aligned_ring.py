"""A buffer that takes whole words and gives any number of their parts, oldest first."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class AlignedRing(wiring.Component):
    """Two words of ``lanes`` parts. As words enter whole, part j of each always lies in lane j: nothing is shifted
    to store it, and the n-th oldest part is in lane (head + n) % lanes.

    Parameters
    ----------
    lanes : int
        Parts of a word, a power of two.
    width : int
        Bits of a part.

    Attributes
    ----------
    room : Out(1)
        A word may be pushed; it depends on what is taken in the same cycle.
    push : In(1), word : In(lanes * width)
    take : In
        Parts that leave, 0..lanes; ``enough`` must be set when ``take_enable`` is.
    enough : Out(1)
        So many parts as ``take`` says are there.
    take_enable : In(1)
    head : Out
        Lane of the oldest part.
    parts : Out(lanes * width)
        The oldest part of each lane.
    """

    def __init__(self, lanes: int, width: int) -> None:
        self.lanes, self.width = lanes, width
        super().__init__({
            "room": Out(1), "push": In(1), "word": In(lanes * width), "take": In(range(lanes + 1)), "enough": Out(1),
            "take_enable": In(1), "head": Out(range(lanes)), "parts": Out(lanes * width), "clear": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = Signal(range(3))
        end, crosses, leaves = Signal(range(2 * self.lanes)), Signal(), Signal()
        log = (self.lanes - 1).bit_length()
        m.d.comb += [
            self.room.eq(~words[1] | leaves), end.eq(self.head + self.take), crosses.eq(end[log:].any()),
            self.enough.eq(words[1] | (self.take == 0) | (words[0] & (end <= self.lanes))),
            leaves.eq(self.take_enable & crosses)]
        with m.If(self.take_enable):
            m.d.sync += self.head.eq(end[:log])
        m.d.sync += words.eq(words + self.push - leaves)
        # Where the oldest parts end after this cycle.
        upto = Mux(self.take_enable, end, self.head)
        current = []
        for j in range(self.lanes):
            now = Signal(self.width, name=f"now{j}", reset_less=True)
            behind = Signal(self.width, name=f"behind{j}", reset_less=True)
            word = self.word.word_select(j, self.width)
            with m.If(words[1] & (self.head <= j)):
                m.d.sync += now.eq(Mux(upto > j, behind, now))
            with m.Elif(Mux(words[1], upto > self.lanes + j, ~words[0] | (upto > j))):
                m.d.sync += now.eq(word)
            with m.If(self.push):
                m.d.sync += behind.eq(word)
            current.append(now)
        with m.If(self.clear):
            m.d.sync += [words.eq(0), self.head.eq(0)]
        m.d.comb += self.parts.eq(Cat(current))
        return m
