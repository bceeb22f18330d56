"""Amaranth to Verilog text."""

from __future__ import annotations

from amaranth.back import verilog
from amaranth.lib import wiring

from hwgen.hardware.shorten import compact


def convert(component: wiring.Component, name: str) -> str:
    """Return the Verilog of ``component``, its top module called ``name``; deterministic, without source references."""
    return compact(verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True))
