"""cocotb bench of POST: random commands and stalls on every port against the golden machine; cycles; errors."""

from __future__ import annotations

import json
import os
import random
from collections import deque
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from hwgen import isa, timing
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.interfaces import ACT_READ_LATENCY, DRAIN_LATENCY
from hwgen.sim.post_model import Stream, command, payload


def configuration() -> Config:
    """Return the configuration of the built module (``HWGEN_CONFIG``, JSON)."""
    table = json.loads(os.environ["HWGEN_CONFIG"])
    return Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in table.items()})


class Bench:
    """Memories around POST; one call of `step` a cycle. ``stall`` is the probability that a port is not ready."""

    def __init__(self, dut: Any, stream: Stream, stall: float) -> None:
        self.dut, self.stream, self.config, self.d = dut, stream, stream.config, stream.derived
        self.rng, self.stall, self.cycle = random.Random(stream.seed), stall, 0
        self.act = stream.start.copy()
        self.queue: deque[int] = deque()
        self.accepted: list[int] = []
        self.finished: list[tuple[int, int]] = []  # (cycle, error code)
        self.issued: list[list[int]] = [[] for _ in range(self.d.pipes)]  # cycles of drain grants
        self.written: list[int] = []
        self.fetched: list[int] = []
        ports = [("drain", j, DRAIN_LATENCY) for j in range(self.d.pipes)] + [
            ("reads", k, ACT_READ_LATENCY) for k in range(2)
        ]
        # what a port shows in the coming cycles, oldest first
        self.late: dict[str, deque[int | None]] = {
            f"{n}__{j}": deque([None] * (latency - 1)) for n, j, latency in ports
        }
        self.late["param"] = deque([None] * (ACT_READ_LATENCY - 1))
        self.ready = {
            name: 0 for name in [*self.late, *(f"writes__{j}" for j in range(self.d.pipes))] if name != "param"
        }
        self.offering = False

    def pin(self, name: str) -> Any:
        return getattr(self.dut, name)

    async def start(self, *, clock: bool = True) -> None:
        """Start the clock and reset."""
        if clock:
            Clock(self.dut.clk, 10, unit="ns").start()
        self.dut.rst.value = 1
        self.dut.cmd__valid.value = 0
        self.dut.cmd__payload.value = 0
        for name in self.ready:
            self.pin(f"{name}__ready").value = 0
        for name in self.late:
            self.pin(f"{name}__data").value = 0
        for _ in range(3):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0
        await RisingEdge(self.dut.clk)

    def _granted(self, name: str) -> bool:
        return bool(self.ready[name]) and bool(int(self.pin(f"{name}__valid").value))

    def _show(self, name: str, value: int | None) -> None:
        """Queue what was read; drive what is due, noise otherwise."""
        line, pin = self.late[name], self.pin(f"{name}__data")
        line.append(value)
        due = line.popleft()
        pin.value = self.rng.getrandbits(len(pin)) if due is None else due

    def _drain(self, j: int) -> None:
        name, value = f"drain__{j}", None
        if self._granted(name):
            row, column, at = (int(self.pin(f"{name}__{f}").value) for f in ("row", "column", "addr"))
            assert column % self.d.pipes == j, f"pipe {j} reads column {column}"
            acc = self.stream.state.acc[column, row, at]
            bits = self.config.acc_bits
            value = sum((int(v) & (1 << bits) - 1) << bits * i for i, v in enumerate(acc))
            self.issued[j].append(self.cycle)
        self._show(name, value)

    def _read(self, k: int) -> None:
        name, value, width = f"reads__{k}", None, self.d.word
        if self._granted(name):
            at = int(self.pin(f"{name}__addr").value)
            assert at < self.d.act_words, f"source {k} reads word {at}"
            value = int.from_bytes(self.act[at * width:(at + 1) * width].tobytes(), "little")
            if k == 0:
                self.fetched.append(self.cycle)
        self._show(name, value)

    def _write(self, j: int) -> None:
        name, width = f"writes__{j}", self.d.word
        if self._granted(name):
            at, data, mask = (int(self.pin(f"{name}__{f}").value) for f in ("addr", "data", "mask"))
            assert at < self.d.act_words, f"pipe {j} writes word {at}"
            for i in range(width):
                if mask >> i & 1:
                    self.act[at * width + i] = data >> 8 * i & 0xFF
            self.written.append(self.cycle)

    async def step(self) -> None:
        """One cycle: look at what happened in it, then drive the next one."""
        await RisingEdge(self.dut.clk)
        d = self.dut
        for k in range(2):
            self._read(k)  # before the writes of the same cycle
        for j in range(self.d.pipes):
            self._drain(j)
            self._write(j)
        value = None
        if int(d.param__en.value):
            at, width = int(d.param__addr.value), self.d.dma_bytes
            assert at < self.d.param_words, f"parameter word {at}"
            value = int.from_bytes(self.stream.state.param[at * width:(at + 1) * width].tobytes(), "little")
        self._show("param", value)
        done, error = int(d.done.value), int(d.error.value)
        assert not (done and error)
        if done or error:
            self.finished.append((self.cycle, int(d.code.value) if error else 0))
        if self.offering and int(d.cmd__ready.value):
            self.queue.popleft()
            self.accepted.append(self.cycle)
            self.offering = False
        if self.queue and not self.offering:
            self.offering = self.rng.random() >= self.stall
        d.cmd__valid.value = int(self.offering)
        d.cmd__payload.value = self.queue[0] if self.offering else self.rng.getrandbits(100)
        for name in self.ready:
            self.ready[name] = int(self.rng.random() >= self.stall)
            self.pin(f"{name}__ready").value = self.ready[name]
        self.cycle += 1

    async def run(self, commands: list[isa.Command], limit: int = 200_000) -> None:
        """Send commands and step until all have finished (or an error came)."""
        self.queue.extend(payload(c) for c in commands)
        target = len(self.finished) + len(commands)
        start = self.cycle
        while len(self.finished) < target and not any(code for _, code in self.finished):
            await self.step()
            assert self.cycle < start + limit, f"{len(self.finished)} of {target} commands finished in {limit} cycles"


