"""LOAD, STORE and the read master against cocotbext-axi's memory: random copies, random stalls, error responses."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge
from cocotbext.axi import AxiBus, AxiRam, AxiResp

from hwgen.derive import Derived
from hwgen.hardware.interfaces import ACT_READ_LATENCY
from hwgen.isa import Command
from hwgen.sim.bench_tools import configuration, payload

SIZE = 1 << 16


class Bench:
    """Memory, drivers of both command ports, and monitors."""

    def __init__(self, dut: Any, stall: float, size: int = SIZE) -> None:
        self.dut, self.config = dut, configuration()
        self.d = Derived(self.config)
        self.word = self.d.dma_bytes
        self.rng = random.Random(random.randrange(1 << 31))
        logging.getLogger("cocotb").setLevel(logging.WARNING)
        self.ram = AxiRam(AxiBus.from_prefix(dut, "axi_"), dut.clk, dut.rst, size=size)
        self.data = self.rng.randbytes(size)
        self.ram.write(0, self.data)
        if stall:
            channels = (
                self.ram.read_if.ar_channel,
                self.ram.read_if.r_channel,
                self.ram.write_if.aw_channel,
                self.ram.write_if.w_channel,
                self.ram.write_if.b_channel,
            )
            for channel in channels:
                channel.set_pause_generator(self._pauses(stall))
        self.events: list[tuple[str, int]] = []

    def _pauses(self, stall: float) -> Iterator[bool]:
        while True:
            yield self.rng.random() < stall

    async def start(self) -> None:
        dut = self.dut
        for name in ("load_cmd__valid", "store_cmd__valid", "fetch__valid", "weight__en", "param__en", "stop"):
            getattr(dut, name).value = 0
        dut.fetched__ready.value = 1
        Clock(dut.clk, 10, unit="ns").start()
        dut.rst.value = 1
        for _ in range(3):
            await RisingEdge(dut.clk)
        dut.rst.value = 0
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            await ReadOnly()
            for name in ("load", "store"):
                if int(getattr(self.dut, f"{name}_done").value):
                    self.events.append((name, 0))
                if int(getattr(self.dut, f"{name}_error").value):
                    self.events.append((name, int(getattr(self.dut, f"{name}_code").value)))

    async def offer(self, port: str, value: int) -> None:
        """Drive one transfer of a stream."""
        valid, data, ready = (getattr(self.dut, f"{port}__{n}") for n in ("valid", "payload", "ready"))
        valid.value, data.value = 1, value
        while True:
            await ReadOnly()
            taken = int(ready.value)
            await RisingEdge(self.dut.clk)
            if taken:
                break
        valid.value = 0

    async def load(self, dram: int, buffer: int, dst: int, count: int) -> None:
        await self.offer(
            "load_cmd", payload(Command("LOAD", {"dram": dram, "buffer": buffer, "dst": dst, "count": count}))
        )

    async def store(self, dram: int, src: int, count: int) -> None:
        await self.offer("store_cmd", payload(Command("STORE", {"dram": dram, "src": src, "count": count})))

    async def events_reach(self, n: int) -> None:
        for _ in range(20000):
            if len(self.events) >= n:
                return
            await RisingEdge(self.dut.clk)
        raise AssertionError(f"only {len(self.events)} of {n} commands ended: {self.events}")

    async def read_words(self, port: str, address: int, count: int) -> bytes:
        """Read a word buffer through its port; the data stays until the next read."""
        words = []
        en, addr, data = (getattr(self.dut, f"{port}__{n}") for n in ("en", "addr", "data"))
        for i in range(count):
            en.value, addr.value = 1, address + i
            await RisingEdge(self.dut.clk)
            en.value = 0
            for _ in range(ACT_READ_LATENCY - 1):
                await RisingEdge(self.dut.clk)
            await ReadOnly()
            words.append(int(data.value).to_bytes(self.word, "little"))
            await RisingEdge(self.dut.clk)
        return b"".join(words)

    def place(self, low: int, high: int, count: int) -> int:
        """Choose an aligned address of ``count`` words in the memory range."""
        return low + self.word * self.rng.randrange((high - low) // self.word - count + 1)


async def _copies(dut: Any, stall: float) -> None:
    b = Bench(dut, stall)
    await b.start()
    capacity = {0: b.d.act_words // b.d.dma_words, 1: b.d.weight_words, 2: b.d.param_words}
    images = {k: bytearray(v * b.word) for k, v in capacity.items()}
    loads = 0
    for _ in range(12):
        buffer = b.rng.choice([0, 0, 1, 2])
        count = b.rng.randint(1, min(100, capacity[buffer]))
        dst, source = b.rng.randint(0, capacity[buffer] - count), b.place(0, SIZE // 2, count)
        images[buffer][dst * b.word : (dst + count) * b.word] = b.data[source : source + count * b.word]
        await b.load(source, buffer, dst, count)
        loads += 1
    await b.events_reach(loads)
    assert b.events == [("load", 0)] * loads
    for port, buffer in (("weight", 1), ("param", 2)):
        # Words that were never loaded are undefined on Icarus and not compared.
        loaded = [i for i in range(capacity[buffer]) if any(images[buffer][i * b.word : (i + 1) * b.word])]
        for i in b.rng.sample(loaded, min(30, len(loaded))):
            assert await b.read_words(port, i, 1) == bytes(images[buffer][i * b.word : (i + 1) * b.word]), (
                f"{port} word {i}"
            )
    # Stores overlap each other; whole act buffer content that was loaded comes back.
    loaded = [i for i in range(capacity[0]) if any(images[0][i * b.word : (i + 1) * b.word])]
    runs = [i for i in loaded if i - 1 not in loaded][:6]
    expected = bytearray(b.data)
    at = SIZE // 2
    for first in runs:
        count = next(n for n in range(1, capacity[0] + 1) if first + n not in loaded)
        count = min(count, 90)
        at += b.word * b.rng.randint(0, 5)
        await b.store(at, first, count)
        expected[at : at + count * b.word] = images[0][first * b.word : (first + count) * b.word]
        at += count * b.word
    await b.events_reach(loads + len(runs))
    assert b.ram.read(0, SIZE) == bytes(expected)
    assert int(dut.idle.value) == 1


@cocotb.test()
async def copies(dut: Any) -> None:
    await _copies(dut, 0.0)


@cocotb.test()
async def copies_with_stalls(dut: Any) -> None:
    await _copies(dut, 0.5)


@cocotb.test()
async def order_of_errors(dut: Any) -> None:
    """Bad commands between good ones end in the order of the commands and write nothing."""
    b = Bench(dut, 0.2)
    await b.start()
    kinds = [b.rng.choice(["good", "count", "align", "range", "wrap"]) for _ in range(30)]
    codes = {"good": 0, "count": 1, "align": 1, "range": 3, "wrap": 3}
    room = b.d.act_words // b.d.dma_words
    for kind in kinds:
        address = {"align": 4, "wrap": (1 << 32) - b.word}.get(kind, 64)
        await b.load(address, 0, room - 1 if kind == "range" else 0, 0 if kind == "count" else 2)
    await b.events_reach(len(kinds))
    assert b.events == [("load", codes[k]) for k in kinds]
    b.events.clear()
    await b.load(1024, 0, 0, 2)
    await b.events_reach(1)
    b.events.clear()
    for kind in kinds:
        address = {"align": 4, "wrap": (1 << 32) - b.word}.get(kind, SIZE // 2)
        await b.store(address, room - 1 if kind == "range" else 0, 0 if kind == "count" else 2)
    await b.events_reach(len(kinds))
    assert b.events == [("store", codes[k]) for k in kinds]
    expected = bytearray(b.data)
    if "good" in kinds:
        expected[SIZE // 2 : SIZE // 2 + 2 * b.word] = b.data[1024 : 1024 + 2 * b.word]
    assert b.ram.read(0, SIZE) == bytes(expected)


@cocotb.test()
async def error_responses(dut: Any) -> None:
    """SLVERR and DECERR of one command are reported by that command alone."""
    b = Bench(dut, 0.3)
    bad: set[int] = set()
    read_if, write_if = b.ram.read_if, b.ram.write_if
    read, write = read_if._read, write_if._write

    async def failing_read(address: int, length: int, **k: Any) -> bytes:
        if any(address <= a < address + length for a in bad):
            raise ValueError("no such address")
        return bytes(await read(address, length, **k))

    async def failing_write(address: int, data: bytes, **k: Any) -> None:
        if any(address <= a < address + len(data) for a in bad):
            raise ValueError("no such address")
        await write(address, data, **k)

    read_if._read, write_if._write = failing_read, failing_write
    await b.start()
    bad |= {4096 + 8}
    for i in range(3):
        await b.load(4096 * i, 0, 0, 20)
    await b.events_reach(3)
    assert b.events == [("load", 0), ("load", 4), ("load", 0)]
    b.events.clear()
    bad.clear()
    bad |= {SIZE // 2 + 4096 + 64}
    for i in range(3):
        await b.store(SIZE // 2 + 4096 * i, 0, 20)
    await b.events_reach(3)
    assert b.events == [("store", 0), ("store", 5), ("store", 0)]
    assert AxiResp.SLVERR.value == 2


@cocotb.test()
async def command_client_goes_first(dut: Any) -> None:
    """The fetch client gets its own beats while LOADs run, in order, and before bursts not yet requested."""
    b = Bench(dut, 0.0)
    await b.start()
    beats = b.config.axi_bits // 8
    got: list[int] = []

    async def collect() -> None:
        while True:
            await RisingEdge(dut.clk)
            await ReadOnly()
            if int(dut.fetched__valid.value):
                got.append(int(dut.fetched__payload.value) & ((1 << b.config.axi_bits) - 1))

    cocotb.start_soon(collect())
    n = min(300, b.d.act_words // b.d.dma_words, SIZE // 4 // b.word)
    await b.load(0, 0, 0, n)
    for i in range(3):
        await b.offer("fetch", (SIZE // 2 + 1024 * i) | 7 << 32)
    await b.events_reach(1)
    assert got == [
        int.from_bytes(b.data[a : a + beats], "little")
        for i in range(3)
        for a in range(SIZE // 2 + 1024 * i, SIZE // 2 + 1024 * i + 8 * beats, beats)
    ]
