"""cocotb bench of WSTREAM and CODEBOOK on a weight buffer: streams of every format against the golden machine, cycles,
streams that are not whole."""

from __future__ import annotations

import random
from typing import Any

import cocotb
import numpy as np
from numpy.typing import NDArray

from hwgen import isa, timing
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.golden import weight_stream
from hwgen.golden.machine_weights import NEEDS, codebook, wstream
from hwgen.isa import Format
from hwgen.sim.bench_tools import configuration
from hwgen.sim.bench_wfetch import Bench, _seed, zero_point

DATA = ("random", "all zero", "no zero", "one", "alternating", "long runs")
"""What weights the bench streams."""


def weights(kind: str, words: int, d: Derived, bits: int, rng: np.random.Generator, zero: int) -> NDArray[np.int16]:
    """Return weights (words, D), ``bits`` bits less a zero point, or 0."""
    low, high, other = -(1 << bits - 1) - zero, (1 << bits - 1) - zero, 1 if zero == -128 else -1
    shape = (words, d.dma_bytes)
    full = rng.integers(low, high, shape)
    if kind == "random":
        grain = rng.choice((1, d.word))
        keep = np.repeat(rng.random((words, d.dma_bytes // grain)) < rng.choice((0.05, 0.2, 0.5, 0.8)), grain, axis=1)
        full = full * keep
    elif kind == "no zero":
        full = np.where(full == 0, other, full)
    elif kind == "alternating":
        full[::2] = 0
    elif kind == "long runs":
        full = full * (rng.random(shape) < 0.02)
    else:
        single = np.zeros(shape, np.int64)
        if kind == "one":
            single.reshape(-1)[rng.integers(0, single.size)] = other
        full = single
    return full.astype(np.int16)


def patterned(words: NDArray[np.int16], n: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return weights with at most ``n`` of every four that are not zero."""
    groups = words.reshape(-1, weight_stream.GROUP).copy()
    drop = np.argsort(rng.random(groups.shape), axis=1)[:, n:]
    np.put_along_axis(groups, drop, 0, axis=1)
    return groups.reshape(words.shape)


class Streams:
    """Random streams in a weight buffer, and the commands that fetch them."""

    def __init__(self, config: Config, seed: int) -> None:
        self.config, self.d = config, Derived(config)
        self.rng = np.random.default_rng(seed)
        self.memory = np.zeros((self.d.weight_words, self.d.dma_bytes), np.uint8)
        self.at = self.zero = 0
        self.commands: list[isa.Command] = []
        self.cycles: list[int] = []

    def store(self, raw: NDArray[np.uint8]) -> int | None:
        """Write whole DMA words; return where, or None when the buffer is full."""
        rows = raw.reshape(-1, self.d.dma_bytes)
        at = self.at
        if at + len(rows) > len(self.memory):
            return None
        self.memory[at:at + len(rows)] = rows
        self.at += len(rows)
        return at

    def book(self, values: NDArray[np.int8]) -> bool:
        """Add a codebook of a power of two of entries."""
        raw = np.zeros(max(len(values), self.d.dma_bytes), np.uint8)
        raw[: len(values)] = values.view(np.uint8)
        src = self.store(raw)
        if src is not None:
            self.commands.append(isa.Command("CODEBOOK", {"src": src, "log2_entries": len(values).bit_length() - 1}))
            self.cycles.append(len(values))
        return src is not None

    def stream(self, kind: str, form: Format) -> bool:
        """Add a stream, with a codebook now and then; returns whether there was room."""
        c, d, rng = self.config, self.d, self.rng
        log2_rc, log2_cc = (int(rng.integers(0, (n - 1).bit_length() + 1)) for n in (c.rows, c.columns))
        most = ((1 << log2_rc) // min(1 << log2_rc, d.weight_buses)) << log2_cc
        groups = int(rng.choice((most, int(rng.integers(1, most + 1)))))
        count = int(rng.integers(1, max(2, min(c.wmem_words, 48 // groups))))
        if d.weight_zero and (not self.commands or rng.random() < 0.5):
            self.commands.append(zero_point(random.Random(int(rng.integers(1 << 32)))))
            self.cycles.append(0)
            self.zero = self.commands[-1].args["zero_point"]
        words = weights(kind, groups * count, d, int(rng.integers(1, min(c.weight_bits, 8) + 1)), rng, self.zero)
        if form in (Format.ONE_OF_FOUR, Format.TWO_OF_FOUR):
            words = patterned(words, 1 if form is Format.ONE_OF_FOUR else 2, rng)
        keep = weight_stream.kept(words, form, d.word)
        assert keep is not None
        stored = (words[keep] + self.zero).astype(np.int8)
        bits, table, found = weight_stream.value_bits(stored), None, np.unique(stored)
        index = max(1, (len(found) - 1).bit_length())
        if rng.random() < 0.4 and 1 << index <= c.codebook:
            bits, table = index, rng.integers(-128, 128, 1 << index).astype(np.int8)
            table[: len(found)] = found
            if not self.book(rng.permuted(table, out=table)):
                return False
        lanes = weight_stream.Lanes.of(c, count)
        marks, values = weight_stream.encode(words, keep, form, bits, lanes, table, self.zero)
        src = self.store(np.concatenate([marks, values]))
        if src is None:
            return False
        unit = d.unit(vector=form is Format.VECTOR)
        sizes = len(marks) // d.dma_bytes, len(values) // d.dma_bytes
        self.commands.append(isa.Command("WSTREAM", {
            "src": src, "count": count, "dst": int(rng.integers(0, (c.wmem_words - count) // unit + 1)) * unit,
            "groups": groups, "log2_rc": log2_rc, "log2_cc": log2_cc, "format": int(form), "bits": bits - 1,
            "codebook": int(table is not None), "marks": sizes[0], "values": sizes[1]}))
        self.cycles.append(weight_stream.decode_cycles(keep, form, *sizes, lanes))
        return True


def _bench(dut: Any, config: Config, seed: int, streams: Streams, pause: float = 0.0) -> Bench:
    bench = Bench(dut, config, seed, pause)
    bench.state.weight[:] = streams.memory.reshape(-1)
    return bench


def _golden(bench: Bench, command: isa.Command) -> None:
    bench.golden(command, codebook if command.name == "CODEBOOK" else wstream)


@cocotb.test()
async def random_streams(dut: Any) -> None:
    """Lanes end like the golden machine's, whatever the format and the weights."""
    config = configuration()
    forms = [f for f, name in NEEDS.items() if name in config.weight_formats]
    for part, pause in enumerate((0.0, 0.3)):
        streams = Streams(config, _seed() + part)
        kinds = [(kind, form) for form in forms for kind in DATA] * 3
        random.Random(_seed() + part).shuffle(kinds)
        for kind, form in kinds:
            if not streams.stream(kind, form):
                break
        bench = _bench(dut, config, _seed() + part, streams, pause)
        await bench.begin()
        bench.commands.add(streams.commands)
        await bench.finish(len(streams.commands))
        assert all(code == 0 for _, code in bench.commands.finished), bench.commands.finished
        for command in streams.commands:
            _golden(bench, command)
        assert (bench.wmem == bench.state.wmem).all(), f"differ at {np.argwhere(bench.wmem != bench.state.wmem)[:5]}"
        if not pause:
            _check_pace(bench, streams)


def _check_pace(bench: Bench, streams: Streams) -> None:
    """A word a cycle; what a stream takes beyond that is `timing.WSTREAM_OVERHEAD`, and little more."""
    ends = [cycle for cycle, _ in bench.commands.finished]
    extra = np.diff(ends) - np.array(streams.cycles[1:])
    for i, command in enumerate(streams.commands[1:]):
        if command.name == "CODEBOOK":
            low, high = timing.CODEBOOK_OVERHEAD, timing.CODEBOOK_OVERHEAD
        elif command.name == "WF_ZERO":
            low = high = 1
        else:
            low = timing.WSTREAM_OVERHEAD
            high = low + 3 + streams.cycles[i + 1] // 10
        assert low <= extra[i] <= high, f"{command}: {extra[i]} cycles beyond a word a cycle, not {low}..{high}"


@cocotb.test()
async def start_latency(dut: Any) -> None:
    """Cycles from the offer to an idle unit to the first word."""
    config = configuration()
    streams = Streams(config, _seed())
    assert streams.stream("no zero", Format.PACKED)
    bench = _bench(dut, config, _seed(), streams)
    await bench.begin()
    bench.commands.add(streams.commands[:-1])
    await bench.finish(len(streams.commands) - 1)
    for _ in range(5):
        await bench.step()
    bench.commands.add(streams.commands[-1:])
    first = bench.cycle + 1
    await bench.finish(len(streams.commands))
    assert bench.cycles[0] - first == timing.WSTREAM_START, f"{bench.cycles[0] - first} cycles"


@cocotb.test()
async def corrupt_streams(dut: Any) -> None:
    """A stream that is not whole ends in error 9 where the golden machine refuses it, and otherwise like that one."""
    config = configuration()
    forms = [f for f, name in NEEDS.items() if name in config.weight_formats]
    rng = random.Random(_seed())
    refused = 0
    for trial in range(30):
        streams = Streams(config, _seed() + 1000 + trial)
        if not streams.stream(rng.choice(DATA), rng.choice(forms)):
            continue
        command = streams.commands[-1]
        args = dict(command.args)
        change = rng.choice(("bit", "marks", "values", "bits"))
        if change == "bit":
            size = max(1, args["marks"] or args["values"])
            word = args["src"] + rng.randrange(size)
            for _ in range(rng.choice((1, 8))):
                streams.memory[word, rng.randrange(streams.d.dma_bytes)] ^= 1 << rng.randrange(8)
        elif change == "bits":
            args["bits"] = rng.randrange(8)
        else:
            args[change] = max(0, args[change] + rng.choice((-1, 1)))
        streams.commands[-1] = isa.Command("WSTREAM", args)
        bench = _bench(dut, config, _seed(), streams)
        await bench.begin()
        bench.commands.add(streams.commands)
        expected = 0
        for part in streams.commands:
            try:
                _golden(bench, part)
            except HwgenError as error:
                expected = 9 if "weight stream must" in str(error) else 3
        await bench.finish(len(streams.commands))
        code = bench.commands.finished[-1][1]
        assert code == expected, f"{change}, {streams.commands[-1]}: error {code}, expected {expected}"
        refused += expected == 9
        if not expected:
            assert (bench.wmem == bench.state.wmem).all(), f"{change}, {streams.commands[-1]}"
    assert refused > 4, refused


@cocotb.test()
async def illegal_streams(dut: Any) -> None:
    """What the machine does not have, and addresses outside, end in their code."""
    config = configuration()
    d = Derived(config)
    streams = Streams(config, _seed())
    assert streams.stream("no zero", Format.PACKED)
    good = streams.commands[-1]

    def stream(**args: int) -> isa.Command:
        return isa.Command("WSTREAM", good.args | args)

    missing = [int(f) for f, name in NEEDS.items() if name not in config.weight_formats]
    cases: list[tuple[isa.Command | int, int]] = [
        (stream(count=0), 1), (stream(groups=0), 1), (stream(format=7), 1), (1, 1), (0, 1), (5, 1),
        *(() if d.weight_zero else ((4, 1),)),
        *((stream(format=f), 1) for f in missing),
        (stream(src=d.weight_words), 3), (stream(src=(1 << 20) - 1), 3),
        (stream(dst=4096 - d.bits_words, count=2 * d.bits_words), 3),
        (stream(log2_rc=7), 3), (stream(log2_cc=7), 3),
        (isa.Command("CODEBOOK", {"src": 0, "log2_entries": 0}), 1),
        (isa.Command("CODEBOOK", {"src": 0, "log2_entries": config.codebook.bit_length()}), 1),
    ]
    if config.codebook:
        cases.append((isa.Command("CODEBOOK", {"src": d.weight_words, "log2_entries": 1}), 3))
        if all(c.args.get("log2_entries", 0) < 8 for c in streams.commands):
            cases.append((stream(codebook=1, bits=7), 9))
    if not config.codebook:
        cases.append((stream(codebook=1), 1))
    for bad, code in cases:
        bench = _bench(dut, config, _seed(), streams)
        await bench.begin()
        bench.commands.add([*streams.commands, bad, good])
        await bench.finish(len(streams.commands) + 1)
        for _ in range(30):
            await bench.step()
        codes = [c for _, c in bench.commands.finished]
        assert codes == [0] * len(streams.commands) + [code], f"{bad}: {codes}, expected {code}"
