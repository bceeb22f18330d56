"""The lowest bit that is set."""

from __future__ import annotations

from amaranth import Cat, Const, Mux, Value


def lowest(bits: Value) -> Value:
    """Return the index of the lowest bit of ``bits`` (a power of two of them) that is set."""
    if len(bits) == 1:
        return Const(0, 0)
    half = len(bits) // 2
    low, high = bits[:half], bits[half:]
    return Cat(Mux(low.any(), lowest(low), lowest(high)), ~low.any())


def without_lowest(bits: Value) -> Value:
    """Return ``bits`` without the lowest one that is set."""
    return Cat(bits[n] & bits[:n].any() for n in range(len(bits)))
