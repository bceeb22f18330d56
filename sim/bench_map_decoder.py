"""The map decoder against `hwgen.golden.packed_map`: all kinds of blocks, corrupt ones, random pauses."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge
from numpy.typing import NDArray

from hwgen.derive import Derived
from hwgen.golden.packed_map import bitmap_words, pack, unpack
from hwgen.hardware.map_decoder import packed_layout, unpacked_layout
from hwgen.sim.bench_tools import configuration, start
from hwgen.sim.packed_blocks import RATES, Block, Streams, block, every_zero_point, mixture

WIDTH = Derived(configuration()).dma_bytes


def _words(form: NDArray[np.uint8], b: Block, dst: int, *, final: bool, failed: int = -1) -> list[int]:
    """Return the payloads of stream ``i``; words from ``failed`` on are marked."""
    layout, count = packed_layout(WIDTH), bitmap_words(len(b.words))
    return [layout.const({
        "data": int.from_bytes(row.tobytes(), "little"), "first": n == 0, "bits": n < count, "last": n == len(form) - 1,
        "failed": 0 <= failed <= n,
        "job": {"block": len(b.words), "zero_point": b.zero_point & 0xFF, "dst": dst, "final": final}}).as_bits()
        for n, row in enumerate(form)]


async def _run(dut: Any, blocks: Sequence[Block], pause: float, stall: float) -> Streams:
    """Unpack good blocks, of commands of a few each."""
    rng = random.Random(random.randrange(1 << 31))
    items: list[int] = []
    expected: list[tuple[int, int, int]] = []
    for n, b in enumerate(blocks):
        dst, final = rng.randrange(1 << 19), n == len(blocks) - 1 or rng.random() < 0.5
        items += _words(pack(b.words, b.zero_point), b, dst, final=final)
        expected += [(int.from_bytes(row.tobytes(), "little"), dst + k, int(final and k == len(b.words) - 1))
                     for k, row in enumerate(b.words)]
    s = Streams(dut, "i", ("o",), pause, stall, rng)
    await s.run(items, "o", len(expected))
    out = [unpacked_layout(WIDTH).from_bits(v) for v in s.got["o"]]
    assert [(o.data, o.dst, o.last) for o in out] == expected
    assert not any(o.corrupt or o.failed for o in out)
    await FallingEdge(dut.clk)
    assert int(dut.idle.value)
    return s


@cocotb.test()
async def all_kinds(dut: Any) -> None:
    rng = random.Random(random.randrange(1 << 31))
    await start(dut)
    for pause, stall in RATES:
        await _run(dut, mixture(rng, WIDTH, 8), pause, stall)


@cocotb.test()
async def zero_points(dut: Any) -> None:
    await start(dut)
    await _run(dut, every_zero_point(random.Random(random.randrange(1 << 31)), WIDTH), 0.1, 0.1)


@cocotb.test()
async def rate(dut: Any) -> None:
    """A word a cycle while the packed words, one a cycle, suffice: also across blocks."""
    rng = random.Random(random.randrange(1 << 31))
    await start(dut)
    for kind in ("alternating", "zero"):
        s = await _run(dut, [block(rng, WIDTH, kind, 160, -128) for _ in range(3)], 0.0, 0.0)
        assert s.cycles <= 3 * 160 + 20 + 12 + 3 * (kind == "alternating"), (kind, s.cycles)


@cocotb.test()
async def corrupt(dut: Any) -> None:
    """Bits that do not agree with the length are told at the end of the command, and all its words are given out; what
    follows is right."""
    rng = random.Random(random.randrange(1 << 31))
    await start(dut)
    bad = 0
    for pause, stall in RATES * 6:
        blocks = mixture(rng, WIDTH, 4, 24)
        victim, items, wrong = rng.randrange(3), [], False
        for n, b in enumerate(blocks):
            form, count = pack(b.words, b.zero_point), bitmap_words(len(b.words))
            if n == victim:
                change = rng.choice(("shorter", "longer", "bit", "bits"))
                if change == "shorter":
                    form = form[:max(count + 1, len(form) - rng.randint(1, 4))]
                elif change == "longer":
                    form = np.concatenate([form, form[:rng.randint(1, 4)]])
                else:
                    form = form.copy()
                    share = 1 / WIDTH if change == "bit" else 0.5
                    flips = np.random.default_rng(rng.randrange(1 << 30)).random((len(b.words), WIDTH)) < share
                    bits = np.zeros(count * WIDTH * 8, np.uint8)
                    bits[:flips.size] = flips.reshape(-1)
                    form[:count] ^= np.packbits(bits, bitorder="little").reshape(count, WIDTH)
                wrong = unpack(form, len(b.words), b.zero_point) is None
            items += _words(form, b, 0, final=n >= 2)
        lengths = [len(b.words) for b in blocks]
        s = Streams(dut, "i", ("o",), pause, stall, rng)
        await s.run(items, "o", sum(lengths))
        out = [unpacked_layout(WIDTH).from_bits(v) for v in s.got["o"]]
        ends = [o for o in out if o.last]
        assert len(ends) == 2 and ends[0].corrupt == wrong and not ends[1].corrupt, (change, wrong)
        assert [o.data for o in out[-lengths[3]:]] == [int.from_bytes(r.tobytes(), "little") for r in blocks[3].words]
        bad += wrong
    assert bad > len(RATES)


@cocotb.test()
async def error_responses(dut: Any) -> None:
    """A failed word fails the command it belongs to, and no other."""
    rng = random.Random(random.randrange(1 << 31))
    await start(dut)
    for pause, stall in RATES * 3:
        blocks = mixture(rng, WIDTH, 6, 24)
        forms = [pack(b.words, b.zero_point) for b in blocks]
        victim = rng.randrange(6)
        where = rng.randrange(len(forms[victim]))
        items = [w for n, b in enumerate(blocks)
                 for w in _words(forms[n], b, 0, final=True, failed=where if n == victim else -1)]
        s = Streams(dut, "i", ("o",), pause, stall, rng)
        await s.run(items, "o", sum(len(b.words) for b in blocks))
        ends = [o for v in s.got["o"] if (o := unpacked_layout(WIDTH).from_bits(v)).last]
        assert [o.failed for o in ends] == [n == victim for n in range(6)]
        assert not any(o.corrupt for o in ends)
