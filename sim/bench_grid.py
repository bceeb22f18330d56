"""cocotb bench of the grid: random jobs, operand writes and drains at the same time; cycles; interlocks; errors."""

from __future__ import annotations

import os
from typing import Any

import cocotb
import numpy as np

from hwgen import isa, timing
from hwgen.hardware.interfaces import row_marks
from hwgen.sim import grid_corners
from hwgen.sim.grid_driver import Bench, Sent, bench, simple, word
from hwgen.sim.grid_model import all_lanes, random_job


@cocotb.test()
async def random_jobs(dut: Any) -> None:
    """All mappings, corner cases, settings between RUNs, operand writes to the other half, drains at any time."""
    b = await bench(dut)
    modes = set()
    for batch in range(int(os.environ.get("HWGEN_BATCHES", "12"))):
        b.gaps, b.drain_rate = b.rng.choice([0.0, 0.0, 0.3, 0.9]), b.rng.choice([0.0, 0.2, 1.0])
        jobs = [random_job(b.rng, b.config, batch % 2) for _ in range(8)]
        for job in jobs:
            b.queue_job(job)
            modes.add(job.run["mode"])
        await b.accepted()  # the model takes operands when a RUN is accepted
        b.densities = b.rng.choice([0.0, 0.1, 0.5, 1.0]), b.rng.choice([0.0, 0.1, 0.5, 1.0])
        b.fill(1 - batch % 2)
        await b.settle()
    await b.drain_all()
    assert (b.busy, b.slots) == (b.walked, b.used)
    assert len(modes) == len(b.config.mappings) and not b.errors and b.checked > 100
    dut._log.info(f"{b.cycle} cycles, {b.checked} vectors compared, {b.stalls} drain stalls")


@cocotb.test()
async def corners(dut: Any) -> None:
    """No zero, nothing but zeros, a single other value, long runs of them, in all mappings: results and cycles."""
    b = await bench(dut)
    for wide in (False, True) if "wide" in row_marks(b.config) else (False,):
        before = ("", "")
        for pair in grid_corners.PAIRS:
            if pair[0] != "column" or b.config.vector > 1:
                await _corner(b, pair, before, wide)
                before = pair


async def _corner(b: Bench, pair: tuple[str, str], before: tuple[str, str], wide: bool) -> None:
    """Load what differs from ``before`` and walk over it; weights as a ``wide`` stream, as vector operands only."""
    c = b.config
    weights, acts = (
        None if name == old else grid_corners.pattern(name, words * b.d.word, c.vector, bits, b.values)
        for name, old, words, bits in zip(
            pair, before, (c.wmem_words, c.amem_words), (c.weight_bits, c.act_bits + 1), strict=True))
    b.load(weights, acts, wide)
    await b.settle()
    walked, busy = b.walked, b.busy
    jobs = [job for job in grid_corners.jobs(c, b.values) if not wide or job.run["mode"] != isa.Mode.PIXEL]
    for job in jobs:
        b.queue_job(job)
    await b.settle()
    assert b.busy - busy == b.walked - walked, (pair, wide)
    assert c.skip != "both" or pair != ("none", "none") or b.walked - walked == 2 * len(jobs) * b.d.lanes
    await b.drain_all()


@cocotb.test()
async def cycles(dut: Any) -> None:
    """The constants of `hwgen.timing`, exactly, without drains."""
    b = await bench(dut)
    t = timing.grid(b.config)
    for rounds, lengths in ((1, [1]), (1, [1, 1, 1]), (4, [1]), (3, [2, 1, 5]), (2, [4])):
        for accumulate in (0, 1):
            n = rounds * sum(lengths)
            b.finished.clear()
            job = simple(rounds, lengths, accumulate=accumulate)
            b.queue_job(job)
            await b.settle()
            settings, run = b.finished[:-1], b.finished[-1]
            accepted = [s.accepted for _, s in settings]
            assert np.all(np.diff(accepted) == timing.GRID_SET_CYCLES)
            assert run[0] - run[1].accepted == t.RUN_START + n - 1 + t.RUN_DRAIN, (rounds, lengths)

            b.finished.clear()  # back to back, from idle
            for _ in range(6):
                b.queue.append(Sent(word("RUN", **job.run), job))
            await b.settle()
            spacing = set(np.diff([c for c, _ in b.finished]).tolist())
            segments = rounds * len(lengths)
            expected = max(n + t.RUN_OVERHEAD, segments + t.RUN_RESTART, t.RUN_SPACING)
            if accumulate:
                expected = n + t.RUN_ACCUMULATE_GAP
            assert spacing == {expected}, (rounds, lengths, accumulate, spacing)
    await b.drain_all()


