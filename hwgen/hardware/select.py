"""One of several values, by a binary index or by a bit for each."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import Mux, Value


def pick(values: list[Value], index: Value) -> Value:
    """Return one of 2**k values, as a tree of 2:1 multiplexers (a shift maps worse)."""
    for bit in range(len(values).bit_length() - 1):
        values = [Mux(index[bit], odd, even) for even, odd in zip(values[::2], values[1::2], strict=True)]
    return values[0]


def rotate(values: list[Value], index: Value) -> list[Value]:
    """Return 2**k values, the one of ``index`` first, through k multiplexers each."""
    for bit in range(len(values).bit_length() - 1):
        values = [Mux(index[bit], values[(n + (1 << bit)) % len(values)], value) for n, value in enumerate(values)]
    return values


def one_of(values: list[Value], chosen: Value) -> Value:
    """Return the value whose bit of ``chosen`` is set (at most one is), else 0."""
    return reduce(or_, (value & chosen[i].replicate(len(value)) for i, value in enumerate(values)))
