"""NumPy evaluation of RUN, straight from docs/architecture.md, and random jobs for it; the reference of bench_grid."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.isa import Mode

Segment = tuple[int, int, int]
"""s_offset, v_start, length."""


@dataclass
class Job:
    """A RUN with the BASE and the segments it uses; ``run`` and ``base`` are command arguments."""

    run: dict[str, int]
    base: dict[str, int]
    segments: dict[int, Segment] = field(default_factory=dict)

    @property
    def positions(self) -> int:
        """Positions of all rounds."""
        return self.run["rounds"] * sum(n for _, _, n in self.segments.values())


def addresses(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Return v (positions of a round,) and s (rounds, positions of a round) modulo 2^16, without the bases."""
    rounds, nx = job.run["rounds"], job.base["nx"]
    base = np.zeros(rounds, np.int64)
    for t in range(1, rounds):
        base[t] = base[t - 1] + (job.base["dy"] if t % nx == 0 else job.base["dx"])
    first = job.run["seg_first"]
    used = [job.segments[k] for k in range(first, first + job.run["seg_count"])]
    v = np.concatenate([start + np.arange(n) for _, start, n in used])
    s = np.concatenate([offset + np.arange(n) * job.run["s_step"] for offset, _, n in used])
    return v % 65536, (base[:, None] + s[None, :]) % 65536


class GridModel:
    """Memories of all lanes: ``wmem`` and ``amem`` (rows, columns, values), ``acc`` (rows, columns, acc_vectors, P)."""

    def __init__(self, config: Config) -> None:
        self.config, d = config, Derived(config)
        shape = (config.rows, config.columns)
        self.wmem = np.zeros((*shape, config.wmem_words * d.word), np.int64)
        self.amem = np.zeros((*shape, config.amem_words * d.word), np.int64)
        self.acc = np.zeros((*shape, config.acc_vectors, config.vector), np.int64)

    def run(self, job: Job) -> np.ndarray:
        """Execute ``job``; returns the accumulators it writes, (rows, columns, rounds, P)."""
        c, r = self.config, job.run
        v, s = addresses(job)
        lanes = np.arange(c.vector)
        v = ((v + r["v_base"]) % 65536)[None, :, None] * c.vector + lanes
        s = ((s + r["s_base"]) % 65536)[:, :, None]
        if r["mode"] == Mode.DEPTHWISE:
            s = s * c.vector + lanes
        left, right = (self.amem, self.wmem) if r["mode"] == Mode.PIXEL else (self.wmem, self.amem)
        products = left[:, :, v % left.shape[2]] * right[:, :, s % right.shape[2]]
        where = slice(r["acc_base"], r["acc_base"] + r["rounds"])
        before = self.acc[:, :, where].copy()
        result = products.max(axis=3) if r["max"] else products.sum(axis=3)
        if r["accumulate"]:
            result = result + self.acc[:, :, where]
        half = 1 << c.acc_bits - 1
        result = (result + half) % (2 * half) - half
        self.acc[:, :, where] = np.where(at_work(job, c)[:, :, None, None], result, before)
        return self.acc[:, :, where]

    def walked(self, job: Job) -> np.ndarray:
        """Return the cycles in which each lane walks a position of ``job``, (rows, columns)."""
        c, r = self.config, job.run
        if c.skip == "none":
            return np.full((c.rows, c.columns), job.positions)
        v, s = addresses(job)
        v, s = (v + r["v_base"]) % 65536, (s + r["s_base"]) % 65536
        pixel, depthwise = r["mode"] == Mode.PIXEL, r["mode"] == Mode.DEPTHWISE
        there = np.ones((c.rows, c.columns, len(s), len(v)), bool)
        if r["s_step"] == 1 and not r["max"]:
            for memory, operand in ((self.wmem, "weight"), (self.amem, "activation")):
                if c.skip not in (operand, "both"):
                    continue
                streamed = pixel == (operand == "weight")
                unit = c.vector if depthwise or not streamed else 1
                used = (memory.reshape(c.rows, c.columns, -1, unit) != 0).any(axis=3)
                there &= used[:, :, s % used.shape[2]] if streamed else used[:, :, None, v % used.shape[2]]
        positions = np.maximum(there.sum(axis=3), 1).sum(axis=2)
        return np.where(at_work(job, c), positions, 0)


