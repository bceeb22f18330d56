"""What travels through POST: one item per nest element, and the widths that follow from the configuration."""

from __future__ import annotations

from amaranth import Cat, Const, Value
from amaranth.hdl import ValueLike
from amaranth.lib import data
from amaranth.utils import bits_for

from hwgen.config import Config
from hwgen.derive import Derived

ILLEGAL, RANGE = 1, 3
"""Error codes."""


def sizes(config: Config) -> dict[str, int]:
    """Bits of a vector address, a row, a column and an accumulator address inside the machine."""
    d = Derived(config)
    return {"vector": bits_for(d.act_words * d.vectors_per_word - 1), "row": bits_for(config.rows - 1),
            "column": bits_for(config.columns - 1), "acc": bits_for(config.acc_vectors - 1)}


def lane_layout(config: Config) -> data.StructLayout:
    """Where a DRAIN reads; ``column`` is that of pipe 0, a multiple of the number of pipes."""
    s = sizes(config)
    return data.StructLayout({"acc": s["acc"], "row": s["row"], "column": s["column"]})


def result_layout(config: Config) -> data.StructLayout:
    """Where a result goes: ``address`` and ``write`` per pipe, ``mask`` of bytes; ``data``: it has results at all.

    ``last`` ends a command, with the error ``code`` unless 0; ``action`` says that this command is a DRAIN or ELTWISE.
    """
    pipes = Derived(config).pipes
    return data.StructLayout({
        "address": data.ArrayLayout(sizes(config)["vector"], pipes), "write": pipes, "mask": config.vector, "data": 1,
        "last": 1, "action": 1, "code": 2})


def item_layout(config: Config) -> data.StructLayout:
    """An item between walker and issue: sources and result.

    ``source`` is a `lane_layout` (DRAIN) or the address of A (``eltwise``); ``read`` says which pipes read a lane;
    ``take`` that it needs the next parameter block; ``channel`` counts the vectors of a transposed block.
    """
    s, pipes = sizes(config), Derived(config).pipes
    fields = {"result": result_layout(config), "source": max(s["vector"], lane_layout(config).size), "eltwise": 1,
              "read": pipes, "take": 1}
    if "pixel" in config.mappings:
        fields["channel"] = bits_for(config.vector - 1)
    if "add" in config.operators:
        fields["source_b"] = s["vector"]
    return data.StructLayout(fields)


def pack(layout: data.StructLayout, **fields: ValueLike) -> Value:
    """Return a value of ``layout``, every field given, extended by its own sign or cut.

    Assigning fields one by one makes one `always` block of each, and Icarus never runs a block whose inputs keep their
    initial value: a field that stays 0 would read X.
    """
    if set(fields) != set(layout.members):
        raise TypeError(f"fields must be {sorted(layout.members)}, not {sorted(fields)}")
    parts = []
    for name, field in layout:
        value = Value.cast(fields[name])
        fill = value[-1].replicate(field.width) if value.shape().signed else Const(0, field.width)
        parts.append(Cat(value, fill)[:field.width])
    return Cat(parts)
