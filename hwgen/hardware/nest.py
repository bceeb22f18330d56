"""Incremental loop nest: seven levels of iterations that step several running values, one element a cycle."""

from __future__ import annotations

from collections.abc import Mapping

from amaranth import Array, Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

LEVELS = 7
COUNT_BITS = 12


class Nest(wiring.Component):
    """Nest of `docs/architecture.md`, "Nest": level 0 outermost, the level that advances adds its deltas once.

    Each level has its own down counter and the flag "no iteration left" beside it, so which level advances is a
    priority over seven flip-flops. The deltas are in LUT memories addressed by that level: one adder per value.

    Parameters
    ----------
    values : mapping of str to int
        Name -> bits of every running value (signed, wrapping).
    levels : int
        At most 7 (the level 7 means "none").

    Ports
    -----
    level_at, count, count_en : set the iterations (>= 1) of level ``level_at``. Only while ``busy`` is low and in no
        cycle with ``start``.
    deltas, delta_en : the same for the deltas; ``delta_en`` has one bit per value.
    skip : levels that have one iteration whatever their count; constant from ``start`` until ``busy`` falls.
    start : begin a walk; only while ``busy`` is low.
    load : high in the cycle in which ``initial`` is sampled, at the earliest the cycle after ``start``.
    busy : decisions left; the last element may still be on ``out``.
    out : one element a cycle. ``level`` is the level that advanced to reach it (7 for the first, ``first``).
    """

    def __init__(self, values: Mapping[str, int], levels: int = LEVELS) -> None:
        self.names = tuple(values)
        self.levels = levels
        self.values = data.StructLayout({name: signed(width) for name, width in values.items()})
        self.element = data.StructLayout({"values": self.values, "level": 3, "first": 1, "last": 1})
        super().__init__({
            "level_at": In(3), "count": In(COUNT_BITS), "count_en": In(1),
            "deltas": In(self.values), "delta_en": In(len(self.names)),
            "initial": In(self.values), "skip": In(levels), "start": In(1), "load": Out(1), "busy": Out(1),
            "out": Out(stream.Signature(self.element))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        step, first, came = Signal(), Signal(), Signal(3, init=7)
        counts = [Signal(COUNT_BITS, init=1, name=f"count{i}") for i in range(self.levels)]
        left = [Signal(COUNT_BITS, name=f"left{i}") for i in range(self.levels)]
        single = Signal(self.levels, init=(1 << self.levels) - 1)
        """Level has one iteration."""
        spent = Signal(self.levels)
        """No iteration of the level is left."""
        last = Signal()

        m.d.comb += [step.eq(self.busy & (self.out.ready | ~self.out.valid)), self.load.eq(step & first),
                     last.eq(spent.all())]
        with m.If(self.count_en):
            m.d.sync += Array(counts)[self.level_at].eq(self.count)
            m.d.sync += single.bit_select(self.level_at, 1).eq(self.count == 1)
        with m.If(step):
            m.d.sync += [first.eq(0), self.busy.eq(~last)]
        with m.If(self.start):
            m.d.sync += [first.eq(1), self.busy.eq(1), came.eq(7)]

        for i in range(self.levels):
            inner_spent = spent[i + 1:].all() if i + 1 < self.levels else 1
            advance = Signal(name=f"advance{i}")
            m.d.comb += advance.eq(~spent[i] & inner_spent)
            # An inner level restarts whenever a level outside of it advances: all up to itself are spent.
            with m.If(self.start | step & spent[i:].all()):
                m.d.sync += [left[i].eq(counts[i]), spent[i].eq(single[i] | self.skip[i])]
            with m.Elif(step & advance):
                m.d.sync += [left[i].eq(left[i] - 1), spent[i].eq(left[i] == 2)]
            with m.If(step & advance):
                m.d.sync += came.eq(i)

        with m.If(self.out.ready):
            m.d.sync += self.out.valid.eq(0)
        with m.If(step):
            m.d.sync += [self.out.valid.eq(1), self.out.payload.level.eq(came), self.out.payload.first.eq(first),
                         self.out.payload.last.eq(last)]
        for i, name in enumerate(self.names):
            width = self.values[name].shape.width
            m.submodules[f"delta_{name}"] = memory = Memory(shape=width, depth=8, init=[])
            write, read = memory.write_port(), memory.read_port(domain="comb")
            m.d.comb += [write.addr.eq(self.level_at), write.data.eq(Cat(self.deltas[name])),
                         write.en.eq(self.delta_en[i]),
                         read.addr.eq(came)]
            value = self.out.payload.values[name]
            with m.If(step):
                m.d.sync += value.eq(value + read.data.as_signed())
                with m.If(first):
                    m.d.sync += value.eq(self.initial[name])
        return m
