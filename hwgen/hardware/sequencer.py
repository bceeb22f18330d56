"""Sequencer: legality, dispatch in order, tokens, completion, errors, watchdog."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen import isa
from hwgen.config import Config
from hwgen.hardware.axi import BurstLayout, Skid, read_beat
from hwgen.hardware.command_fetch import CommandFetch
from hwgen.hardware.interfaces import CommandLayout
from hwgen.hardware.queue import INDEX_BITS, Queue, payload_bits
from hwgen.hardware.tokens import N, Tokens

HeaderLayout = data.StructLayout({"module": 4, "op": 4, "wait": 8, "post": 8, "flags": 8, "payload": isa.PAYLOAD_BITS})
DecodedLayout = data.StructLayout(
    {"target": N, "end": 1, "unread": 1, "illegal": 1, "command": HeaderLayout}
)
"""A command and what becomes of it: a queue (one-hot), END, or an error."""
StruckLayout = data.StructLayout({"worker": N, "stream": 1, "watchdog": 1})
"""Causes of an error, a cycle late."""
ILLEGAL, NO_END, ADDRESS, WATCHDOG, OVERFLOW, FETCH = 1, 2, 3, 6, 7, 8
STALLS = (isa.Module.WFETCH, isa.Module.AFETCH, isa.Module.POST)


class Sequencer(wiring.Component):
    """Run the command stream.

    Ports
    -----
    start, address, count, watchdog : from the registers.
    request, beats : command fetch, client of the read master.
    cmd_<i>, done_<i>, error_<i>, code_<i> : worker module i.
    busy, done, error, code, module, index : state and result.
    halt : fetch nothing, issue nothing from the next cycle on (before a reset).
    walking : the grid executes a position. stall : one bit per stall cause (WFETCH, AFETCH, POST, LOAD/STORE, none
    queued).
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        ports: dict[str, wiring.Member] = {}
        for i in range(N):
            ports |= {
                f"cmd_{i}": Out(stream.Signature(CommandLayout)),
                f"done_{i}": In(1),
                f"error_{i}": In(1),
                f"code_{i}": In(4),
            }
        super().__init__(
            ports
            | {
                "start": In(1),
                "address": In(32),
                "count": In(24),
                "watchdog": In(32),
                "request": Out(stream.Signature(BurstLayout)),
                "beats": In(stream.Signature(read_beat(config.axi_bits))),
                "busy": Out(1),
                "done": Out(1),
                "error": Out(1),
                "code": Out(4),
                "module": Out(4),
                "index": Out(INDEX_BITS),
                "walking": In(1),
                "stall": Out(5),
                "halt": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self.struck = Signal(StruckLayout)
        m.submodules.fetch = fetch = CommandFetch(self.config)
        m.submodules.tokens = tokens = Tokens()
        queues = [Queue(self.config, isa.Module(i)) for i in range(N)]
        stopped, dispatched = Signal(), Signal(INDEX_BITS)
        running, ending = Signal(), Signal()
        begin = Signal()
        stop = Signal()
        m.d.sync += stop.eq(stopped | self.halt)
        m.d.comb += [begin.eq(self.start & ~running & ~stopped), self.busy.eq(running)]
        for i, queue in enumerate(queues):
            m.submodules[f"queue_{isa.Module(i).name.lower()}"] = queue
            cmd = getattr(self, f"cmd_{i}")
            m.d.comb += [
                cmd.valid.eq(queue.cmd.valid),
                cmd.payload.eq(queue.cmd.payload),
                queue.cmd.ready.eq(cmd.ready),
                queue.stop.eq(stop),
                queue.retire.eq(getattr(self, f"done_{i}") | getattr(self, f"error_{i}")),
                queue.have.eq(getattr(tokens, f"have_{i}")),
                getattr(tokens, f"take_{i}").eq(queue.take),
            ]
            with m.If(getattr(self, f"done_{i}")):
                m.d.comb += getattr(tokens, f"give_{i}").eq(queue.post)
        m.d.comb += [
            self.request.valid.eq(fetch.request.valid & ~stopped & ~self.halt),
            self.request.payload.eq(fetch.request.payload),
            fetch.request.ready.eq(self.request.ready & ~stopped & ~self.halt),
            fetch.beats.valid.eq(self.beats.valid),
            fetch.beats.payload.eq(self.beats.payload),
            self.beats.ready.eq(fetch.beats.ready),
            fetch.address.eq(self.address),
            fetch.count.eq(self.count),
            fetch.discard.eq(ending),
        ]
        dispatch_error, dispatch_code = self._dispatch(m, fetch, queues, running, ending, stopped, dispatched, begin)
        expired = self._watchdog(m, running, begin)
        self._errors(m, queues, tokens, running, stopped, dispatched, begin, dispatch_error, dispatch_code, expired)
        self._stalls(m, queues[isa.Module.GRID], running)
        self._trace(m, queues)
        return m

    def _dispatch(
        self,
        m: Module,
        fetch: CommandFetch,
        queues: list[Queue],
        running: Signal,
        ending: Signal,
        stopped: Signal,
        dispatched: Signal,
        begin: Signal,
    ) -> tuple[Signal, Signal]:
        """Move the head of the stream to its queue; END and the faults of the stream itself.

        What a command is, and for whom, is decided a cycle before it goes on: both and the queues are too long a way.
        """
        coming = data.View(HeaderLayout, fetch.o.p.word)
        legal, error, code = Signal(), Signal(), Signal(4)
        ready, total, aligned = Signal(), Signal(INDEX_BITS), Signal()
        step = max(isa.COMMAND_BYTES, self.config.axi_bits // 8)
        m.d.comb += [aligned.eq((self.address & (step - 1)) == 0), fetch.start.eq(begin & aligned & (self.count != 0))]
        with m.If(begin):
            m.d.sync += [running.eq(1), dispatched.eq(0), ending.eq(0), total.eq(self.count)]
            with m.If(~aligned):
                m.d.comb += [error.eq(1), code.eq(ADDRESS)]
        with m.Switch(Cat(coming.module, coming.op)):
            for op in isa.operations(self.config):
                with m.Case(int(op.module) | op.code << 4):
                    m.d.comb += legal.eq((coming.flags == 0) & (coming.wait[6:] == 0) & (coming.post[6:] == 0))
        m.submodules.decoded = decoded = Skid(DecodedLayout)
        good, head, go = legal & ~fetch.o.p.error, decoded.o.p, Signal()
        m.d.comb += [
            # Nothing behind END: it would wait here for the next run.
            decoded.i.valid.eq(fetch.o.valid & ~ending),
            fetch.o.ready.eq(decoded.i.ready),
            decoded.i.p.target.eq(Cat(good & (coming.module == i) for i in range(N))),
            decoded.i.p.end.eq(good & (coming.module == isa.Module.CTRL)),
            decoded.i.p.unread.eq(fetch.o.p.error),
            decoded.i.p.illegal.eq(~legal),
            decoded.i.p.command.eq(fetch.o.p.word),
            go.eq(running & ~stopped & ~ending & decoded.o.valid),
            decoded.o.ready.eq(ending | (running & ~stopped & (ready | head.end))),
        ]
        for i, queue in enumerate(queues):
            item = queue.i.p
            m.d.comb += [
                queue.i.valid.eq(go & head.target[i]),
                item.op.eq(head.command.op),
                item.wait.eq(head.command.wait),
                item.post.eq(head.command.post),
                item.index.eq(dispatched),
                item.payload.eq(head.command.payload[: payload_bits(self.config, isa.Module(i))]),
            ]
            with m.If(head.target[i] & queue.i.ready):
                m.d.comb += ready.eq(1)
        with m.If(go & (ready | head.end)):
            m.d.sync += dispatched.eq(dispatched + 1)
            with m.If(head.end):
                m.d.sync += ending.eq(1)
        with m.If(running & ~ending & ~stopped):
            with m.If(decoded.o.valid & head.unread):
                m.d.comb += [error.eq(1), code.eq(FETCH)]
            with m.Elif(decoded.o.valid & head.illegal):
                m.d.comb += [error.eq(1), code.eq(ILLEGAL)]
            with m.Elif(dispatched == total):
                m.d.comb += [error.eq(1), code.eq(NO_END)]
        idle = Signal()
        m.d.comb += [
            idle.eq(Cat(*(q.empty for q in queues)).all() & fetch.idle & ~decoded.o.valid),
            self.done.eq(running & ending & idle & ~stopped & ~Value.cast(self.struck).any()),
        ]
        with m.If(self.done):
            m.d.sync += [running.eq(0), ending.eq(0)]
        return error, code

    def _watchdog(self, m: Module, running: Signal, begin: Signal) -> Signal:
        """Count down from the last completion."""
        left, expired = Signal(32), Signal()
        alive = Signal()
        m.d.comb += [
            alive.eq(begin | Cat(*(getattr(self, f"done_{i}") for i in range(N))).any()),
            expired.eq(running & (self.watchdog != 0) & (left == 0) & ~alive & ~self.done),
        ]
        with m.If(alive | ~running):
            m.d.sync += left.eq(self.watchdog)
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        return expired

    def _errors(
        self,
        m: Module,
        queues: list[Queue],
        tokens: Tokens,
        running: Signal,
        stopped: Signal,
        dispatched: Signal,
        begin: Signal,
        dispatch_error: Signal,
        dispatch_code: Signal,
        expired: Signal,
    ) -> None:
        """Keep the first error and stop. Causes are registered: from a queue's memory, where the index of a command is,
        through their priority, is too long a way."""
        struck, faulty, late = self.struck, Signal(4), Signal(INDEX_BITS)
        codes = [Signal(4, name=f"code{i}") for i in range(N)]
        at = [Signal(INDEX_BITS, name=f"index{i}") for i in range(N)]
        for i, queue in enumerate(queues):
            error = getattr(self, f"error_{i}")
            m.d.sync += [
                struck.worker[i].eq(error | getattr(tokens, f"overflow_{i}")),
                codes[i].eq(Mux(error, getattr(self, f"code_{i}"), OVERFLOW)),
                at[i].eq(queue.index),
            ]
        m.d.sync += [
            struck.stream.eq(dispatch_error),
            struck.watchdog.eq(expired),
            faulty.eq(dispatch_code),
            late.eq(Mux(begin, 0, dispatched)),
        ]
        code, module, index = Signal(4), Signal(4), Signal(INDEX_BITS)
        # Later assignments win, so causes come in rising priority.
        m.d.comb += [code.eq(WATCHDOG), module.eq(isa.Module.CTRL), index.eq(late)]
        for i in reversed(range(N)):
            with m.If(~queues[i].empty):
                m.d.comb += [module.eq(i), index.eq(queues[i].index)]
        with m.If(struck.stream):
            m.d.comb += [code.eq(faulty), module.eq(isa.Module.CTRL), index.eq(late)]
        for i in reversed(range(N)):
            with m.If(struck.worker[i]):
                m.d.comb += [code.eq(codes[i]), module.eq(i), index.eq(at[i])]
        first = Signal()
        m.d.comb += first.eq(Value.cast(struck).any() & ~stopped)
        m.d.sync += self.error.eq(first)
        with m.If(first):
            m.d.sync += [stopped.eq(1), running.eq(0), self.code.eq(code), self.module.eq(module), self.index.eq(index)]

    def _stalls(self, m: Module, grid: Queue, running: Signal) -> None:
        causes = Signal(5)
        missing = grid.missing
        with m.If(~grid.waiting):
            m.d.comb += causes[4].eq(1)
        with m.Elif(missing.any()):
            others = Cat(missing[i] for i in range(N) if i not in STALLS)
            with m.If(missing[isa.Module.WFETCH]):
                m.d.comb += causes[0].eq(1)
            with m.Elif(missing[isa.Module.AFETCH]):
                m.d.comb += causes[1].eq(1)
            with m.Elif(missing[isa.Module.POST]):
                m.d.comb += causes[2].eq(1)
            with m.Elif(others.any()):
                m.d.comb += causes[3].eq(1)
        with m.If(running & ~self.walking):
            m.d.comb += self.stall.eq(causes)

    def _trace(self, m: Module, queues: list[Queue]) -> None:
        """Name the signals that the network bench looks at; they cost nothing in hardware."""
        issue, retire = Signal(N, name="trace_issue"), Signal(N, name="trace_retire")
        oldest = Signal(N * INDEX_BITS, name="trace_index")
        m.d.comb += [
            issue.eq(Cat(q.cmd.valid & q.cmd.ready for q in queues)),
            retire.eq(Cat(q.retire for q in queues)),
            oldest.eq(Cat(q.index for q in queues)),
        ]
