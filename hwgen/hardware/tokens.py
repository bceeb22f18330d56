"""Dependency tokens: a counter for every ordered pair of modules."""

from __future__ import annotations

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.isa import WORKERS

N = len(WORKERS)
COUNT_BITS = 8


class Tokens(wiring.Component):
    """``N`` x ``N`` counters; one token of each kind may be given and one taken per cycle.

    Ports
    -----
    give_<i> : mask of the modules that module i gives a token to in this cycle.
    take_<j> : mask of the modules whose token module j takes in this cycle.
    have_<j> : mask of the modules that module j has a token from (given in an earlier cycle).
    overflow_<i> : a token of module i came when 255 were kept, also when one of them is taken in this cycle: whether it
        is, is decided too late in the cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                k: v
                for i in range(N)
                for k, v in (
                    (f"give_{i}", In(N)),
                    (f"take_{i}", In(N)),
                    (f"have_{i}", Out(N)),
                    (f"overflow_{i}", Out(1)),
                )
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for giver in range(N):
            full = []
            for taker in range(N):
                count, some = Signal(COUNT_BITS, name=f"count_{giver}_{taker}"), Signal(name=f"some_{giver}_{taker}")
                give, take = getattr(self, f"give_{giver}")[taker], getattr(self, f"take_{taker}")[giver]
                over = Signal(name=f"over_{giver}_{taker}")
                m.d.comb += [over.eq(give & count.all()), getattr(self, f"have_{taker}")[giver].eq(some)]
                with m.If(give & ~take & ~over):
                    m.d.sync += [count.eq(count + 1), some.eq(1)]
                with m.Elif(take & ~give):
                    m.d.sync += [count.eq(count - 1), some.eq(count != 1)]
                full.append(over)
            m.d.comb += getattr(self, f"overflow_{giver}").eq(Cat(*full).any())
        return m
