"""cocotb bench of WFETCH on a weight buffer: random commands against the golden machine, cycles, errors."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from hwgen import isa, timing
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.golden.machine_state import State
from hwgen.golden.machine_weights import wfetch
from hwgen.hardware.interfaces import row_marks
from hwgen.sim.bench_tools import Commands, configuration, start


class Bench:
    """WFETCH with lanes that are arrays."""

    def __init__(self, dut: Any, config: Config, seed: int, pause: float) -> None:
        self.dut, self.config, self.d, self.cycle = dut, config, Derived(config), 0
        self.commands = Commands(dut, pause, random.Random(seed))
        self.state = State(config, np.zeros(0, np.uint8), poison=seed & 0xFFFF)
        self.wmem = self.state.wmem.copy()
        self.cycles: list[int] = []
        self.at_done: list[int] = []

    async def begin(self) -> None:
        """Reset, and write the weight buffer."""
        await start(self.dut)
        width = self.d.dma_bytes
        for word in range(self.d.weight_words):
            await RisingEdge(self.dut.clk)
            self.dut.write__en.value = 1
            self.dut.write__addr.value = word
            data = self.state.weight[word * width:(word + 1) * width].tobytes()
            self.dut.write__data.value = int.from_bytes(data, "little")
        await RisingEdge(self.dut.clk)
        self.dut.write__en.value = 0

    async def step(self) -> None:
        """One cycle."""
        await RisingEdge(self.dut.clk)
        self.cycle += 1
        self.commands.drive()
        await FallingEdge(self.dut.clk)
        done = len(self.commands.finished)
        self.commands.sample(self.cycle)
        if len(self.commands.finished) > done:
            self.at_done.append(len(self.cycles))
        if int(self.dut.bus__valid.value):
            self.cycles.append(self.cycle)
            self._write()

    def _write(self) -> None:
        c, width = self.config, self.d.word
        raw, bits, half = int(self.dut.bus__data.value), self.d.weight_width, 1 << c.weight_bits - 1
        data = np.array([raw >> n * bits & (1 << bits) - 1 for n in range(self.d.dma_bytes)], np.int64)
        rows, columns, at = (int(getattr(self.dut, f"bus__{n}").value) for n in ("rows", "columns", "addr"))
        nbe = 1 << int(self.dut.bus__log2_nbe.value)
        marks = {mark: int(getattr(self.dut, f"bus__{mark}").value) for mark in row_marks(c)}
        together = self.d.unit(vector=bool(marks.get("wide")))
        for row in range(c.rows):
            for column in range(c.columns):
                if rows >> row & 1 and columns >> column & 1:
                    if marks.get("fresh"):
                        self.wmem[column, row, at // together * together:][:together] = 0
                    word = data[row % nbe * width:][:width]
                    self.wmem[column, row, at] = (word + half & 2 * half - 1) - half

    def golden(self, command: isa.Command, execute: Callable[[State], object]) -> None:
        """Let the golden machine's lanes have what a command gives them."""
        self.state.command = command
        if command.name == "WF_ZERO":
            self.state.set_register(0)
        else:
            execute(self.state)

    async def finish(self, count: int, limit: int = 20000) -> None:
        """Step until ``count`` commands are done or in error."""
        for _ in range(limit):
            if len(self.commands.finished) >= count:
                return
            await self.step()
        raise AssertionError(f"{len(self.commands.finished)} of {count} commands done after {limit} cycles")


def _command(**args: int) -> isa.Command:
    return isa.Command("WFETCH", {"src": 0, "count": 1, "dst": 0, "groups": 1, "log2_rc": 0, "log2_cc": 0} | args)


def zero_point(rng: random.Random) -> isa.Command:
    """Return a WF_ZERO."""
    return isa.Command("WF_ZERO", {"zero_point": rng.choice((-128, 127, 0, rng.randint(-128, 127)))})


