"""LOAD and STORE with packed maps against the golden machine and cocotbext-axi's memory: DRAM, and bytes moved."""

from __future__ import annotations

from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ReadOnly, RisingEdge

from hwgen.golden.machine import Machine
from hwgen.isa import Module
from hwgen.sim.bench_dma import Bench
from hwgen.sim.bench_tools import payload
from hwgen.sim.packed_streams import SIZE, exchanges, source_map


async def _count(dut: Any, beats: dict[str, int]) -> None:
    while True:
        await RisingEdge(dut.clk)
        await ReadOnly()
        for channel in beats:
            beats[channel] += int(getattr(dut, f"axi__{channel}valid").value) & int(
                getattr(dut, f"axi__{channel}ready").value)


async def _exchange(dut: Any, stall: float) -> None:
    b = Bench(dut, stall, SIZE)
    memory = np.frombuffer(b.data, np.uint8).copy()
    source_map(memory, b.rng)
    b.ram.write(0, memory.tobytes())
    await b.start()
    beats = {"r": 0, "w": 0}
    cocotb.start_soon(_count(dut, beats))
    commands = exchanges(b.config, b.rng, 7)
    assert any(c.name == "LOAD_PACKED" for c in commands)
    golden = Machine(b.config).run(commands, memory)
    for number, command in enumerate(commands[:-1]):
        if command.wait:
            await b.events_reach(number)
        await b.offer(f"{command.module.name.lower()}_cmd", payload(command))
    await b.events_reach(len(commands) - 1)
    assert b.events == [(c.module.name.lower(), 0) for c in commands[:-1]]
    assert b.ram.read(0, SIZE) == golden.memory.tobytes()
    for channel, module in (("r", Module.LOAD), ("w", Module.STORE)):
        words = sum(w.items for w, c in zip(golden.work, commands, strict=True) if c.module is module)
        assert beats[channel] == words * b.word * 8 // b.config.axi_bits
    assert int(dut.idle.value) == 1


@cocotb.test()
async def exchange(dut: Any) -> None:
    await _exchange(dut, 0.0)


@cocotb.test()
async def exchange_with_some_stalls(dut: Any) -> None:
    await _exchange(dut, 0.1)


@cocotb.test()
async def exchange_with_stalls(dut: Any) -> None:
    await _exchange(dut, 0.5)
