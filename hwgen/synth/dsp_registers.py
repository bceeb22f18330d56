"""Registers around an ECP5 multiplier go into its block, which has some at either end; Yosys leaves them outside.

A MULT18X18D holds a register behind each operand and one behind the product (Lattice FPGA-TN-02205, ECP5 sysDSP). Used,
they save the flip-flops, their wires, and the way from them to the block, which is the longest of a lane.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, cast

BLOCK, FLIPFLOP = "MULT18X18D", "TRELLIS_FF"
CONSTANTS = ("0", "1", "x", "z")
PLAIN = {"CEMUX": "1", "CLKMUX": "CLK", "LSRMUX": "LSR", "REGSET": "RESET"}
"""A flip-flop that the block can hold: always enabled, rising edge, zero at power-up; a reset input, which is
tied to 0, is not inverted."""

Bit = int | str
Cell = dict[str, Any]


def absorb(netlist: dict[str, Any], top: str) -> int:
    """Move plain flip-flops into the multiplier blocks that they feed or follow, in place.

    A block gets registers of one clock; one that has some already stays as it is.

    Parameters
    ----------
    netlist : dict
        As Yosys' ``write_json`` gives it, flat, mapped to ECP5.
    top : str
        Module.

    Returns
    -------
    int
        Flip-flops that are gone.
    """
    module = netlist["modules"][top]
    cells: dict[str, Cell] = module["cells"]
    plain = {name: c for name, c in cells.items() if c["type"] == FLIPFLOP and _is_plain(c)}
    by_q = {_one(c, "Q"): name for name, c in plain.items()}
    by_d = {_one(c, "DI"): name for name, c in plain.items()}
    readers = _readers(module)
    before = len(cells)

    def remove(bit: Bit) -> None:
        """Take out the flip-flop that gives ``bit``."""
        name = by_q.pop(bit)
        d = _one(plain[name], "DI")
        readers[d] -= 1
        by_d.pop(d, None)
        del cells[name]

    for cell in [c for c in cells.values() if c["type"] == BLOCK and not _has_registers(c)]:
        used: set[Bit] = set()
        operands = [_registers(cell, port, by_q) for port in "AB"]
        clocks = {_one(plain[name], "CLK") for names in operands for name in names.values()}
        if all(operands) and len(clocks) == 1:  # nextpnr knows no times of a block with one operand registered
            for port, names in zip("AB", operands, strict=True):
                for at, bit in _bits(cell, port):
                    d = _one(plain[names[bit]], "DI")
                    cell["connections"][at] = [d]
                    readers[d] += 1
                    readers[bit] -= 1
                    if not readers[bit]:
                        remove(bit)
                _enable(cell, f"REG_INPUT{port}", clocks)
            used = clocks
        results = _registers(cell, "P", by_d, readers)
        clocks = {_one(plain[name], "CLK") for name in results.values()}
        if len(clocks) == 1 and used <= clocks:
            for at, bit in _bits(cell, "P", readers):
                q = _one(plain[results[bit]], "Q")
                cell["connections"][at] = [q]
                remove(q)
            _enable(cell, "REG_OUTPUT", clocks)
    return before - len(cells)


def _is_plain(cell: Cell) -> bool:
    parameters = cell["parameters"]
    held_by = [cell["connections"].get(port, []) for port in ("LSR", "M")]
    # Yosys puts a space behind a text of zeros and ones, to tell it from a number.
    return all(parameters.get(name, "").rstrip() == value for name, value in PLAIN.items()) and all(
        bit in ("0", "x") for bits in held_by for bit in bits
    )


def _has_registers(block: Cell) -> bool:
    return any(re.fullmatch("REG_.*_CLK", n) and value != "NONE" for n, value in block["parameters"].items())


def _one(cell: Cell, port: str) -> Bit:
    (bit,) = cell["connections"][port]
    return cast(Bit, bit)


def _bits(cell: Cell, port: str, used: Counter[Bit] | None = None) -> list[tuple[str, Bit]]:
    """Return (port, net) of the bits of an operand or product: those that vary, and are used if that is counted."""
    ports = [(f"{port}{n}", cell["connections"].get(f"{port}{n}", [])) for n in range(36 if port == "P" else 18)]
    return [(at, bit) for at, bits in ports for bit in bits if bit not in CONSTANTS and (used is None or used[bit])]


def _registers(cell: Cell, port: str, flipflops: dict[Bit, str], readers: Counter[Bit] | None = None) -> dict[Bit, str]:
    """Return net -> flip-flop for all bits of a port, or nothing if one has none or is read elsewhere too."""
    bits = [bit for _, bit in _bits(cell, port, readers)]
    if not all(bit in flipflops and (readers is None or readers[bit] == 1) for bit in bits):
        return {}
    return {bit: flipflops[bit] for bit in bits}


def _readers(module: dict[str, Any]) -> Counter[Bit]:
    """Count the cell inputs and ports of the module that read each net."""
    count: Counter[Bit] = Counter()
    for cell in module["cells"].values():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] != "output":
                count.update(bits)
    for port in module["ports"].values():
        count.update(port["bits"])
    return count


def _enable(cell: Cell, register: str, clocks: set[Bit]) -> None:
    (clock,) = clocks
    cell["parameters"] |= {f"{register}_CLK": "CLK0", f"{register}_CE": "CE0", f"{register}_RST": "RST0"}
    cell["connections"] |= {"CLK0": [clock], "CE0": ["1"], "RST0": ["0"]}
    cell["port_directions"] |= {"CLK0": "input", "CE0": "input", "RST0": "input"}
