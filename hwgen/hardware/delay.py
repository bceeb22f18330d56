"""A value some cycles later."""

from __future__ import annotations

from amaranth import Module, Signal, Value


def delayed(m: Module, value: Value, cycles: int, name: str, *, reset_less: bool = False) -> Value:
    """Return the bits of ``value`` from ``cycles`` cycles ago, through registers ``name_1`` .. ``name_<cycles>``.

    Data that nothing looks at before it is valid takes ``reset_less``: a reset to thousands of registers is wires.
    """
    for i in range(cycles):
        register = Signal(len(value), name=f"{name}_{i + 1}", reset_less=reset_less)
        m.d.sync += register.eq(value)
        value = register
    return value
