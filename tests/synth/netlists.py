"""Random netlists of ECP5 multipliers and flip-flops, and what they compute."""

from __future__ import annotations

import random
from typing import Any

CLOCKS = (2, 3)
INPUTS = 4
IN = range(10, 10 + INPUTS)
WIDTH = 2
"""Bits of an operand; the product has twice as many."""

Netlist = dict[str, Any]


def flipflop(d: int | str, q: int, clock: int = CLOCKS[0], **changes: str) -> dict[str, Any]:
    """Return a flip-flop, plain but for ``changes`` of its parameters."""
    return {
        "type": "TRELLIS_FF",
        "parameters": {"CEMUX": "1 ", "CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET"} | changes,
        "port_directions": {"CLK": "input", "LSR": "input", "DI": "input", "Q": "output"},
        "connections": {"CLK": [clock], "LSR": ["0"], "DI": [d], "Q": [q]},
    }


def random_netlist(rng: random.Random) -> Netlist:
    """Return a module ``top`` of a few multipliers among flip-flops, most of them plain and of one clock."""
    blocks = rng.randrange(1, 4)
    products = [[100 + 10 * k + n for n in range(2 * WIDTH)] for k in range(blocks)]
    flat = [bit for product in products for bit in product]
    registered = list(range(200, 200 + rng.randrange(4, 10)))
    behind = [bit + 200 for bit in flat if rng.random() < 0.85]
    clock_of = {bit + 200: clock for product in products for clock in [_clock(rng, 3)] for bit in product}
    cells: dict[str, Any] = {}
    for q in registered + behind:
        d = q - 200 if q in behind else rng.choice([*IN, *IN, *registered, *behind, *flat, "0", "1"])
        kind: dict[str, Any] = rng.choice([{}] * 12 + [{"REGSET": "SET"}])
        cells[f"ff{q}"] = flipflop(d, q, clock_of.get(q) or _clock(rng, 8), **kind)
        if rng.random() < 0.05:
            cells[f"ff{q}"]["connections"]["LSR"] = [rng.choice(list(IN))]
    for k, product in enumerate(products):
        pool: list[int | str] = [*registered * 3, *behind]
        if rng.random() < 0.2:  # some operands without a register: only of what comes earlier, so nothing loops
            pool += [*IN, *(bit for earlier in products[:k] for bit in earlier), "1"]
        nets = {f"{port}{n}": [rng.choice(pool)] for port in "AB" for n in range(WIDTH)}
        nets |= {f"P{n}": [bit] for n, bit in enumerate(product)}
        cells[f"mul{k}"] = {
            "type": "MULT18X18D",
            "parameters": {},
            "port_directions": {port: "output" if port[0] == "P" else "input" for port in nets},
            "connections": nets,
        }
    shown = [q for q in registered + behind if rng.random() < 0.4] + [bit for bit in flat if rng.random() < 0.05]
    ports = {
        "x": {"direction": "input", "bits": [*CLOCKS, *IN]},
        "y": {"direction": "output", "bits": shown},
    }
    return {"modules": {"top": {"cells": cells, "ports": ports}}}


def _clock(rng: random.Random, one_in: int) -> int:
    return CLOCKS[rng.randrange(one_in) == 0]


def outputs(netlist: Netlist, stimulus: list[tuple[list[int], int]]) -> list[list[int]]:
    """Return the output bits of ``top`` before each (inputs, clock that ticks then)."""
    module = netlist["modules"]["top"]
    cells = module["cells"]
    flipflops = {n: c for n, c in cells.items() if c["type"] == "TRELLIS_FF"}
    blocks = {n: c for n, c in cells.items() if c["type"] == "MULT18X18D"}
    held: dict[str, int] = {n: int(c["parameters"]["REGSET"] == "SET") for n, c in flipflops.items()}
    held |= {f"{n}{port}": 0 for n in blocks for port in "ABP"}
    seen = []
    for inputs, clock in stimulus:
        nets: dict[int | str, int] = {"0": 0, "1": 1} | dict(zip(IN, inputs, strict=True))
        nets |= {c["connections"]["Q"][0]: held[n] for n, c in flipflops.items()}
        new: dict[str, int] = {}
        for n, c in blocks.items():
            if _has(c, "OUTPUT"):
                _drive(nets, c, held[f"{n}P"])
        for n, c in blocks.items():
            a, b = (held[f"{n}{p}"] if _has(c, f"INPUT{p}") else _operand(nets, c, p) for p in "AB")
            if not _has(c, "OUTPUT"):
                _drive(nets, c, a * b)
            new[f"{n}P"] = a * b
        seen.append([nets[bit] for bit in module["ports"]["y"]["bits"]])
        for n, c in blocks.items():
            if c["connections"].get("CLK0") == [clock]:
                held |= {f"{n}{p}": _operand(nets, c, p) for p in "AB"} | {f"{n}P": new[f"{n}P"]}
        for n, c in flipflops.items():
            if c["connections"]["CLK"] == [clock]:
                reset = nets[c["connections"]["LSR"][0]]
                start = int(c["parameters"]["REGSET"] == "SET")
                held[n] = start if reset else nets[c["connections"]["DI"][0]]
    return seen


def _has(block: dict[str, Any], register: str) -> bool:
    return f"REG_{register}_CLK" in block["parameters"]


def _operand(nets: dict[int | str, int], block: dict[str, Any], port: str) -> int:
    return sum(nets[block["connections"][f"{port}{n}"][0]] << n for n in range(WIDTH))


def _drive(nets: dict[int | str, int], block: dict[str, Any], value: int) -> None:
    nets |= {block["connections"][f"P{n}"][0]: value >> n & 1 for n in range(2 * WIDTH)}
