"""The address nest against the golden one, in Amaranth's simulator."""

from __future__ import annotations

import random

import numpy as np
import pytest
from amaranth.sim import Simulator

from hwgen.golden.nest import expand
from hwgen.hardware.nest import LEVELS, Nest

WIDTHS = {"y": 13, "x": 17, "a": 21, "p": 12}


def level_of(index: tuple[int, ...], before: tuple[int, ...]) -> int:
    return next(i for i, (a, b) in enumerate(zip(index, before, strict=True)) if a != b)


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_nest_walks_like_the_golden_one(stall: float) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    rng = random.Random(seed)
    nest = Nest(WIDTHS)
    walks = []
    for _ in range(12):
        counts = [1] * LEVELS
        for i in rng.sample(range(LEVELS), rng.randint(0, 4)):
            counts[i] = rng.choice((1, 2, 3, 5))
        deltas = [[rng.randrange(-(1 << w - 1), 1 << w - 1) for w in WIDTHS.values()] for _ in counts]
        start = [rng.randrange(-(1 << w - 1), 1 << w - 1) for w in WIDTHS.values()]
        walks.append((counts, deltas, start, rng.randrange(1 << LEVELS) if rng.random() < 0.5 else 0))
    found: list[tuple] = []

    async def drive(ctx) -> None:
        for counts, deltas, start, skip in walks:
            for level, (count, delta) in enumerate(zip(counts, deltas, strict=True)):
                ctx.set(nest.level_at, level)
                ctx.set(nest.count, count)
                ctx.set(nest.count_en, 1)
                ctx.set(nest.delta_en, -1)
                ctx.set(nest.deltas, dict(zip(WIDTHS, delta, strict=True)))
                await ctx.tick()
            ctx.set(nest.count_en, 0)
            ctx.set(nest.delta_en, 0)
            ctx.set(nest.skip, skip)
            ctx.set(nest.start, 1)
            ctx.set(nest.initial, dict(zip(WIDTHS, start, strict=True)))
            await ctx.tick()
            ctx.set(nest.start, 0)
            while ctx.get(nest.busy):
                await ctx.tick()

    async def watch(ctx) -> None:
        total = sum(int(np.prod([1 if s >> i & 1 else n for i, n in enumerate(c)])) for c, _, _, s in walks)
        cycles = 0
        while len(found) < total:
            ready = int(rng.random() >= stall)
            ctx.set(nest.out.ready, ready)
            _, _, valid, item = await ctx.tick().sample(nest.out.valid, nest.out.payload)
            if valid and ready:
                found.append((*(item["values"][n] for n in WIDTHS), item.level, item.first, item.last))
            cycles += 1
            assert cycles < 40 * total + 2000, f"hangs after {len(found)} of {total}, seed {seed}"

    simulator = Simulator(nest)
    simulator.add_clock(1e-8)
    simulator.add_testbench(drive, background=True)
    simulator.add_testbench(watch)
    simulator.run()
    expected: list[tuple] = []
    for all_counts, deltas, start, skip in walks:
        counts = [1 if skip >> i & 1 else n for i, n in enumerate(all_counts)]
        values = expand(list(zip(counts, deltas, strict=True)), start)
        before = None
        for index in np.ndindex(*counts):
            wrapped = [(int(v[index]) + (1 << w - 1)) % (1 << w) - (1 << w - 1)
                       for v, w in zip(values, WIDTHS.values(), strict=True)]
            level = 7 if before is None else level_of(index, before)
            last = all(i + 1 == n for i, n in zip(index, counts, strict=True))
            expected.append((*wrapped, level, int(before is None), int(last)))
            before = index
    assert found == expected, f"seed {seed}"
