"""Zero points of weights: WF_ZERO, and the subtraction on the way to the lanes."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Signal, Value, signed
from amaranth.lib import data

from hwgen.hardware.interfaces import payload_layout
from hwgen.isa import BY_NAME


def zero_point(m: Module, cmd: Any, idle: Value) -> tuple[Signal, Signal]:
    """Take a WF_ZERO while ``idle``; return that it is taken in this cycle, and the zero point from the next one on."""
    taken, zero = Signal(name="takes_zero"), Signal(signed(8), name="zero_point")
    p = data.View(payload_layout("WF_ZERO"), cmd.payload.payload)
    m.d.comb += taken.eq(cmd.valid & idle & (cmd.payload.op == BY_NAME["WF_ZERO"].code))
    with m.If(taken):
        m.d.sync += zero.eq(p.zero_point)
    return taken, zero


def less_zero(raw: Value, zero: Value) -> Value:
    """Return bytes less a zero point, 9 bits each."""
    return Cat((raw.word_select(n, 8).as_signed() - zero.as_signed())[:9] for n in range(len(raw) // 8))