def at_work(job: Job, config: Config) -> np.ndarray:
    """Return which lanes take part in ``job``, (rows, columns)."""
    if config.skip == "none":
        return np.ones((config.rows, config.columns), bool)
    rows, columns = np.arange(config.rows), np.arange(config.columns)
    b = job.base
    return np.outer(rows % (1 << b["log2_rc"]) < b["row_groups"], columns % (1 << b["log2_cc"]) < b["column_groups"])


def all_lanes() -> dict[str, int]:
    """Return the fields of BASE that let all lanes take part."""
    return {"log2_rc": 0, "row_groups": 1, "log2_cc": 0, "column_groups": 1}


def random_lanes(rng: random.Random, config: Config) -> dict[str, int]:
    """Return fields of BASE: mostly all lanes."""
    fields = all_lanes()
    for log2, groups, size in (("log2_rc", "row_groups", config.rows), ("log2_cc", "column_groups", config.columns)):
        if rng.random() < 0.3:
            fields[log2] = rng.randrange(size.bit_length())
            fields[groups] = rng.randint(1, 1 << fields[log2])
    return fields


def random_job(rng: random.Random, config: Config, half: int, limit: int = 150) -> Job:
    """Return a job of at most ``limit`` positions that reads only half ``half`` (0 or 1) of wmem and amem."""
    d = Derived(config)
    modes = [m for m in Mode if m.name.lower() in config.mappings]
    while True:
        mode = rng.choice(modes)
        v_words, s_words = config.wmem_words, config.amem_words
        if mode == Mode.PIXEL:
            v_words, s_words = s_words, v_words
        v_half = v_words * d.vectors_per_word // 2
        s_half = s_words * (d.vectors_per_word if mode == Mode.DEPTHWISE else d.word) // 2
        count = rng.choice([1, 1, 2, 3, rng.randint(1, min(8, config.segments))])
        first = rng.randint(0, config.segments - count)
        longest = rng.choice([1, 1, 2, 5, v_half])
        s_step = rng.choice([0, 1, 1, 1, 1, 1, 2, 3, rng.randint(0, 255)])
        s_zero, v_zero = rng.randrange(65536), rng.randrange(65536)
        segments: dict[int, Segment] = {}
        for k in range(first, first + count):
            length = rng.randint(1, longest)
            offset, start = rng.randint(0, s_half // 2), rng.randint(0, v_half - length)
            segments[k] = ((s_zero + offset) % 65536, (v_zero + start) % 65536, length)
        span = max(1, s_half // 4)
        nx = rng.choice([1, 1, 2, 3, 7, config.acc_vectors, config.acc_vectors + 1, 4095])
        base = {"nx": nx, "dx": rng.randint(-span, span), "dy": rng.randint(-span, span)} | random_lanes(rng, config)
        rounds = rng.choice([1, 1, 2, 3, rng.randint(1, config.acc_vectors)])
        run = {"mode": int(mode), "max": int("max_pool" in config.operators and rng.random() < 0.25), "accumulate": 0,
               "rounds": rounds, "seg_first": first, "seg_count": count, "v_base": 0, "s_base": 0, "s_step": s_step,
               "acc_base": rng.randint(0, config.acc_vectors - rounds), "lanes": rng.randint(1, d.lanes)}
        run["accumulate"] = int(not run["max"] and rng.random() < 0.5)
        job = Job(run, base, segments)
        if job.positions > limit:
            continue
        v, s = addresses(job)
        # Relative to the smallest address, which then goes to a random place of the half.
        v_from = v_zero + int(((v - v_zero) % 65536).min())
        s_from = s_zero + int(((s - s_zero + 32768) % 65536).min()) - 32768
        v_room, s_room = (half_ - 1 - int(((x - from_) % 65536).max())
                          for half_, x, from_ in ((v_half, v, v_from), (s_half, s, s_from)))
        if s_room < 0:
            continue
        run["v_base"] = (half * v_half + rng.randint(0, v_room) - v_from) % 65536
        run["s_base"] = (half * s_half + rng.randint(0, s_room) - s_from) % 65536
        return job
