"""Fetch the command stream ahead of its dispatch and cut it into commands."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out

from hwgen.config import Config
from hwgen.hardware.axi import BurstLayout, read_beat
from hwgen.hardware.dma import Splitter
from hwgen.isa import COMMAND_BYTES

CHUNK_BYTES = 256
"""Bytes of a fetch burst; twice as many are buffered, so one burst is under way while the other is consumed."""

FetchedCommand = data.StructLayout({"word": 8 * COMMAND_BYTES, "error": 1})


class CommandFetch(wiring.Component):
    """Read ``count`` commands from ``address`` and offer them one by one.

    Ports
    -----
    start : pulse with ``address`` (multiple of bus and command) and ``count`` >= 1.
    request, beats : client of the read master.
    o : commands, ``error`` set when one of their beats came with an error response.
    discard : drop everything that arrives and request nothing more (after END).
    idle : nothing requested and not yet arrived, or arrived and still buffered.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.beat_bytes = config.axi_bits // 8
        super().__init__(
            {
                "start": In(1),
                "address": In(32),
                "count": In(24),
                "request": Out(stream.Signature(BurstLayout)),
                "beats": In(stream.Signature(read_beat(config.axi_bits))),
                "o": Out(stream.Signature(FetchedCommand)),
                "discard": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.config.axi_bits
        chunk = CHUNK_BYTES // self.beat_bytes
        m.submodules.splitter = splitter = Splitter(bits, 28, chunk)
        m.submodules.buffer = buffer = SyncFIFOBuffered(width=bits + 1, depth=2 * chunk)
        reserved = Signal(range(2 * chunk + 1))
        beats = Signal(28)
        shift = self.beat_bytes.bit_length() - 1
        fire, asked = Signal(), Signal(range(chunk + 1))
        m.d.comb += [
            beats.eq(((self.count << 4) + self.beat_bytes - 1) >> shift),
            splitter.i.valid.eq(self.start),
            splitter.i.p.address.eq(self.address),
            splitter.i.p.beats.eq(beats),
            self.request.payload.eq(splitter.o.payload),
            self.request.valid.eq(splitter.o.valid & (reserved <= chunk) & ~self.discard),
            fire.eq(self.request.valid & self.request.ready),
            splitter.o.ready.eq((self.request.ready & (reserved <= chunk)) | self.discard),
            asked.eq(Mux(fire, splitter.o.p.beats_minus_1 + 1, 0)),
            buffer.w_en.eq(self.beats.valid),
            buffer.w_data.eq(Cat(self.beats.p.data, self.beats.p.error)),
            self.beats.ready.eq(1),
            self.idle.eq(~splitter.o.valid & (reserved == 0)),
        ]
        m.d.sync += reserved.eq(reserved + asked - (buffer.r_rdy & buffer.r_en))
        self._commands(m, buffer)
        return m

    def _commands(self, m: Module, buffer: SyncFIFOBuffered) -> None:
        """Join beats into a command, or cut a wide beat into two."""
        bits, size = self.config.axi_bits, 8 * COMMAND_BYTES
        word, error, full, take = Signal(size), Signal(), Signal(), Signal()
        beat, bad = buffer.r_data[:bits], buffer.r_data[bits]
        free = Signal()
        m.d.comb += [
            self.o.valid.eq(full),
            self.o.p.word.eq(word),
            self.o.p.error.eq(error),
            free.eq(~full | self.o.ready),
            take.eq(buffer.r_rdy & (free | self.discard)),
        ]
        with m.If(self.o.ready):
            m.d.sync += full.eq(0)
        if bits <= size:
            ratio = size // bits
            part = Signal(range(max(ratio, 2)))
            m.d.comb += buffer.r_en.eq(take)
            with m.If(take):
                m.d.sync += [
                    word.eq(Cat(word, beat)[bits:]),
                    error.eq(bad | Mux(part == 0, 0, error)),
                    part.eq(Mux(part == ratio - 1, 0, part + 1)),
                    full.eq((part == ratio - 1) & ~self.discard),
                ]
        else:
            half = Signal()
            m.d.comb += buffer.r_en.eq(take & (half | self.discard))
            with m.If(take):
                m.d.sync += [
                    word.eq(Mux(half, beat[size:], beat[:size])),
                    error.eq(bad),
                    full.eq(~self.discard),
                    half.eq(~half),
                ]
        with m.If(self.start):
            m.d.sync += full.eq(0)
            m.d.sync += (half if bits > size else part).eq(0)
        with m.If(self.discard):
            m.d.sync += full.eq(0)