async def random_stream(dut: Any, stall: float, actions: int) -> None:
    """Run a stream; at each ``done`` the results of that command must be in memory, at the end everything."""
    seed = random.getrandbits(31)
    stream = Stream(configuration(), seed)
    stream.draw(actions)
    bench = Bench(dut, stream, stall)
    await bench.start()
    commands = stream.commands
    later = set()
    owned: list[np.ndarray] = [np.zeros(0, np.int64)] * len(commands)
    for i in reversed(range(len(commands))):  # vectors that no later command writes
        info = commands[i].info
        if info is not None:
            mine = set(info.address.tolist())
            owned[i] = np.array(sorted(mine - later), np.int64)
            later |= mine
    bench.queue.extend(payload(e.command) for e in commands)
    vector, seen, budget = stream.config.vector, 0, 0
    while seen < len(commands):
        await bench.step()
        budget += 1
        assert budget < 400_000, f"seed {seed}: command {seen} ({commands[seen].command}) does not finish"
        if len(bench.finished) > seen:
            assert bench.finished[seen][1] == 0, (
                f"seed {seed}: error {bench.finished[seen]} for {commands[seen].command}"
            )
            entry = commands[seen]
            if entry.act is not None:
                got, want = (a.reshape(-1, vector)[owned[seen]] for a in (bench.act, entry.act))
                bad = np.flatnonzero((got != want).any(1))
                assert not len(bad), (
                    f"seed {seed}: command {seen} {entry.command} registers {stream.state.registers}: "
                    f"vector {owned[seen][bad[0]]} is {got[bad[0]]}, not {want[bad[0]]} ({len(bad)} of {len(got)})"
                )
            seen += 1
    for _ in range(60):
        await bench.step()
    assert len(bench.finished) == len(commands), (
        f"seed {seed}: {len(bench.finished)} done pulses for {len(commands)} commands"
    )
    assert np.array_equal(bench.act, stream.state.act), f"seed {seed}: a byte nobody may write changed"
    assert max(len(v) for v in bench.issued) + len(bench.fetched) > 0


@cocotb.test()
async def no_stalls(dut: Any) -> None:
    await random_stream(dut, 0.0, 30)


@cocotb.test()
async def some_stalls(dut: Any) -> None:
    await random_stream(dut, 0.3, 30)


@cocotb.test()
async def many_stalls(dut: Any) -> None:
    await random_stream(dut, 0.8, 10)


def plain(config: Config, **quant: int) -> list[isa.Command]:
    """Settings under which nothing is dropped: one lane, vectors in a row, one parameter block."""
    ones = [command("PO_LEVEL", level=i, count=1) for i in range(7)]
    return [*ones, command("PO_QUANT", height=1, width=1, qmin=-128, qmax=127, nudge=1, final=1, cc_valid=63, **quant),
            command("PO_SCALAR", multiplier=1 << 30, shift=8), command("PO_PIPE", da=100), command("PO_ADD")]


