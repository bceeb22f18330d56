"""Blocks of maps for the benches of the packing units, and drivers of their streams."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge
from numpy.typing import NDArray

from hwgen.isa import LONGEST_BLOCK

KINDS = ("zero", "full", "one", "alternating", "random", "words")


@dataclass(frozen=True)
class Block:
    """Words (uint8, shape (words, D)) and the byte that is left out."""

    words: NDArray[np.uint8]
    zero_point: int


def block(rng: random.Random, width: int, kind: str, words: int, zero_point: int) -> Block:
    """Make a block: all zero, no zero, one value, every other byte, at a random density, or whole words zero or not."""
    draw = np.random.default_rng(rng.randrange(1 << 30))
    values = (zero_point + draw.integers(1, 256, (words, width))).astype(np.uint8)
    there = {
        "zero": np.zeros((words, width), bool),
        "full": np.ones((words, width), bool),
        "one": (np.arange(words * width) == rng.randrange(words * width)).reshape(words, width),
        "alternating": (np.arange(words * width) % 2 == rng.randrange(2)).reshape(words, width),
        "random": draw.random((words, width)) < rng.random(),
        "words": np.repeat(draw.random((words, 1)) < rng.random(), width, axis=1),
    }[kind]
    return Block(np.where(there, values, np.uint8(zero_point & 0xFF)), zero_point)


def mixture(rng: random.Random, width: int, count: int, longest: int = LONGEST_BLOCK) -> list[Block]:
    """Make blocks of all kinds, of 1, ``longest`` and a few words; zero points are signed."""
    sizes = [1, longest, *(rng.randint(1, min(longest, 48)) for _ in range(count - 2))]
    rng.shuffle(sizes)
    return [block(rng, width, KINDS[i % len(KINDS)], n, rng.randrange(-128, 128)) for i, n in enumerate(sizes)]


def every_zero_point(rng: random.Random, width: int) -> list[Block]:
    """Make 256 short blocks."""
    return [block(rng, width, "random", rng.randint(1, 3), z) for z in range(-128, 128)]


class Streams:
    """Feeds one stream and collects from others, with pauses; a cycle is a rising edge, then inputs, then sampling."""

    def __init__(self, dut: Any, source: str, sinks: Sequence[str], pause: float, stall: float,
                 rng: random.Random) -> None:
        self.dut, self.source, self.sinks, self.pause, self.stall, self.rng = dut, source, sinks, pause, stall, rng
        self.got: dict[str, list[int]] = {name: [] for name in sinks}
        self.limit: dict[str, Callable[[], int]] = {}
        """Most transfers that a sink takes so far (default: all)."""
        self.cycles = 0
        self.fed = 0

    async def run(self, items: Sequence[int], sink: str, count: int) -> None:
        """Feed ``items`` until ``sink`` has given ``count``; raises AssertionError when that takes far too long."""
        dut, at, offering = self.dut, 0, False
        most = self.cycles + 1000 + 20 * (len(items) + count)
        while len(self.got[sink]) < count:
            await RisingEdge(dut.clk)
            offering = offering or (at < len(items) and self.rng.random() >= self.pause)
            getattr(dut, f"{self.source}__valid").value = int(offering)
            if offering:
                getattr(dut, f"{self.source}__payload").value = items[at]
            for name in self.sinks:
                free = name not in self.limit or len(self.got[name]) < self.limit[name]()
                getattr(dut, f"{name}__ready").value = int(free and self.rng.random() >= self.stall)
            await FallingEdge(dut.clk)
            self.cycles += 1
            if offering and int(getattr(dut, f"{self.source}__ready").value):
                at, offering = at + 1, False
                self.fed = self.cycles
            for name in self.sinks:
                if int(getattr(dut, f"{name}__valid").value) and int(getattr(dut, f"{name}__ready").value):
                    self.got[name].append(int(getattr(dut, f"{name}__payload").value))
            given = {name: len(values) for name, values in self.got.items()}
            assert self.cycles < most, f"hangs after {at} of {len(items)} words, {given}"


RATES = ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.3, 0.3))
"""Shares of cycles without an offer and without readiness."""

