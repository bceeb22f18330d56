"""The transposer with random pauses on both sides, in Amaranth's simulator."""

from __future__ import annotations

import random

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwgen.hardware.transposer import Transposer

BLOCKS = 12


@pytest.mark.parametrize(("size", "width"), [(2, 3), (8, 8), (16, 8)])
@pytest.mark.parametrize(("pause", "stall"), [(0.0, 0.0), (0.3, 0.0), (0.0, 0.3), (0.4, 0.4)])
def test_transposes(size: int, width: int, pause: float, stall: float) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    rng, draw = random.Random(seed), np.random.default_rng(seed)
    blocks = draw.integers(0, 1 << width, (BLOCKS, size, size))
    flags = draw.integers(0, 2, (BLOCKS, size))
    unit = Transposer(size, width)
    found: list[tuple] = []
    cycles = [0, 0]

    def packed(values) -> int:
        return sum(int(v) << i * width for i, v in enumerate(values))

    async def drive(ctx) -> None:
        for block, mark in zip(blocks, flags, strict=True):
            for word, flag in zip(block, mark, strict=True):
                while rng.random() < pause:
                    await ctx.tick()
                ctx.set(unit.i.payload, {"data": packed(word), "flag": int(flag)})
                ctx.set(unit.i.valid, 1)
                await ctx.tick().until(unit.i.ready)
                ctx.set(unit.i.valid, 0)

    async def watch(ctx) -> None:
        while len(found) < BLOCKS * size:
            ready = int(rng.random() >= stall)
            ctx.set(unit.o.ready, ready)
            _, _, valid, item = await ctx.tick().sample(unit.o.valid, unit.o.payload)
            cycles[0] += 1
            assert cycles[0] < 10000, f"hangs, seed {seed}"
            if valid and ready:
                found.append((item.data, item.flags, item.index))
                cycles[1] = cycles[0]

    simulator = Simulator(unit)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive, background=True)
    simulator.add_testbench(watch)
    simulator.run()
    expected = [(packed(block[:, i]), sum(int(f) << j for j, f in enumerate(mark)), i)
                for block, mark in zip(blocks, flags, strict=True) for i in range(size)]
    assert found == expected, f"seed {seed}"
    if not pause and not stall:
        assert cycles[1] == (BLOCKS + 1) * size, f"{cycles[1]} cycles"
