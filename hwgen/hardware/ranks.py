"""How many bits are set below each place of a mask."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Signal, Value


def ranks(m: Module, mask: Value) -> list[Value]:
    """Return for each bit of ``mask`` how many lower ones are set, and behind them how many are set in all.

    Of each four bits from a table, then added. Each is a signal: an expression would be built anew wherever it is used.
    """
    found: list[Value] = [Const(0, 1)]
    before: Value = found[0]
    for low in range(0, len(mask), 4):
        for n in range(1, min(4, len(mask) - low) + 1):
            rank = Signal(range(low + n + 1), name=f"rank{low + n}")
            m.d.comb += rank.eq(before + _count_four(mask[low:low + n]))
            found.append(rank)
        before = found[-1]
    return found


def _count_four(bits: Value) -> Value:
    """Return how many of up to four bits are set, each bit of the count a function of them."""
    a, b, c, d = (bits[n] if n < len(bits) else Const(0, 1) for n in range(4))
    pairs = (a & b) ^ (a & c) ^ (a & d) ^ (b & c) ^ (b & d) ^ (c & d)
    return Cat(a ^ b ^ c ^ d, pairs, a & b & c & d)
