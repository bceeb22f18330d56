"""The sequencer with modelled modules: random streams with tokens, checked against the rules of the architecture."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, Timer

from hwgen import isa
from hwgen.isa import WORKERS, Command, Module
from hwgen.sim.bench_tools import configuration, payload

N = len(WORKERS)
ADDRESS = 0x40


def random_stream(rng: random.Random, length: int, operations: list[isa.Operation]) -> list[Command]:
    """Return commands that take only tokens given earlier in the stream, some of which stay untaken."""
    tokens: Counter[tuple[int, int]] = Counter()
    stream = []
    for _ in range(length):
        op = rng.choice(operations)
        wait = tuple(m for m in WORKERS if tokens[m, op.module] and rng.random() < 0.7)
        post = tuple(m for m in WORKERS if rng.random() < 0.25 and tokens[op.module, m] < 200)
        for m in wait:
            tokens[m, op.module] -= 1
        for m in post:
            tokens[op.module, m] += 1
        args = {
            f.name: rng.randrange(-(1 << f.width - 1), 1 << f.width - 1) if f.signed else rng.randrange(1 << f.width)
            for f in op.fields
        }
        stream.append(Command(op.name, args, wait, post))
    return stream


class Worker:
    """A module that accepts now and then and completes in order, several commands deep."""

    def __init__(self, rng: random.Random, depth: int, slow: float) -> None:
        self.rng, self.depth, self.slow = rng, depth, slow
        self.held: deque[int] = deque()
        self.ready = False
        self.fail_at: int | None = None


class Bench:
    """Memory behind the fetch port, six workers, and a checker of every hand-over."""

    def __init__(
        self, dut: Any, stream: Sequence[Command | bytes], *, slow: float = 0.5, seed: int | None = None
    ) -> None:
        self.dut, self.config, self.stream = dut, configuration(), stream
        self.rng = random.Random(random.randrange(1 << 31))
        raw = b"".join(isa.encode(c) if isinstance(c, Command) else c for c in stream)
        self.memory = bytes(ADDRESS) + raw + bytes(4096)
        self.workers = [Worker(self.rng, self.rng.randint(1, 6), slow) for _ in WORKERS]
        self.bad_address: int | None = None
        self.beats: deque[tuple[int, int]] = deque()
        self.next = [
            deque(i for i, c in enumerate(stream) if isinstance(c, Command) and c.module == m) for m in WORKERS
        ]
        self.tokens: Counter[tuple[int, int]] = Counter()
        self.completed: list[int] = []
        self.gap = 0.3
        self.outcome: tuple[int, ...] | None = None
        self.cycle = 0

    async def run(
        self,
        *,
        count: int | None = None,
        watchdog: int = 0,
        limit: int = 30000,
        again: bool = False,
        address: int = ADDRESS,
    ) -> tuple[int, ...]:
        """Reset (unless this is a run ``again``), start, and return () for done or (code, module, index)."""
        dut = self.dut
        dut.start.value, dut.walking.value, dut.halt.value = 0, 0, 0
        dut.address.value, dut.count.value, dut.watchdog.value = (
            address,
            len(self.stream) if count is None else count,
            watchdog,
        )
        dut.beats__valid.value, dut.beats__payload.value, dut.request__ready.value = 0, 0, 0
        for i in range(N):
            for name, value in ((f"cmd_{i}__ready", 0), (f"done_{i}", 0), (f"error_{i}", 0), (f"code_{i}", 0)):
                getattr(dut, name).value = value
        if not again:
            Clock(dut.clk, 10, unit="ns").start()
            dut.rst.value = 1
            for _ in range(3):
                await FallingEdge(dut.clk)
        dut.rst.value, dut.start.value = 0, 1
        await FallingEdge(dut.clk)
        dut.start.value = 0
        # Drive at the falling edge, look just before the next rising edge: everything has settled.
        while self.outcome is None:
            self._drive()
            await Timer(4, unit="ns")
            self._sample()
            await FallingEdge(dut.clk)
            self.cycle += 1
            assert self.cycle < limit, (
                f"no end after {limit} cycles; {len(self.completed)} of {len(self.stream)} commands completed"
            )
        return self.outcome

    def _drive(self) -> None:
        dut = self.dut
        dut.request__ready.value = int(self.rng.random() > self.gap)
        self.offered = bool(self.beats) and self.rng.random() > self.gap
        dut.beats__valid.value = int(self.offered)
        if self.offered:
            dut.beats__payload.value = self.beats[0][0] | self.beats[0][1] << self.config.axi_bits
        for i, w in enumerate(self.workers):
            w.ready = len(w.held) < w.depth and w.rng.random() > w.slow
            ends = bool(w.held) and w.rng.random() > w.slow
            fails = ends and w.held[0] == w.fail_at
            getattr(dut, f"cmd_{i}__ready").value = int(w.ready)
            getattr(dut, f"done_{i}").value, getattr(dut, f"error_{i}").value = int(ends and not fails), int(fails)
            getattr(dut, f"code_{i}").value = 9 if fails else 0

    def _sample(self) -> None:
        dut = self.dut
        if int(dut.done.value):
            assert len(self.completed) == len(
                [c for c in self.stream if isinstance(c, Command) and c.module is not Module.CTRL]
            ), "done early"
            self.outcome = ()
        if int(dut.error.value):
            self.outcome = (int(dut.code.value), int(dut.module.value), int(dut.index.value))
        if int(dut.request__valid.value) and int(dut.request__ready.value):
            self._request(int(dut.request__payload.value))
        if self.offered:
            assert int(dut.beats__ready.value), "the fetch unit requests only what it has room for"
            self.beats.popleft()
        for i, w in enumerate(self.workers):
            if int(getattr(dut, f"cmd_{i}__valid").value) and w.ready:
                self._accept(i, int(getattr(dut, f"cmd_{i}__payload").value))
        # Tokens given now can be taken from the next cycle on.
        for i, w in enumerate(self.workers):
            if int(getattr(dut, f"done_{i}").value):
                index = w.held.popleft()
                self.completed.append(index)
                for m in self._command(index).post:
                    self.tokens[i, int(m)] += 1
            elif int(getattr(dut, f"error_{i}").value):
                w.held.popleft()

    def _command(self, index: int) -> Command:
        command = self.stream[index]
        assert isinstance(command, Command)
        return command

    def _request(self, value: int) -> None:
        address, beats, size = value & 0xFFFFFFFF, (value >> 32) + 1, self.config.axi_bits // 8
        assert address % size == 0 and address // 4096 == (address + beats * size - 1) // 4096
        for a in range(address, address + beats * size, size):
            error = self.bad_address is not None and a <= self.bad_address < a + size
            self.beats.append((int.from_bytes(self.memory[a : a + size], "little"), int(error)))

    def _accept(self, module: int, bits: int) -> None:
        """Check order, content and tokens of a command that a module takes."""
        index = self.next[module].popleft()
        command = self._command(index)
        assert bits == payload(command), f"command {index} ({command.name}) arrives altered"
        for m in command.wait:
            assert self.tokens[int(m), module] > 0, (
                f"command {index} ({command.name}) runs without the token of {m.name}"
            )
            self.tokens[int(m), module] -= 1
        self.workers[module].held.append(index)


def operations() -> list[isa.Operation]:
    return [op for op in isa.operations(configuration()) if op.module is not Module.CTRL]


END = Command("END", {})


@cocotb.test()
async def random_streams(dut: Any) -> None:
    for slow in (0.0, 0.5, 0.9):
        stream: list[Command | bytes] = [
            *random_stream(random.Random(random.randrange(1 << 31)), 150, operations()),
            END,
        ]
        bench = Bench(dut, stream, slow=slow)
        assert await bench.run() == ()
        assert sorted(bench.completed) == list(range(len(stream) - 1))


@cocotb.test()
async def illegal_bits(dut: Any) -> None:
    """Any operation that the machine does not have, module or reserved bit stops the stream at that command."""
    legal = {(int(op.module), op.code) for op in isa.operations(configuration())}
    rng = random.Random(random.randrange(1 << 31))
    for _ in range(25):
        good = random_stream(rng, rng.randint(0, 20), operations())
        header = bytearray(isa.encode(random_stream(rng, 1, operations())[0]))
        header[1:3] = b"\0\0"
        kind = rng.randrange(4)
        if kind == 0:
            key = rng.choice([k for k in range(256) if (k & 15, k >> 4) not in legal])
            header[0] = key
        else:
            header[{1: 1, 2: 2, 3: 3}[kind]] |= rng.choice([0x40, 0x80])
        bench = Bench(dut, [*good, bytes(header), END], slow=0.3)
        assert await bench.run() == (1, 7, len(good)), header.hex()


@cocotb.test()
async def stream_cut_short(dut: Any) -> None:
    stream: list[Command | bytes] = [*random_stream(random.Random(random.randrange(1 << 31)), 40, operations()), END]
    for count in (0, 1, 17, 40):
        assert await Bench(dut, stream).run(count=count) == (2, 7, count)


@cocotb.test()
async def failing_module(dut: Any) -> None:
    """A module's error is reported with its code and the command's index; nothing is issued afterwards."""
    for _ in range(10):
        stream: list[Command | bytes] = [
            *random_stream(random.Random(random.randrange(1 << 31)), 40, operations()),
            END,
        ]
        bench = Bench(dut, stream)
        index = bench.rng.randrange(40)
        module = int(bench._command(index).module)
        bench.workers[module].fail_at = index
        assert await bench.run() == (9, module, index)
        for i in range(N):
            assert not int(getattr(dut, f"cmd_{i}__valid").value)


@cocotb.test()
async def fetch_error(dut: Any) -> None:
    for _ in range(5):
        stream: list[Command | bytes] = [
            *random_stream(random.Random(random.randrange(1 << 31)), 40, operations()),
            END,
        ]
        bench = Bench(dut, stream)
        index = bench.rng.randrange(41)
        bench.bad_address = ADDRESS + 16 * index + bench.rng.randrange(16)
        wide = bench.config.axi_bits // 128
        code, module, found = await bench.run()
        # Commands that share a beat share its error; the first of them is named.
        assert (code, module) == (8, 7) and found == (
            index if wide < 2 else (ADDRESS + 16 * index) // 32 * 2 - ADDRESS // 16
        )


@cocotb.test()
async def watchdog(dut: Any) -> None:
    """A token that nobody gives: the waiting command is named, the set time after the last completion."""
    op = random_stream(random.Random(1), 3, [isa.BY_NAME["SEGMENT"]])
    stuck = Command(op[1].name, op[1].args, (Module.POST,), ())
    bench = Bench(dut, [op[0], stuck, op[2], END], slow=0.0)
    assert await bench.run(watchdog=300) == (6, int(Module.GRID), 1)
    assert 300 < bench.cycle < 400


@cocotb.test()
async def watchdog_and_done(dut: Any) -> None:
    """Whenever it expires, the cycle of ``done`` and those around it included, a run ends once: done or error."""
    ends = []
    for limit in range(1, 40):
        # END alone: a completion would start the watchdog anew, too late to expire with ``done``.
        bench = Bench(dut, [END], slow=0.0)
        bench.gap = 0.0
        ends.append(await bench.run(watchdog=limit))
        for _ in range(6):
            assert not (dut.done.value or dut.error.value), f"watchdog {limit}: a second end after {ends[-1]}"
            await FallingEdge(dut.clk)
    late = ends.index(())
    assert late > 0 and all(e == () for e in ends[late:]) and all(e[0] == 6 for e in ends[:late]), ends


@cocotb.test()
async def token_overflow(dut: Any) -> None:
    segment = random_stream(random.Random(1), 1, [isa.BY_NAME["SEGMENT"]])[0]
    giver = Command(segment.name, segment.args, (), (Module.STORE,))
    assert await Bench(dut, [giver] * 255 + [END], slow=0.0).run() == ()
    assert await Bench(dut, [giver] * 256 + [END], slow=0.0).run() == (7, int(Module.GRID), 255)


@cocotb.test()
async def commands_behind_end(dut: Any) -> None:
    """They are dropped, wherever they are when the run ends: the next run, without a reset, begins with its own."""
    rng = random.Random(random.randrange(1 << 31))
    for i, behind in enumerate((3, 12, 20, 31, 60)):
        stream = [*random_stream(rng, rng.randint(1, 12), operations()), END]
        junk = [isa.encode(c) for c in random_stream(rng, behind, operations())]
        # Without tokens, since what one stream leaves is there for the next.
        bare = [Command(c.name, c.args) for c in stream]
        bench = Bench(dut, [*bare, *junk], slow=rng.choice((0.0, 0.9)))
        bench.gap = rng.choice((0.0, 0.3))
        assert await bench.run(again=i > 0) == (), behind
    assert await Bench(dut, [END]).run(again=True, address=ADDRESS + 4) == (3, 7, 0)
