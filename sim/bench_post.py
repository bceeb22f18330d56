"""cocotb bench of POST: random commands and stalls on every port against the golden machine."""

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

from hwgen import isa
from hwgen.config import Config
from hwgen.hardware.interfaces import ACT_READ_LATENCY, DRAIN_LATENCY
from hwgen.sim.post_model import Stream, payload


def configuration() -> Config:
    """Return the configuration of the built module (``HWGEN_CONFIG``, JSON)."""
    table = json.loads(os.environ["HWGEN_CONFIG"])
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    return Config(**values)


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
    later: set[int] = set()
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
    """Nothing is ever in the way."""
    await random_stream(dut, 0.0, 30)


@cocotb.test()
async def some_stalls(dut: Any) -> None:
    """Ports are ready in 70 % of the cycles."""
    await random_stream(dut, 0.3, 30)


@cocotb.test()
async def many_stalls(dut: Any) -> None:
    """Ports are ready in 20 % of the cycles."""
    await random_stream(dut, 0.8, 10)
