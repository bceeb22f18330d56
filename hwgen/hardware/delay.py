"""A value some cycles later."""

from __future__ import annotations

from amaranth import Module, Signal, Value


def delayed(m: Module, value: Value, cycles: int, name: str) -> Value:
    """Return the bits of ``value`` from ``cycles`` cycles ago, through registers ``name_1`` .. ``name_<cycles>``."""
    for i in range(cycles):
        register = Signal(len(value), name=f"{name}_{i + 1}")
        m.d.sync += register.eq(value)
        value = register
    return value
