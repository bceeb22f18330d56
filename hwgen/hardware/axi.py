"""AXI4 signature of the memory port and small stream helpers of the DMA."""

from __future__ import annotations

from amaranth import Module, Signal, Value
from amaranth.hdl import ShapeLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

BURST_BEATS = 64
"""Longest burst. Bursts start and end on multiples of it, so none crosses 4 KiB at any width; short enough that a
command fetch behind the outstanding LOAD bursts is not kept waiting for long."""


def axi4(bits: int) -> wiring.Signature:
    """Return AXI4 with ``bits`` data bits, seen from the master; one identifier, so answers come in order."""
    return wiring.Signature(
        {
            "awid": Out(1),
            "awaddr": Out(32),
            "awlen": Out(8),
            "awsize": Out(3),
            "awburst": Out(2),
            "awcache": Out(4),
            "awprot": Out(3),
            "awvalid": Out(1),
            "awready": In(1),
            "wdata": Out(bits),
            "wstrb": Out(bits // 8),
            "wlast": Out(1),
            "wvalid": Out(1),
            "wready": In(1),
            "bid": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "arid": Out(1),
            "araddr": Out(32),
            "arlen": Out(8),
            "arsize": Out(3),
            "arburst": Out(2),
            "arcache": Out(4),
            "arprot": Out(3),
            "arvalid": Out(1),
            "arready": In(1),
            "rid": In(1),
            "rdata": In(bits),
            "rresp": In(2),
            "rlast": In(1),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )


BurstLayout = data.StructLayout({"address": 32, "beats_minus_1": 8})
"""A burst request: byte address (aligned to the bus) and AXI length."""


def read_beat(bits: int) -> data.StructLayout:
    """Return what a client of the read master receives per beat."""
    return data.StructLayout({"data": bits, "error": 1})


class Skid(wiring.Component):
    """Two-entry buffer: registered ``valid`` and ``ready``, one transfer a cycle, latency 1."""

    def __init__(self, shape: ShapeLike) -> None:
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(Value.cast(self.i.payload))
        spare, held, full = Signal(width, reset_less=True), Signal(width, reset_less=True), Signal()
        m.d.comb += [self.i.ready.eq(~full), Value.cast(self.o.payload).eq(held)]
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [self.o.valid.eq(full | self.i.valid), full.eq(0)]
            with m.If(full):
                m.d.sync += held.eq(spare)
            with m.Else():
                m.d.sync += held.eq(self.i.payload)
        with m.Elif(self.i.valid & ~full):
            m.d.sync += [spare.eq(self.i.payload), full.eq(1)]
        return m
