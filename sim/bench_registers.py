"""The register slave against cocotbext-axi's AXI4-Lite master."""

from __future__ import annotations

import logging
import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge
from cocotbext.axi import AxiLiteBus, AxiLiteMaster, AxiResp

from hwgen import registers as table
from hwgen.sim.bench_tools import configuration


class Bench:
    """Bus master and the machine's side of the registers."""

    def __init__(self, dut: Any) -> None:
        logging.getLogger("cocotb").setLevel(logging.WARNING)
        self.dut, self.config = dut, configuration()
        self.pulses: dict[str, int] = {"start": 0, "soft_reset": 0}

    async def start(self) -> None:
        dut = self.dut
        for name in (
            "busy",
            "done",
            "error",
            "code",
            "module",
            "index",
            "reset_done",
            *(f"add_{i}" for i in range(len(table.counters(self.config)))),
        ):
            getattr(dut, name).value = 0
        Clock(dut.clk, 10, unit="ns").start()
        dut.rst.value = 1
        for _ in range(3):
            await RisingEdge(dut.clk)
        await FallingEdge(dut.clk)
        # The master looks at answers as soon as it exists; before the reset they are undefined.
        self.bus = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "bus_"), dut.clk, dut.rst)
        await FallingEdge(dut.clk)
        dut.rst.value = 0
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            await ReadOnly()
            for name in self.pulses:
                self.pulses[name] += int(getattr(self.dut, name).value)

    async def read(self, name: str) -> int:
        answer = await self.bus.read(table.BY_NAME[name].offset, 4)
        assert answer.resp == AxiResp.OKAY, name
        return int.from_bytes(answer.data, "little")

    async def write(self, name: str, value: int) -> None:
        answer = await self.bus.write(table.BY_NAME[name].offset, value.to_bytes(4, "little"))
        assert answer.resp == AxiResp.OKAY, name

    async def pulse(self, **values: int) -> None:
        """Hold inputs for one cycle."""
        await FallingEdge(self.dut.clk)
        for name, value in values.items():
            getattr(self.dut, name).value = value
        await FallingEdge(self.dut.clk)
        for name in values:
            getattr(self.dut, name).value = 0

    async def counter(self, name: str) -> int:
        return await self.read(f"{name.upper()}_LO") | await self.read(f"{name.upper()}_HI") << 32


@cocotb.test()
async def identification(dut: Any) -> None:
    b = Bench(dut)
    await b.start()
    for name, value in table.constants(b.config).items():
        assert await b.read(name) == value, name


@cocotb.test()
async def host_values(dut: Any) -> None:
    """What the host writes is read back, byte enables included, and reaches the machine."""
    b = Bench(dut)
    await b.start()
    expected = {"CMD_ADDR": 0, "CMD_COUNT": 0, "WATCHDOG": 0}
    width = {"CMD_ADDR": 32, "CMD_COUNT": 24, "WATCHDOG": 32}
    for _ in range(60):
        name = random.choice(list(expected))
        first = random.randrange(4)
        data = random.randbytes(random.randint(1, 4 - first))
        answer = await b.bus.write(table.BY_NAME[name].offset + first, data)
        assert answer.resp == AxiResp.OKAY
        raw = bytearray(expected[name].to_bytes(4, "little"))
        raw[first : first + len(data)] = data
        expected[name] = int.from_bytes(raw, "little") & ((1 << width[name]) - 1)
        for register, value in expected.items():
            assert await b.read(register) == value
    assert [int(s.value) for s in (dut.cmd_addr, dut.cmd_count, dut.watchdog)] == list(expected.values())


@cocotb.test()
async def unknown_and_read_only(dut: Any) -> None:
    b = Bench(dut)
    await b.start()
    known = {r.offset for r in table.REGISTERS}
    writable = {r.offset for r in table.REGISTERS if r.writable}
    for offset in range(0, 1 << table.ADDRESS_BITS, 4):
        read, write = await b.bus.read(offset, 4), await b.bus.write(offset, bytes(4))
        assert read.resp == (AxiResp.OKAY if offset in known else AxiResp.SLVERR), hex(offset)
        assert write.resp == (AxiResp.OKAY if offset in writable else AxiResp.SLVERR), hex(offset)


@cocotb.test()
async def control_and_status(dut: Any) -> None:
    """Pulses, status bits, first error, interrupt and its acknowledgement."""
    b = Bench(dut)
    await b.start()
    await b.write("CTRL", 0)
    await b.pulse(done=1)
    assert await b.read("STATUS") == 0b1010 and not int(dut.irq.value), "pending, but not enabled"
    await b.write("CTRL", 4)
    assert int(dut.irq.value)
    await b.write("STATUS", 8)
    assert await b.read("STATUS") == 0b0010 and not int(dut.irq.value)
    await b.write("CTRL", 5)
    assert b.pulses == {"start": 1, "soft_reset": 0} and await b.read("STATUS") == 0 and await b.read("CTRL") == 4
    dut.busy.value = 1
    assert await b.read("STATUS") == 1
    dut.busy.value = 0
    await b.pulse(error=1, code=5, module=3, index=0x123456)
    assert await b.read("STATUS") == 0b1100 and int(dut.irq.value) and await b.read("ERROR") == 0x12345635
    await b.write("CTRL", 6)
    assert b.pulses == {"start": 1, "soft_reset": 1}
    await b.pulse(reset_done=1)
    assert await b.read("STATUS") == 0 and await b.read("ERROR") == 0 and not int(dut.irq.value)
    assert await b.read("CTRL") == 4, "a soft reset keeps what the host has set"


@cocotb.test()
async def counters(dut: Any) -> None:
    """Sums are exact whenever counting ends, and a start clears them."""
    b = Bench(dut)
    await b.start()
    names = [name for name, _ in table.counters(b.config)]
    widths = [len(getattr(dut, f"add_{i}")) for i in range(len(names))]
    scale = [b.config.axi_bits // 8 if "bytes" in name else 1 for name in names]
    for _ in range(3):
        await b.write("CTRL", 1)
        sums = [0] * len(widths)
        density = random.choice([0.1, 0.9, 1.0])
        for _ in range(random.randint(1, 400)):
            await FallingEdge(dut.clk)
            for i, width in enumerate(widths):
                value = (
                    (1 << width) - 1
                    if density == 1.0
                    else random.randrange(1 << width)
                    if random.random() < density
                    else 0
                )
                getattr(dut, f"add_{i}").value = value
                sums[i] += value
        await FallingEdge(dut.clk)
        for i in range(len(widths)):
            getattr(dut, f"add_{i}").value = 0
        order = list(range(len(widths)))
        random.shuffle(order)
        for i in order:
            assert await b.counter(names[i]) == sums[i] * scale[i], names[i]
