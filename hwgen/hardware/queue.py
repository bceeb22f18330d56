"""Command queue and gate of one worker module."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen import isa
from hwgen.config import Config
from hwgen.hardware.axi import Skid
from hwgen.hardware.interfaces import CommandLayout
from hwgen.hardware.tokens import N

INDEX_BITS = 24


def payload_bits(config: Config, module: isa.Module) -> int:
    """Return the widest payload of the commands of ``module``; the queue stores no more."""
    return max(sum(f.width for f in op.fields) for op in isa.operations(config) if op.module is module)


def entry(config: Config, module: isa.Module) -> data.StructLayout:
    """Return what the dispatcher puts into the queue of ``module``."""
    bits = payload_bits(config, module)
    return data.StructLayout({"op": 4, "wait": N, "post": N, "index": INDEX_BITS, "payload": bits})


class Queue(wiring.Component):
    """Holds commands until they have *completed*: one memory serves as queue and as list of commands under way.

    A command is offered to its module once its tokens are there, from a buffer of two. So there are three cycles: from
    the memory, for the tokens (which it takes when it goes on), for the module. An entry is freed when the
    module reports done or error; ``index`` always names the oldest command that has not completed.

    Ports
    -----
    i : commands from the dispatcher. cmd : to the module. retire : done or error pulse of the module.
    have, take : tokens. post, index : of the oldest command. stop : offer nothing.
    empty : nothing queued or under way. missing : tokens the next command waits for. waiting : there is a next command.
    """

    def __init__(self, config: Config, module: isa.Module) -> None:
        self.config, self.module, self.depth = config, module, config.queue
        super().__init__(
            {
                "i": In(stream.Signature(entry(config, module))),
                "cmd": Out(stream.Signature(CommandLayout)),
                "retire": In(1),
                "have": In(N),
                "take": Out(N),
                "post": Out(N),
                "index": Out(INDEX_BITS),
                "stop": In(1),
                "empty": Out(1),
                "missing": Out(N),
                "waiting": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout, depth = entry(self.config, self.module), self.depth
        issue_layout = data.StructLayout({"op": 4, "wait": N, "payload": payload_bits(self.config, self.module)})
        meta_layout = data.StructLayout({"post": N, "index": INDEX_BITS})
        m.submodules.commands = commands = Memory(shape=issue_layout, depth=depth, init=[])
        m.submodules.meta = meta = Memory(shape=meta_layout, depth=depth, init=[])
        write, issue = commands.write_port(), commands.read_port(domain="comb")
        write_meta, oldest = meta.write_port(), meta.read_port(domain="comb")
        put, get, free = Signal(range(depth)), Signal(range(depth)), Signal(range(depth))
        queued, held, more, less = (Signal(range(depth + 1), name=name) for name in ("queued", "held", "more", "less"))
        full, some = Signal(), Signal()
        pushed, issued = Signal(), Signal()
        m.submodules.skid = skid = Skid(CommandLayout)
        wanting = Signal(N)
        ahead, head, loaded = Signal(), Signal(issue_layout), Signal()

        def step(pointer: Signal) -> object:
            return Mux(pointer == depth - 1, 0, pointer + 1)

        item = data.View(layout, self.i.payload)
        m.d.comb += [
            write.addr.eq(put),
            write.en.eq(pushed),
            write.data.op.eq(item.op),
            write.data.wait.eq(item.wait),
            write.data.payload.eq(item.payload),
            write_meta.addr.eq(put),
            write_meta.en.eq(pushed),
            write_meta.data.post.eq(item.post),
            write_meta.data.index.eq(item.index),
            issue.addr.eq(get),
            oldest.addr.eq(free),
            pushed.eq(self.i.valid & self.i.ready),
            self.waiting.eq((queued != 0) | ahead | skid.o.valid),
            wanting.eq(head.wait & ~self.have),
            self.missing.eq(Mux(ahead & ~skid.o.valid, wanting, 0)),
            self.cmd.valid.eq(skid.o.valid & ~self.stop),
            self.cmd.payload.eq(skid.o.payload),
            skid.o.ready.eq(self.cmd.ready),
            skid.i.valid.eq(issued),
            skid.i.p.op.eq(head.op),
            skid.i.p.payload.eq(head.payload),
            loaded.eq((queued != 0) & (~ahead | issued)),
            issued.eq(ahead & ~wanting.any() & ~self.stop & skid.i.ready),
            self.take.eq(Mux(issued, head.wait, 0)),
            self.post.eq(oldest.data.post),
            self.index.eq(oldest.data.index),
            self.i.ready.eq(~full),
            self.empty.eq(~some),
            more.eq(held + 1),
            less.eq(held - 1),
        ]
        # Flags and multiplexers: additions behind a long handshake are too much.
        m.d.sync += queued.eq(Mux(loaded, queued + pushed - 1, queued + pushed))
        with m.If(pushed & ~self.retire):
            m.d.sync += [held.eq(more), full.eq(held == depth - 1), some.eq(1)]
        with m.If(self.retire & ~pushed):
            m.d.sync += [held.eq(less), full.eq(0), some.eq(held != 1)]
        with m.If(issued):
            m.d.sync += ahead.eq(0)
        with m.If(loaded):
            m.d.sync += [ahead.eq(1), head.eq(issue.data)]
        with m.If(pushed):
            m.d.sync += put.eq(step(put))
        with m.If(loaded):
            m.d.sync += get.eq(step(get))
        with m.If(self.retire):
            m.d.sync += free.eq(step(free))
        return m
