"""Drives every port of a grid in cocotb and checks it against `hwgen.sim.grid_model`; the tests are in bench_grid."""

from __future__ import annotations

import json
import os
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from hwgen import isa
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.interfaces import DRAIN_LATENCY, row_marks
from hwgen.sim.grid_model import GridModel, Job, all_lanes


def configuration() -> Config:
    """Return the configuration of the built grid (``HWGEN_CONFIG``, JSON)."""
    table: dict[str, Any] = json.loads(os.environ["HWGEN_CONFIG"])
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    return Config(**values)


def word(name: str, **args: int) -> int:
    """Return ``cmd.payload`` of a command: operation in the low four bits, then its payload."""
    raw = int.from_bytes(isa.encode(isa.Command(name, args)), "little")
    return raw >> 32 << 4 | isa.BY_NAME[name].code


def pack(values: Any, bits: int) -> int:
    """Pack integers into ``bits`` bits each, the first one lowest."""
    return sum((int(x) & (1 << bits) - 1) << bits * i for i, x in enumerate(values))


@dataclass
class Sent:
    """A command on its way; ``job`` for a RUN."""

    value: int
    job: Job | None = None
    result: np.ndarray | None = None
    accepted: int = 0


class Bench:
    """Drives every port of the grid, one call of `step` a cycle; a RUN is checked by the drains after its ``done``."""

    def __init__(self, dut: Any, config: Config, seed: int) -> None:
        self.dut, self.config, self.d = dut, config, Derived(config)
        self.rng, self.values = random.Random(seed), np.random.default_rng(seed)
        self.model = GridModel(config)
        self.visible = self.model.acc.copy()  # what a drain must read now
        self.writing = np.zeros(config.acc_vectors, int)  # RUN in flight per accumulator
        self.queue: deque[Sent] = deque()
        self.offered: Sent | None = None
        self.in_flight: deque[Sent] = deque()
        self.finished: list[tuple[int, Sent]] = []
        self.writes: deque[dict[str, int]] = deque()
        self.drains: list[tuple[int, int, int] | None] = [None] * self.d.pipes
        self.sweep: list[list[tuple[int, int, int]]] = [[] for _ in range(self.d.pipes)]  # drains to make first
        self.reads: list[deque[tuple[int, np.ndarray]]] = [deque() for _ in range(self.d.pipes)]
        self.checked = self.cycle = self.stalls = self.busy = self.slots = 0
        self.walked = self.used = 0  # what `busy` and `slots` must be
        self.errors: list[int] = []
        self.gaps = self.drain_rate = 0.0
        self.densities = (1.0, 1.0)
        """Of weights and activations that `fill` makes."""

    async def start(self) -> None:
        """Start the clock and reset."""
        Clock(self.dut.clk, 10, unit="ns").start()
        for name in ("cmd__valid", "cmd__payload", "weights__valid", "weights__data", "weights__addr",
                     "weights__log2_nbe", "weights__rows", "weights__columns"):
            getattr(self.dut, name).value = 0
        for mark in row_marks(self.config):
            getattr(self.dut, f"weights__{mark}").value = 0
        for c in range(self.config.columns):
            for name in ("valid", "addr", "data", "rows"):
                getattr(self.dut, f"patches__{c}__{name}").value = 0
        for j in range(self.d.pipes):
            for name in ("valid", "row", "column", "addr"):
                getattr(self.dut, f"drain__{j}__{name}").value = 0
        self.dut.rst.value = 1
        for _ in range(3):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0

    async def step(self) -> None:
        """One cycle: look at what happened in it, then drive the next one."""
        dut = self.dut
        await RisingEdge(dut.clk)
        self.cycle += 1
        self._commands_out()
        self._drains_out()
        self.busy += int(dut.busy.value)
        self.slots += int(dut.active.value)
        self._commands_in()
        self._drains_in()
        self._writes_in()

    def _commands_out(self) -> None:
        if self.dut.done.value:
            sent = self.in_flight.popleft()
            self.finished.append((self.cycle, sent))
            if sent.job is not None and sent.result is not None:
                where = slice(sent.job.run["acc_base"], sent.job.run["acc_base"] + sent.job.run["rounds"])
                self.visible[:, :, where] = sent.result
                self.writing[where] -= 1
        if self.dut.error.value:
            self.errors.append(int(self.dut.code.value))
            self.in_flight.popleft()
        if self.offered is not None and self.dut.cmd__ready.value:
            sent, self.offered = self.offered, None
            sent.accepted = self.cycle
            self.in_flight.append(sent)
            if sent.job is not None:
                self.writing[sent.job.run["acc_base"]:sent.job.run["acc_base"] + sent.job.run["rounds"]] += 1
                walked = int(self.model.walked(sent.job).sum())
                self.walked += walked
                self.used += walked if self.config.skip != "none" else sent.job.positions * sent.job.run["lanes"]
                sent.result = self.model.run(sent.job).copy()

    def _commands_in(self) -> None:
        if self.offered is None and self.queue and self.rng.random() >= self.gaps:
            self.offered = self.queue.popleft()
            self.dut.cmd__payload.value = self.offered.value
        self.dut.cmd__valid.value = int(self.offered is not None)

    def _drains_out(self) -> None:
        bits = self.config.acc_bits
        for j, request in enumerate(self.drains):
            if self.reads[j] and self.reads[j][0][0] == self.cycle:
                _, expected = self.reads[j].popleft()
                data = int(getattr(self.dut, f"drain__{j}__data").value)
                assert data == pack(expected, bits), f"cycle {self.cycle} pipe {j}: {data:x}, expected {expected}"
                self.checked += 1
            if request is None:
                continue
            if getattr(self.dut, f"drain__{j}__ready").value:
                row, column, addr = request
                if not self.writing[addr]:
                    self.reads[j].append((self.cycle + DRAIN_LATENCY, self.visible[row, column, addr].copy()))
                self.drains[j] = None
            else:
                self.stalls += 1

    def _drains_in(self) -> None:
        for j in range(self.d.pipes):
            if self.drains[j] is None and (self.sweep[j] or self.rng.random() < self.drain_rate):
                request = self.sweep[j].pop() if self.sweep[j] else self._any_vector(j)
                self.drains[j] = request
                for name, value in zip(("row", "column", "addr"), request, strict=True):
                    getattr(self.dut, f"drain__{j}__{name}").value = value
            getattr(self.dut, f"drain__{j}__valid").value = int(self.drains[j] is not None)

    def _any_vector(self, pipe: int) -> tuple[int, int, int]:
        """Return a random row, column and accumulator of ``pipe``, mostly one that no RUN in flight writes."""
        c = self.config
        column = self.rng.randrange(c.columns // self.d.pipes) * self.d.pipes + pipe
        quiet = np.flatnonzero(self.writing == 0)
        any_addr = self.rng.randrange(c.acc_vectors)
        addr = int(self.rng.choice(quiet)) if len(quiet) and self.rng.random() < 0.9 else any_addr
        return self.rng.randrange(c.rows), column, addr

    def _writes_in(self) -> None:
        """Drive the next operand write: of a word of wmem or amem, with junk on both buses in between."""
        dut, patch = self.dut, -1
        write = self.writes.popleft() if self.writes and self.rng.random() < 0.9 else {}
        if write:
            patch = write.pop("patch", -1)
            for mark in row_marks(self.config):
                getattr(dut, f"weights__{mark}").value = write.pop(mark, 0)
            prefix = "weights__" if patch < 0 else f"patches__{patch}__"
            for name, value in write.items():
                getattr(dut, prefix + name).value = value
        dut.weights__valid.value = int(bool(write) and patch < 0)
        for c in range(self.config.columns):
            getattr(dut, f"patches__{c}__valid").value = int(c == patch)

    def _operands(self, bits: int, shape: tuple[int, ...], density: float) -> np.ndarray:
        """Return random operands, the given share of them, and of the words, not zero."""
        values = self.values.integers(-(1 << bits - 1), 1 << bits - 1, shape)
        if density == 1:
            return np.where(values == 0, 1, values)
        words = self.values.random((*shape[:-1], 1)) < density ** 0.5
        return values * words * (self.values.random(shape) < density)

    def fill(self, half: int) -> None:
        """Queue writes of random operands to half ``half`` of every operand memory (model: at once)."""
        c, d, rng = self.config, self.d, self.rng
        wb, ab, width = c.weight_bits, c.act_bits + 1, d.weight_width
        for w in range(half * c.wmem_words // 2, (half + 1) * c.wmem_words // 2):
            for log2_rc in range(c.rows.bit_length()):
                # every row once per log2_rc; the last one written stays
                log2_nbe = min(log2_rc, d.weight_buses.bit_length() - 1)
                rows, columns = rng.getrandbits(c.rows) or 1, rng.getrandbits(c.columns) or 1
                if log2_rc == 0:
                    rows, columns = (1 << c.rows) - 1, (1 << c.columns) - 1
                bus = self._operands(wb, (d.weight_buses, d.word), self.densities[0])
                self.writes.append({"addr": w, "data": pack(bus.reshape(-1), width), "log2_nbe": log2_nbe, "rows": rows,
                                    "columns": columns})
                for r in (r for r in range(c.rows) if rows >> r & 1):
                    for col in (col for col in range(c.columns) if columns >> col & 1):
                        self.model.wmem[r, col, w * d.word:(w + 1) * d.word] = bus[r % (1 << log2_nbe)]
        for w in range(half * c.amem_words // 2, (half + 1) * c.amem_words // 2):
            for col in range(c.columns):
                for rows in {(1 << c.rows) - 1, rng.getrandbits(c.rows) or 1}:
                    value = self._operands(ab, (d.word,), self.densities[1])
                    self.writes.append({"patch": col, "addr": w, "data": pack(value, ab), "rows": rows})
                    for r in (r for r in range(c.rows) if rows >> r & 1):
                        self.model.amem[r, col, w * d.word:(w + 1) * d.word] = value

    def load(self, weights: np.ndarray | None, acts: np.ndarray | None, wide: bool = False) -> None:
        """Queue writes of these operands (all values of a memory, or None) to every lane (model: at once).

        Where they may be, weight words of zeros are left out: in rows of bits of values, or of vectors (``wide``),
        which begin with their first word that is not, or with their last one.
        """
        c, w = self.config, self.d.word
        rows, columns = (1 << c.rows) - 1, (1 << c.columns) - 1
        if weights is not None:
            self.model.wmem[:] = weights
            together = self.d.unit(vector=wide)
            words, begun = weights.reshape(-1, w), -1
            for n, values in enumerate(words):
                if together == 1 or values.any() or (begun != n // together and n % together == together - 1):
                    marks = {"fresh": int(begun != n // together), "wide": int(wide)}
                    begun = n // together
                    data = pack(values, self.d.weight_width)
                    self.writes.append({"addr": n, "data": data, "log2_nbe": 0, "rows": rows,
                                        "columns": columns} | {mark: marks[mark] for mark in row_marks(self.config)})
        if acts is not None:
            self.model.amem[:] = acts
            self.writes += ({"patch": col, "addr": n, "data": pack(values, c.act_bits + 1), "rows": rows}
                            for n, values in enumerate(acts.reshape(-1, w)) for col in range(c.columns))

    def queue_job(self, job: Job) -> None:
        """Queue the settings of ``job`` and its RUN."""
        for k, (offset, start, length) in job.segments.items():
            self.queue.append(Sent(word("SEGMENT", index=k, s_offset=offset, v_start=start, length=length)))
        self.queue.append(Sent(word("BASE", **job.base)))
        self.queue.append(Sent(word("RUN", **job.run), job))

    async def accepted(self) -> None:
        """Step until every command is accepted."""
        await self._until(lambda: not (self.queue or self.offered))

    async def _until(self, good: Callable[[], bool], limit: int = 20000) -> None:
        for _ in range(limit):
            if good():
                return
            await self.step()
        raise AssertionError(f"not finished after {limit} cycles: {len(self.in_flight)} commands in flight")

    async def settle(self) -> None:
        """Step until every command is done and every write is made."""
        await self._until(lambda: not (self.queue or self.offered or self.in_flight or self.writes))
        for _ in range(2):
            await self.step()

    async def drain_all(self) -> None:
        """Compare every accumulator of every lane."""
        self.drain_rate = 0.0
        c = self.config
        for _ in range(DRAIN_LATENCY + 2):
            await self.step()
        before = self.checked
        self.sweep = [[(r, col, a) for r in range(c.rows) for col in range(j, c.columns, self.d.pipes)
                       for a in range(c.acc_vectors)] for j in range(self.d.pipes)]
        while any(self.sweep) or any(self.drains) or any(self.reads):
            await self.step()
        assert self.checked - before == self.d.lanes * c.acc_vectors


def simple(rounds: int, lengths: list[int], acc: int = 0, accumulate: int = 0) -> Job:
    """Return a channel job over segments 0.. of the given lengths."""
    segments = {k: (k, 0, n) for k, n in enumerate(lengths)}
    run = {"mode": 0, "max": 0, "accumulate": accumulate, "rounds": rounds, "seg_first": 0, "seg_count": len(lengths),
           "v_base": 0, "s_base": 0, "s_step": 1, "acc_base": acc, "lanes": 1}
    return Job(run, {"nx": 1, "dx": 1, "dy": 1} | all_lanes(), segments)


async def bench(dut: Any) -> Bench:
    """Return a started bench, random operands in half 0, every accumulator written (memories survive a reset)."""
    b = Bench(dut, configuration(), random.getrandbits(32))
    await b.start()
    b.fill(0)
    await b.settle()
    b.queue_job(simple(b.config.acc_vectors, [1]))
    await b.settle()
    b.busy = b.slots = b.walked = b.used = 0
    return b