@cocotb.test()
async def cycles(dut: Any) -> None:
    """Rates, start, tail and gaps of `hwgen.timing`."""
    config = configuration()
    d, block, vector = Derived(config), Derived(config).param_block, config.vector
    bench = Bench(dut, Stream(config, 1), 0.0)
    await bench.start()
    await bench.run(plain(config))

    async def measure(*commands: isa.Command) -> tuple[list[int], int, int]:
        """Cycles of the reads, of the first command's offer, and of the last done."""
        for _ in range(40):
            await bench.step()
        bench.issued[0].clear()
        bench.fetched.clear()
        offered = bench.cycle + 1
        await bench.run(list(commands))
        return bench.issued[0] or bench.fetched, offered, bench.finished[-1][0]

    def periods(cycles: list[int], items: int) -> set[int]:
        return {b - a for a, b in zip(cycles[::items], cycles[items::items], strict=False)}

    drain = command("DRAIN", mask=(1 << vector) - 1)
    for items in (1, 8, 60):
        await bench.run([command("PO_LEVEL", level=6, count=items, da=1)])
        issued, offered, done = await measure(drain)
        assert issued == list(range(offered + timing.POST_START + block, offered + timing.POST_START + block + items))
        assert done - issued[-1] == timing.POST_TAIL
        issued, _, _ = await measure(*[drain] * 6)
        assert periods(issued, items) == {max(items + timing.POST_GAP, block + timing.POST_BLOCK)}, (items, issued)
    # Four lanes with a parameter block each, or two; all pipes together or one after the other.
    await bench.run([command("PO_LEVEL", level=1, count=min(2, config.rows), dp=block, da=1),
                     command("PO_LEVEL", level=0, count=min(2, config.columns // d.pipes), dp=block, da=1)])
    for step, passes in ((0, 1), (block, d.pipes)):
        await bench.run([command("PO_PIPE", da=100, dp=step)])
        for items in (1, 4, 24):
            await bench.run([command("PO_LEVEL", level=6, count=items, da=1)])
            issued, _, _ = await measure(drain)
            assert periods(issued, items) == {max(items, block * passes + timing.POST_BLOCK)}, (step, items, issued)
    await bench.run(plain(config))
    await bench.run([command("PO_LEVEL", level=6, count=60, da=1), command("PO_SOURCE", level=6, ds=1)])
    for add in (0, 1) if "add" in config.operators else (0,):
        operands = command("PO_ADD", add=add, multiplier_b=1 << 30)
        issued, offered, done = await measure(operands, command("ELTWISE", a=0, b=64, out=128, mask=(1 << vector) - 1))
        assert issued[0] - offered == (timing.ADD_TABLE if add else timing.POST_START + 1) + block
        assert (
            issued[-1] - issued[0] <= 59 * timing.ELTWISE_CYCLES / timing.ELTWISE_ITEMS
            and done - issued[-1] == timing.ELTWISE_TAIL
        )
        issued, offered, _ = await measure(operands, command("ELTWISE", a=0, b=64, out=128, mask=(1 << vector) - 1))
        assert issued[0] - offered == timing.POST_START + 1 + block  # the table is there already
    bench.accepted.clear()
    await bench.run(plain(config))
    assert {b - a for a, b in zip(bench.accepted, bench.accepted[1:], strict=False)} == {timing.POST_SET}
    if "pixel" in config.mappings:
        for dp in (0, block):
            await bench.run(plain(config, transpose=1))
            await bench.run(
                [command("PO_LEVEL", level=4, count=3, dp=dp, da=1), command("PO_LEVEL", level=6, count=vector, da=1)]
            )
            issued, _, done = await measure(drain)
            assert periods(issued, vector) == {max(vector, block + timing.POST_BLOCK if dp else 0)}, (dp, issued)
            assert done - issued[-1] == timing.POST_TAIL + vector


@cocotb.test()
async def errors(dut: Any) -> None:
    """Every check: the code, the commands before it done, the results before it written, none after it."""
    config = configuration()
    d, vector, pixel = Derived(config), config.vector, "pixel" in config.mappings
    vectors, full = d.act_words * d.vectors_per_word, (1 << config.vector) - 1
    stream = Stream(config, 1)
    setup = [*plain(config), command("PO_PIPE")]
    drain, pair = {"mask": full}, {"mask": full, "out": 50, "a": 10, "b": 20}
    level, quant = command("PO_LEVEL", level=6, count=4, da=1), {"height": 1, "width": 1, "qmax": 127, "cc_valid": 63}
    cases: list[tuple[int, list[isa.Command], int]] = [  # code, last of them fails, vectors written before
        (1, [command("PO_LEVEL", level=7, count=1)], 0),
        (1, [command("PO_LEVEL", level=0, count=0)], 0),
        (1, [command("PO_SOURCE", level=3)], 0),
        (1, [command("PO_QUANT", final=3)], 0),
        (1, [command("PO_QUANT", log2_rc=config.rows.bit_length())], 0),
        (1, [command("PO_QUANT", log2_cc=config.columns.bit_length())], 0),
        (1, [command("PO_SCALAR", shift=40), command("ELTWISE", **pair)], 0),
        (1, [command("PO_SCALAR", shift=63), command("PO_QUANT", scalar=1, **quant), command("DRAIN", **drain)], 0),
        (
            1,
            [
                command("PO_LEVEL", level=5, count=3),
                command("PO_QUANT", transpose=1, **quant),
                command("DRAIN", **drain),
            ],
            0,
        ),
        (3, [level, command("DRAIN", a0=vectors - 1, **drain)], 1),
        (3, [level, command("DRAIN", a0=-1, **drain)], 0),
        (3, [level, command("DRAIN", acc_base=config.acc_vectors - 3, **drain)], 3),
        (3, [command("DRAIN", param=d.param_words - d.param_block + 1, **drain)], 0),
        (3, [command("PO_LEVEL", level=0, count=2, dp=-1, da=1), level, command("DRAIN", **drain)], 4),
        (3, [command("PO_LEVEL", level=3, count=config.rows + 1, da=1), command("DRAIN", **drain)], config.rows),
        (
            3,
            [command("PO_LEVEL", level=2, count=config.columns // d.pipes + 1, da=1), command("DRAIN", **drain)],
            config.columns // d.pipes,
        ),
        (3, [level, command("ELTWISE", **pair | {"out": vectors - 2})], 2),
        (3, [level, command("PO_SOURCE", level=6, ds=1), command("ELTWISE", **pair | {"a": vectors - 3})], 3),
        (3, [level, command("PO_SOURCE", level=6, ds=-1), command("ELTWISE", **pair | {"a": 0})], 1),
    ]
    if pixel:
        cases += [
            (
                3,
                [
                    command("PO_QUANT", transpose=1, **quant),
                    command("PO_LEVEL", level=6, count=vector, da=1),
                    command("DRAIN", a0=vectors - 3, **drain),
                ],
                3,
            ),
            (
                3,
                [
                    command("PO_QUANT", transpose=1, **quant),
                    command("PO_LEVEL", level=6, count=vector, da=1),
                    command("PO_LEVEL", level=4, count=2, da=1),
                    command("DRAIN", acc_base=config.acc_vectors - vector - 1, **drain),
                ],
                vector + 1,
            ),
        ]
    if "add" in config.operators:
        cases.append((3, [level, command("PO_SOURCE", level=6, ds=1), command("PO_ADD", add=1),
                          command("ELTWISE", **pair | {"b": vectors - 3})], 3))
    else:
        cases.append((1, [command("PO_ADD", add=1), command("ELTWISE", **pair)], 0))
    raw = [payload(c) for c in setup]
    for operation in (0, *range(9, 16)):
        cases.append((1, [], operation))
    for number, (code, commands, count) in enumerate(cases):
        bench = Bench(dut, stream, 0.2)
        await bench.start(clock=number == 0)
        words = [*raw, *(payload(c) for c in commands)] if commands else [*raw, count]
        bench.queue.extend([*words, payload(command("DRAIN", **drain)), payload(level)])
        for _ in range(400 + 40 * len(words)):
            await bench.step()
        label = f"{commands[-1] if commands else f'operation {count}'}"
        assert [c for _, c in bench.finished] == [0] * (len(words) - 1) + [code], (
            f"{label}: {bench.finished}, not code {code}"
        )
        if commands:
            assert len(bench.written) == count * (d.pipes if commands[-1].name == "DRAIN" else 1), (
                f"{label}: {len(bench.written)} writes"
            )
