"""cocotb bench of the activation buffer: all ports at random, hot banks, waiting times, full rate without conflicts."""

from __future__ import annotations

import os
import random
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from hwgen.derive import Derived
from hwgen.sim.act_ports import Traffic
from hwgen.sim.bench_tools import configuration, start


async def _begin(dut: Any) -> Traffic:
    config = configuration()
    d = Derived(config)
    rng = random.Random(int(os.environ.get("COCOTB_RANDOM_SEED", "1")))
    reads = [(f"fetch__{i}", 1) for i in range(config.columns)] + [(f"post_read__{i}", 1) for i in range(2)]
    writes = [(f"post_write__{j}", 1) for j in range(d.pipes)] + [("load", d.dma_words)]
    await start(dut)
    traffic = Traffic(dut, config, [*reads, ("store", d.dma_words)], writes, rng, range(d.act_words))
    full = (1 << d.dma_words * d.word) - 1
    for word in range(0, d.act_words, d.dma_words):
        traffic.request("load", word, rng.randbytes(d.dma_words * d.word), full)
        await _step(dut, traffic)
        assert not traffic.pending, "LOAD must not wait when it is alone"
    return traffic


async def _step(dut: Any, traffic: Traffic) -> None:
    await RisingEdge(dut.clk)
    traffic.drive()
    await FallingEdge(dut.clk)
    traffic.sample()


@cocotb.test()
async def random_traffic(dut: Any) -> None:
    """Every read is right, with rates from idle to always."""
    traffic = await _begin(dut)
    for _ in range(8):
        traffic.rate = {n: traffic.rng.choice((0.0, 0.3, 0.7, 1.0)) for n in traffic.rate}
        for _ in range(100):
            await _step(dut, traffic)
    assert traffic.checked > 300, f"only {traffic.checked} reads"


@cocotb.test()
async def hot_bank(dut: Any) -> None:
    """All ports want bank 0 for ever: nobody waits longer than the rotation and the wide port allow."""
    traffic = await _begin(dut)
    wide = Derived(configuration()).dma_words
    traffic.rate = dict.fromkeys(traffic.rate, 1.0)
    traffic.bank = dict.fromkeys(traffic.rate, 0)
    cycles = 300
    for _ in range(cycles):
        await _step(dut, traffic)
    for name, longest in traffic.longest.items():
        ports = len(traffic.reads if name in traffic.reads else traffic.writes) - 1
        # A narrow port is first at least every `ports` cycles that the wide port leaves, which is every other one.
        limit = 1 if name in ("store", "load") else 2 * ports
        assert longest <= limit, f"{name} ({wide} banks wide ports) waited {longest} cycles, at most {limit} allowed"
        assert traffic.served[name] >= cycles // (limit + 1), f"{name} was served {traffic.served[name]} times"


@cocotb.test()
async def full_rate(dut: Any) -> None:
    """Ports on different banks all get a word in every cycle."""
    traffic = await _begin(dut)
    config = configuration()
    before = dict(traffic.served)
    names = [n for n in traffic.rate if n.startswith(("fetch", "post_read"))][:config.banks]
    traffic.bank = {n: i for i, n in enumerate(names)}
    traffic.rate |= dict.fromkeys(names, 1.0)
    for _ in range(50):
        await _step(dut, traffic)
    assert all(traffic.served[n] - before[n] == 50 for n in names), f"{traffic.served} minus {before}"
