"""The map encoder against `hwgen.golden.packed_map`: all kinds of blocks, plain ones between, random pauses."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import cocotb

from hwgen.derive import Derived
from hwgen.golden.packed_map import bitmap_words, pack
from hwgen.hardware.map_encoder import word_layout
from hwgen.sim.bench_tools import configuration, start
from hwgen.sim.packed_blocks import RATES, Block, Streams, block, every_zero_point, mixture

WIDTH = Derived(configuration()).dma_bytes


def _words(b: Block, *, packed: bool) -> list[int]:
    """Return the payloads of stream ``i``."""
    rows = [int.from_bytes(row.tobytes(), "little") for row in b.words]
    layout = word_layout(WIDTH)
    return [layout.const({
        "data": row, "last": n == len(rows) - 1, "packed": packed, "zero_point": b.zero_point & 0xFF,
        "bitmaps": bitmap_words(len(rows)) if packed else 0}).as_bits() for n, row in enumerate(rows)]


async def _run(dut: Any, blocks: Sequence[Block], plain: Sequence[bool], pause: float, stall: float) -> Streams:
    rng = random.Random(random.randrange(1 << 31))
    items = [w for b, p in zip(blocks, plain, strict=True) for w in _words(b, packed=not p)]
    forms = [b.words if p else pack(b.words, b.zero_point) for b, p in zip(blocks, plain, strict=True)]
    expected = [int.from_bytes(row.tobytes(), "little") for form in forms for row in form]
    s = Streams(dut, "i", ("o", "length"), pause, stall, rng)
    s.limit["o"] = lambda: sum(s.got["length"])
    await s.run(items, "o", len(expected))
    assert s.got["length"] == [len(form) for form in forms]
    assert s.got["o"] == expected
    return s


@cocotb.test()
async def all_kinds(dut: Any) -> None:
    rng = random.Random(random.randrange(1 << 31))
    await start(dut)
    for pause, stall in RATES:
        blocks = mixture(rng, WIDTH, 8)
        await _run(dut, blocks, [rng.random() < 0.25 and len(b.words) <= 64 for b in blocks], pause, stall)


@cocotb.test()
async def zero_points(dut: Any) -> None:
    await start(dut)
    blocks = every_zero_point(random.Random(random.randrange(1 << 31)), WIDTH)
    await _run(dut, blocks, [False] * len(blocks), 0.1, 0.1)


@cocotb.test()
async def rate(dut: Any) -> None:
    """A word a cycle at half density, but for a few cycles a block; the bitmap on top when nothing is left out."""
    rng = random.Random(random.randrange(1 << 31))
    await start(dut)
    for kind, most in (("alternating", 1.0), ("full", 9 / 8)):
        blocks = [block(rng, WIDTH, kind, 160, -128) for _ in range(3)]
        s = await _run(dut, blocks, [False] * 3, 0.0, 0.0)
        assert s.fed <= 3 * (160 * most + 4) + 8, (kind, s.fed)
