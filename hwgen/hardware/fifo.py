"""Stream FIFO in distributed memory whose flags are flip-flops."""

from __future__ import annotations

from amaranth import Module, Shape, Signal, Value
from amaranth.hdl import ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class Fifo(wiring.Component):
    """Latency 1, one transfer a cycle.

    `amaranth.lib.fifo.SyncFIFO` compares its level for ``ready`` and ``valid`` and adds to it after them; here both
    ends of a cycle are a flip-flop and a multiplexer, which matters at every place where a handshake is long.

    Parameters
    ----------
    shape : ShapeLike
    depth : int
        Entries; the memory has the next power of two.

    Ports
    -----
    i, o : streams. level : entries.
    """

    def __init__(self, shape: ShapeLike, depth: int) -> None:
        self.width, self.depth = Shape.cast(shape).width, depth
        super().__init__(
            {"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape)), "level": Out(range(depth + 1))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.storage = storage = Memory(shape=self.width, depth=1 << (self.depth - 1).bit_length(), init=[])
        write, read = storage.write_port(), storage.read_port(domain="comb")
        level, put, take, full = self.level, Signal(), Signal(), Signal()
        more, less = Signal.like(level), Signal.like(level)
        m.d.comb += [
            self.i.ready.eq(~full),
            put.eq(self.i.valid & ~full),
            take.eq(self.o.valid & self.o.ready),
            write.data.eq(Value.cast(self.i.payload)),
            write.en.eq(put),
            Value.cast(self.o.payload).eq(read.data),
            more.eq(level + 1),
            less.eq(level - 1),
        ]
        with m.If(put):
            m.d.sync += write.addr.eq(write.addr + 1)
        with m.If(take):
            m.d.sync += read.addr.eq(read.addr + 1)
        with m.If(put & ~take):
            m.d.sync += [level.eq(more), full.eq(level == self.depth - 1), self.o.valid.eq(1)]
        with m.If(take & ~put):
            m.d.sync += [level.eq(less), full.eq(0), self.o.valid.eq(level != 1)]
        return m


class Backlog(wiring.Component):
    """A `Fifo` for a source that knows when there is room: no level, and nothing to compare at the input.

    Parameters
    ----------
    shape : ShapeLike
    depth : int
        Entries, a power of two.

    Ports
    -----
    i : stream, always ready. o : stream.
    """

    def __init__(self, shape: ShapeLike, depth: int) -> None:
        self.width, self.depth = Shape.cast(shape).width, depth
        super().__init__({"i": In(stream.Signature(shape, always_ready=True)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.storage = storage = Memory(shape=self.width, depth=self.depth, init=[])
        write, read = storage.write_port(), storage.read_port(domain="comb")
        after = Signal.like(read.addr)
        m.d.comb += [
            write.data.eq(Value.cast(self.i.payload)), write.en.eq(self.i.valid), after.eq(read.addr + 1),
            Value.cast(self.o.payload).eq(read.data)]
        with m.If(self.i.valid):
            m.d.sync += [write.addr.eq(write.addr + 1), self.o.valid.eq(1)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += read.addr.eq(after)
            with m.If(~self.i.valid):
                m.d.sync += self.o.valid.eq(write.addr != after)
        return m
