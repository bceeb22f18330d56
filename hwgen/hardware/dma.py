"""AXI4 read master shared by command fetch and LOAD, and the splitter of copies into bursts."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.hdl import ValueLike
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.config import Config
from hwgen.hardware.axi import BURST_BEATS, BurstLayout, Skid, axi4, read_beat
from hwgen.hardware.fifo import Fifo


class Splitter(wiring.Component):
    """Cut a copy of ``beats`` bus beats into bursts that end at multiples of ``burst`` beats.

    ``i`` takes the next copy in the cycle in which the last burst of the previous one leaves: no bubble.

    Parameters
    ----------
    axi_bits : int
        Bus width.
    beat_bits : int
        Width of the beat counter.
    burst : int
        Longest burst in beats, a power of two that divides 4 KiB.
    """

    def __init__(self, axi_bits: int, beat_bits: int, burst: int = BURST_BEATS) -> None:
        self.size, self.burst, self.beat_bits = (axi_bits // 8).bit_length() - 1, burst, beat_bits
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout({"address": 32, "beats": beat_bits}))),
                "o": Out(stream.Signature(BurstLayout)),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beat, left, active = Signal(32 - self.size), Signal(self.beat_bits), Signal()
        now, ends = Signal(self.burst.bit_length()), Signal()
        """Beats of the burst on offer, and whether it is the last one: known a burst ahead, since both take long."""
        rest = Signal(self.beat_bits)
        m.d.comb += [
            rest.eq(left - now),
            self.last.eq(ends),
            self.o.valid.eq(active),
            self.o.p.address.eq(beat << self.size),
            self.o.p.beats_minus_1.eq(now - 1),
            self.i.ready.eq(~active | (self.o.ready & ends)),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [beat.eq(beat + now), left.eq(rest), active.eq(~ends),
                         Cat(now, ends).eq(self._cut(rest, 0))]
        with m.If(self.i.valid & self.i.ready):
            start = self.i.p.address >> self.size
            m.d.sync += [beat.eq(start), left.eq(self.i.p.beats), active.eq(1),
                         Cat(now, ends).eq(self._cut(self.i.p.beats, start))]
        return m

    def _cut(self, left: Value, start: ValueLike) -> Value:
        """Return the beats of the next burst of a copy with ``left`` beats from beat ``start`` on, and the flag for
        the last one."""
        log = self.burst.bit_length() - 1
        offset, low = Value.cast(start)[:log], left[:log + 1]
        fits = ~left[log + 1:].any() & (low + offset <= self.burst)
        return Cat(Mux(fits, low, self.burst - offset)[:log + 1], fits)


class ReadMaster(wiring.Component):
    """Issue read bursts of two clients, keep up to ``outstanding`` in flight, return the beats in order.

    Command fetch goes first. A request leaves on AR one cycle after it is accepted; a beat reaches its client one
    cycle after R.

    Ports
    -----
    command, load : burst requests. command_data, load_data : their beats.
    axi : AR and R of the AXI4 port (the write channels are tied off by the owner).
    stop : take no new request. idle : nothing in flight. beat : a beat has arrived.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        request, beat = stream.Signature(BurstLayout), stream.Signature(read_beat(config.axi_bits))
        super().__init__(
            {
                "command": In(request),
                "load": In(request),
                "command_data": Out(beat),
                "load_data": Out(beat),
                "axi": Out(axi4(config.axi_bits)),
                "stop": In(1),
                "idle": Out(1),
                "beat": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi, size = self.axi, (self.config.axi_bits // 8).bit_length() - 1
        # Only the client of a burst has to be remembered: order is kept by the single identifier.
        m.submodules.owners = owners = Fifo(1, self.config.outstanding)
        m.submodules.skid = skid = Skid(data.StructLayout({"beat": read_beat(self.config.axi_bits), "last": 1}))
        free = Signal()
        m.d.comb += [
            free.eq((~axi.arvalid | axi.arready) & owners.i.ready & ~self.stop),
            self.command.ready.eq(free),
            self.load.ready.eq(free & ~self.command.valid),
            owners.i.valid.eq(free & (self.command.valid | self.load.valid)),
            owners.i.payload.eq(self.command.valid),
            axi.arsize.eq(size),
            axi.arburst.eq(1),
            axi.arcache.eq(3),
        ]
        with m.If(axi.arready):
            m.d.sync += axi.arvalid.eq(0)
        with m.If(owners.i.valid & owners.i.ready):
            m.d.sync += axi.arvalid.eq(1)
            with m.If(self.command.valid):
                m.d.sync += [axi.araddr.eq(self.command.p.address), axi.arlen.eq(self.command.p.beats_minus_1)]
            with m.Else():
                m.d.sync += [axi.araddr.eq(self.load.p.address), axi.arlen.eq(self.load.p.beats_minus_1)]
        m.d.comb += [
            skid.i.valid.eq(axi.rvalid),
            axi.rready.eq(skid.i.ready),
            skid.i.p.beat.data.eq(axi.rdata),
            skid.i.p.beat.error.eq(axi.rresp[1]),
            skid.i.p.last.eq(axi.rlast),
            self.beat.eq(axi.rvalid & axi.rready),
            self.command_data.payload.eq(skid.o.p.beat),
            self.load_data.payload.eq(skid.o.p.beat),
            self.command_data.valid.eq(skid.o.valid & owners.o.payload),
            self.load_data.valid.eq(skid.o.valid & ~owners.o.payload),
            owners.o.ready.eq(skid.o.valid & skid.o.ready & skid.o.p.last),
            self.idle.eq(~owners.o.valid),
        ]
        with m.If(owners.o.payload):
            m.d.comb += skid.o.ready.eq(self.command_data.ready)
        with m.Else():
            m.d.comb += skid.o.ready.eq(self.load_data.ready)
        return m