def _random(config: Config, rng: random.Random) -> isa.Command:
    d = Derived(config)
    log2_rc, log2_cc = (rng.randint(0, (n - 1).bit_length()) for n in (config.rows, config.columns))
    most = ((1 << log2_rc) // min(1 << log2_rc, d.weight_buses)) << log2_cc
    groups = rng.choice((most, rng.randint(1, most)))
    count = rng.choice((1, rng.randint(1, max(1, min(d.weight_words // groups, config.wmem_words, 12)))))
    return _command(src=rng.choice((rng.randint(0, d.weight_words - groups * count), d.weight_words - groups * count)),
                    dst=rng.choice((rng.randint(0, config.wmem_words - count), config.wmem_words - count)),
                    count=count, groups=groups, log2_rc=log2_rc, log2_cc=log2_cc)


def _seed() -> int:
    return int(os.environ.get("COCOTB_RANDOM_SEED", "1"))


@cocotb.test()
async def random_commands(dut: Any) -> None:
    """Lanes end like the golden machine's; nothing is done before it is on the bus; one idle cycle a command."""
    config = configuration()
    for part, pause in enumerate((0.0, 0.5)):
        bench = Bench(dut, config, _seed() + part, pause)
        await bench.begin()
        rng = bench.commands.rng
        commands = [_random(config, rng) for _ in range(60)]
        for n in range(len(commands), -1, -1) if bench.d.weight_zero else ():
            commands[n:n] = [zero_point(rng) for _ in range(rng.randint(not n, 2))]
        bench.commands.add(commands)
        await bench.finish(len(commands))
        assert all(code == 0 for _, code in bench.commands.finished), bench.commands.finished
        for command in commands:
            bench.golden(command, wfetch)
        assert (bench.wmem == bench.state.wmem).all(), f"differ at {np.argwhere(bench.wmem != bench.state.wmem)[:5]}"
        words = np.array([c.args.get("groups", 0) * c.args.get("count", 0) for c in commands])
        assert bench.at_done == list(np.cumsum(words)), f"words at each done: {bench.at_done}"
        ends = [cycle for cycle, _ in bench.commands.finished]
        waits = {e - bench.cycles[n - 1] for e, n, some in zip(ends, bench.at_done, words, strict=True) if some}
        assert waits == {timing.WFETCH_DONE}, waits
        if not pause:
            gaps = np.diff(ends) - words[1:]
            assert (gaps == timing.WFETCH_OVERHEAD).all(), f"idle cycles between commands: {gaps}"


@cocotb.test()
async def start_latency(dut: Any) -> None:
    """Cycles from the offer to an idle unit to the first word."""
    config = configuration()
    bench = Bench(dut, config, _seed(), 0.0)
    await bench.begin()
    bench.commands.add([_command()])
    first = bench.cycle + 1
    await bench.finish(1)
    assert bench.cycles[0] - first == timing.WFETCH_START, f"{bench.cycles[0] - first} cycles"


@cocotb.test()
async def errors(dut: Any) -> None:
    """Bad commands end the work with their code, after what came before; later commands are not accepted."""
    config = configuration()
    d = Derived(config)
    rows, columns = (config.rows - 1).bit_length(), (config.columns - 1).bit_length()
    groups = (config.rows // min(config.rows, d.weight_buses)) * config.columns
    cases: list[tuple[isa.Command | int, int, int]] = [
        (_command(src=d.weight_words), 3, 0), (_command(src=d.weight_words - 2, count=3), 3, 2),
        (_command(src=(1 << 20) - 1), 3, 0),
        (_command(dst=config.wmem_words), 3, 0), (_command(dst=config.wmem_words - 1, count=4), 3, 1),
        (_command(dst=65535), 3, 0),
        (_command(count=0), 1, 0), (_command(groups=0), 1, 0), (2, 1, 0), (0, 1, 0), (5, 1, 0),
        *(() if d.weight_zero else ((4, 1, 0),)),
        (_command(log2_rc=rows + 1), 3, 0), (_command(log2_cc=columns + 1), 3, 0),
        (_command(log2_rc=15, log2_cc=15), 3, 0),
        (_command(groups=groups + 1, log2_rc=rows, log2_cc=columns), 3, groups),
    ]
    for bad, code, words in cases:
        bench = Bench(dut, config, _seed(), 0.0)
        await start(dut)
        bench.commands.add([_command(count=3), bad, _command()])
        await bench.finish(2)
        for _ in range(20):
            await bench.step()
        codes = [c for _, c in bench.commands.finished]
        assert codes == [0, code], f"{bad}: {codes}, expected [0, {code}]"
        assert len(bench.cycles) == 3 + words, f"{bad}: {len(bench.cycles)} words, expected {3 + words}"
