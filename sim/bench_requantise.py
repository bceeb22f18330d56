"""cocotb bench of the requantiser: one value a cycle against exact integers, every rounding rule, ties and extremes."""

from __future__ import annotations

import random
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from hwgen.hardware.requantise import LATENCY
from hwgen.isa import Final


def divide(p: int, bits: int, final: int) -> int:
    """``p / 2**bits`` rounded to the nearest integer, ties as ``final`` says; exact."""
    below, rest = divmod(p, 1 << bits)
    if 2 * rest != 1 << bits:
        return below + (2 * rest > 1 << bits)
    return {Final.UP: below + 1, Final.AWAY: below + (p >= 0), Final.EVEN: below + (below & 1)}[Final(final)]


def reference(acc: int, bias: int, multiplier: int, n: int, rule: dict[str, int]) -> int:
    """The contract in big integers."""
    p = ((acc + bias + (1 << 31)) % (1 << 32) - (1 << 31)) * multiplier
    if rule["nudge"] and n >= 8:
        r = divide(p + (1 << 30) >> 31, n - 8, rule["final"])
    elif n == 0:
        r = p >> 23
    else:
        r = divide(p, n + 23, Final.UP if rule["nudge"] else rule["final"])
    return max(rule["qmin"], min(rule["qmax"], r + rule["zero_point"]))


def draw(rng: random.Random, n: int) -> tuple[int, int, int, int]:
    """acc, bias, multiplier, n: random, extreme, or within one of a tie."""
    multiplier = rng.choice(
        [0, 1 << 30, (1 << 31) - 1, (1 << 32) - 1, 1 << rng.randint(0, 31), rng.randrange(1 << 30, 1 << 31)]
    )
    bias = rng.choice([0, 0, rng.randint(-1 << 31, (1 << 31) - 1)])
    acc = rng.choice([-1 << 31, (1 << 31) - 1, 0, 1, -1, rng.randint(-1 << 31, (1 << 31) - 1)])
    if multiplier and rng.random() < 0.6:
        acc = ((2 * rng.randint(-300, 300) + 1) << n + 22) // multiplier + rng.randint(-1, 1) - bias
    return (acc + (1 << 31)) % (1 << 32) - (1 << 31), bias, multiplier, n


@cocotb.test()
async def against_integers(dut: Any) -> None:
    """Every rounding rule, three clamps each, all shifts."""
    seed = random.getrandbits(31)
    rng = random.Random(seed)
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 0
    ties = 0
    for nudge in (0, 1):
        for final in Final:
            for limits in ((-128, 127), (-256, 255), (-3, 100)):
                rule = {
                    "nudge": nudge,
                    "final": int(final),
                    "zero_point": rng.choice([-256, 255, rng.randint(-128, 127)]),
                    "qmin": limits[0],
                    "qmax": limits[1],
                }
                for name, value in rule.items():
                    getattr(dut, {"final": "ties"}.get(name, name)).value = value
                expected: list[tuple[int, tuple[int, int, int, int]]] = []
                for i in range(400 + LATENCY):
                    values = draw(rng, i % 40)
                    for name, value in zip(("acc", "bias", "multiplier", "shift"), values, strict=True):
                        getattr(dut, {"final": "ties"}.get(name, name)).value = value
                    acc, bias, multiplier, n = values
                    ties += (acc + bias) * multiplier % (1 << n + 23) == 1 << n + 22
                    expected.append((reference(*values, rule), values))
                    await RisingEdge(dut.clk)
                    if i > LATENCY:
                        want, given = expected[i - LATENCY]
                        got = int(dut.q.value)
                        assert got == want & 0xFF, (
                            f"seed {seed}: {rule}, acc, bias, multiplier, n = {given}: {got}, not {want}"
                        )
    assert ties > 100, f"seed {seed}: only {ties} exact ties"