@cocotb.test()
async def settings_wait(dut: Any) -> None:
    """A SEGMENT behind a RUN that still reads that entry waits, another one does not; BASE does not disturb the RUN."""
    b = await bench(dut)
    job = simple(16, [8, 8, 8])
    other = {"index": 3, "s_offset": 5, "v_start": 0, "length": 1}
    for index in (0, 2, 3):
        b.finished.clear()
        b.queue_job(job)
        b.queue.append(Sent(word("BASE", nx=1, dx=3, dy=-3, **all_lanes())))
        b.queue.append(Sent(word("SEGMENT", **(other | {"index": index}))))
        b.queue.append(Sent(word("BASE", **job.base)))
        await b.settle()
        run, *rest = [s for _, s in b.finished][-4:]
        waited = rest[-1].accepted - run.accepted
        assert (waited > 60) == (index < 3) and (waited < 8) == (index == 3), (index, waited)
    await b.drain_all()


@cocotb.test()
async def errors(dut: Any) -> None:
    """Every illegal command gives its code, in order, and nothing runs after it."""
    b = await bench(dut)
    c, good = b.config, simple(2, [2, 1])
    limit = max([c.wmem_words] + ([c.amem_words] if "pixel" in c.mappings else [])) * b.d.vectors_per_word
    segment = {"index": 0, "s_offset": 0, "v_start": 0, "length": 1}
    cases = [(15, 1), (0, 1), (word("BASE", nx=0, dx=0, dy=0, **all_lanes()), 1)]
    cases += [(word("SEGMENT", **(segment | {"length": n})), code) for n, code in ((0, 1), (limit + 1, 3))]
    cases += [(word("RUN", **(good.run | change)), code) for change, code in (
        ({"rounds": 0}, 1), ({"seg_count": 0}, 1), ({"mode": 3}, 1), ({"max": 1, "accumulate": 1}, 1),
        ({"acc_base": c.acc_vectors - 1}, 3), ({"acc_base": 4095, "rounds": 4095}, 3),
        ({"seg_first": 1, "seg_count": 255}, 3), ({"seg_first": c.segments - 1, "seg_count": 2}, 3))]
    cases += [(word("RUN", **(good.run | {"mode": int(m)})), 1) for m, n in ((isa.Mode.PIXEL, "pixel"),
              (isa.Mode.DEPTHWISE, "depthwise")) if n not in c.mappings]
    if "max_pool" not in c.operators:
        cases.append((word("RUN", **(good.run | {"max": 1})), 1))
    if c.segments < 256:
        cases.append((word("SEGMENT", **(segment | {"index": c.segments})), 3))
    for value, code in cases:
        b.finished.clear()
        b.errors.clear()
        b.queue_job(good)
        b.queue.append(Sent(value))
        b.queue.append(Sent(word("RUN", **good.run), good))
        for _ in range(60):
            await b.step()
        assert b.errors == [code], (hex(value), code, b.errors)
        assert len(b.finished) == 4 and b.finished[-1][1].job is good  # what came before is done, also the RUN
        assert b.offered is not None and not b.queue
        b.offered = None
        b.dut.rst.value = 1
        await b.step()
        b.dut.rst.value = 0
    limits = simple(c.acc_vectors, [1])  # the largest legal ranges
    limits.run |= {"seg_first": c.segments - 1}
    limits.segments = {c.segments - 1: (0, 0, 1)}
    b.errors.clear()
    b.queue_job(limits)
    await b.settle()
    assert not b.errors
    await b.drain_all()
