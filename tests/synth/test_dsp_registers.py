"""Registers move into a multiplier block exactly when the block can hold them and nothing else reads them."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from hwgen.synth.dsp_registers import absorb
from tests.synth.netlists import CLOCKS, INPUTS, flipflop, outputs, random_netlist

CLK = CLOCKS[0]
A, B, P = range(10, 14), range(20, 24), range(30, 38)
"""Nets of the operands' registers and of the product; inputs are 100 above, the product's register 100 above it."""



def _netlist() -> dict[str, Any]:
    """A multiplier of two registered operands of 4 bits, one of them sign-extended, with a registered product."""
    nets = {f"A{n}": [A[min(n, 3)]] for n in range(18)} | {f"B{n}": [B[n] if n < 4 else "0"] for n in range(18)}
    nets |= {f"P{n}": [P[n] if n < 8 else 300 + n] for n in range(36)}  # bits above 8 are not read
    block = {
        "type": "MULT18X18D",
        "parameters": {},
        "port_directions": {port: "output" if port[0] == "P" else "input" for port in nets},
        "connections": nets,
    }
    cells = {"mul": block}
    cells |= {f"ff{bit}": flipflop(bit + 100, bit) for bit in (*A, *B)}
    cells |= {f"ff{bit}": flipflop(bit, bit + 100) for bit in P}
    ports = {
        "x": {"direction": "input", "bits": [CLK, *(b + 100 for b in (*A, *B))]},
        "y": {"direction": "output", "bits": [b + 100 for b in P]},
    }
    return {"modules": {"top": {"cells": cells, "ports": ports}}}


def _cells(netlist: dict[str, Any]) -> dict[str, Any]:
    return netlist["modules"]["top"]["cells"]  # type: ignore[no-any-return]


def test_all_three_registers_move() -> None:
    netlist = _netlist()
    assert absorb(netlist, "top") == 16
    (mul,) = _cells(netlist).values()
    nets, parameters = mul["connections"], mul["parameters"]
    assert [nets[f"A{n}"] for n in range(18)] == [[A[min(n, 3)] + 100] for n in range(18)]
    assert [nets[f"B{n}"] for n in range(5)] == [*([b + 100] for b in B), ["0"]]
    assert [nets[f"P{n}"] for n in range(8)] == [[p + 100] for p in P]
    assert {parameters[f"REG_{r}_CLK"] for r in ("INPUTA", "INPUTB", "OUTPUT")} == {"CLK0"}
    assert (nets["CLK0"], nets["CE0"], nets["RST0"]) == ([CLK], ["1"], ["0"])


@pytest.mark.parametrize(
    "changes", [{"CEMUX": "CE"}, {"CLKMUX": "INV"}, {"REGSET": "SET"}], ids=["enabled", "inverted", "one"]
)
def test_operands_stay_when_one_flipflop_cannot_move(changes: dict[str, str]) -> None:
    netlist = _netlist()
    _cells(netlist)["ff11"] = flipflop(111, 11, **changes)
    assert absorb(netlist, "top") == 8
    assert "REG_INPUTA_CLK" not in _cells(netlist)["mul"]["parameters"]
    assert "REG_INPUTB_CLK" not in _cells(netlist)["mul"]["parameters"]


def test_a_flipflop_with_a_reset_stays() -> None:
    netlist = _netlist()
    _cells(netlist)["ff30"]["connections"]["LSR"] = [99]
    assert absorb(netlist, "top") == 8
    assert "REG_OUTPUT_CLK" not in _cells(netlist)["mul"]["parameters"]


def test_a_flipflop_that_others_read_is_kept_beside_the_block() -> None:
    netlist = _netlist()
    netlist["modules"]["top"]["ports"]["y"]["bits"].append(10)
    assert absorb(netlist, "top") == 15
    assert "ff10" in _cells(netlist)
    assert _cells(netlist)["mul"]["connections"]["A0"] == [110]


def test_a_product_that_is_read_before_its_register_keeps_it() -> None:
    netlist = _netlist()
    netlist["modules"]["top"]["ports"]["y"]["bits"].append(30)
    assert absorb(netlist, "top") == 8


def test_a_register_between_two_blocks_moves_once() -> None:
    netlist = _netlist()
    cells = _cells(netlist)
    second = copy.deepcopy(cells["mul"])
    second["connections"] |= {f"A{n}": [P[min(n, 7)] + 100] for n in range(18)}
    second["connections"] |= {f"P{n}": [400 + n] for n in range(36)}
    cells["second"] = second
    netlist["modules"]["top"]["ports"]["y"]["bits"] = [400]
    # A and the product go into the first block; B stays for the second, which has no register for its A any more.
    assert absorb(netlist, "top") == 12
    first, second = cells["mul"], cells["second"]
    crossed = "REG_OUTPUT_CLK" in first["parameters"]
    assert crossed != ("REG_INPUTA_CLK" in second["parameters"])
    assert all(second["connections"][f"A{n}"] == first["connections"][f"P{n}"] for n in range(8))


def test_a_product_register_of_another_clock_stays() -> None:
    """The block is clocked by one net here."""
    netlist = _netlist()
    for bit in P:
        _cells(netlist)[f"ff{bit}"]["connections"]["CLK"] = [3]
    assert absorb(netlist, "top") == 8
    mul = _cells(netlist)["mul"]
    assert mul["connections"]["CLK0"] == [CLK] and "REG_OUTPUT_CLK" not in mul["parameters"]


def test_a_reset_of_inverted_polarity_stays() -> None:
    netlist = _netlist()
    _cells(netlist)["ff30"] = flipflop(30, 130, LSRMUX="INV")
    assert absorb(netlist, "top") == 8


def test_registers_that_a_block_has_already_are_kept() -> None:
    netlist = _netlist()
    assert absorb(netlist, "top") == 16
    cells = _cells(netlist)
    cells |= {f"again{bit}": flipflop(bit + 200, bit + 100) for bit in (*A, *B)}
    cells |= {f"again{bit}": flipflop(bit + 100, bit + 200) for bit in P}
    netlist["modules"]["top"]["ports"]["x"]["bits"] = [CLK]
    netlist["modules"]["top"]["ports"]["y"]["bits"] = [bit + 200 for bit in P]
    assert absorb(netlist, "top") == 0


@pytest.mark.parametrize("seed", range(200))
def test_random_netlists_compute_the_same(seed: int) -> None:
    """Shared and chained registers, feedback, read products, two clocks: outputs agree in every cycle."""
    rng = random.Random(seed)
    netlist = random_netlist(rng)
    before = copy.deepcopy(netlist)
    gone = absorb(netlist, "top")
    assert gone == len(_cells(before)) - len(_cells(netlist))
    stimulus = [([rng.randrange(2) for _ in range(INPUTS)], rng.choice(CLOCKS)) for _ in range(40)]
    assert outputs(netlist, stimulus) == outputs(before, stimulus)


def test_random_netlists_have_registers_to_move() -> None:
    gone = [absorb(random_netlist(random.Random(seed)), "top") for seed in range(200)]
    assert sum(n > 0 for n in gone) > 50
