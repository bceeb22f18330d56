"""What a network run gives back, and the text files through which it talks to the simulation."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hwgen.isa import WORKERS, Module


class SimulationError(RuntimeError):
    """The simulation did not build, crashed, violated AXI or gave no result; the message carries the log."""


@dataclass(frozen=True)
class CommandTrace:
    """One executed command: cycles since the start write of being given to its module and of its completion."""

    module: Module
    index: int
    issued: int
    completed: int


@dataclass(frozen=True)
class RunResult:
    """Outcome of `run_network`.

    Attributes
    ----------
    outputs : list of bytes
        Content of the requested regions, in order.
    cycles : int
        From the start write to the interrupt.
    completed : dict of int to int
        Command index -> cycle of its completion.
    trace : list of CommandTrace
        Every command, in order of completion.
    writes : list of (pipe, word address, byte mask, bytes)
        Result writes of POST, in order.
    counters : dict of str to int
        The counter registers by name (`hwgen.registers.counters`).
    finished : bool
        False when the time limit passed without an interrupt.
    error : tuple of int or None
        (code, module, command index) of the error register after the run.
    first_error : tuple of int or None
        The same after the first attempt of a run with ``retry``.
    simulator, version : str
    build_s, run_s : float
        Seconds; ``build_s`` is near 0 when the program was cached.
    cycles_per_s : float
        Simulated cycles per second of ``run_s``.
    """

    outputs: list[bytes]
    cycles: int
    completed: dict[int, int]
    trace: list[CommandTrace]
    writes: list[tuple[int, int, int, bytes, int]] = field(repr=False)
    counters: dict[str, int]
    finished: bool
    error: tuple[int, int, int] | None
    first_error: tuple[int, int, int] | None
    simulator: str
    version: str
    build_s: float
    run_s: float
    cycles_per_s: float
    log: str = field(repr=False)


def hex_words(image: bytes, word: int) -> str:
    """Return ``image`` as $readmemh lines of ``word`` bytes, least significant byte last."""
    padded = image + bytes(-len(image) % word)
    text = padded[::-1].hex()
    lines = [text[i : i + 2 * word] for i in range(0, len(text), 2 * word)]
    return "\n".join(reversed(lines)) + "\n"


def memory_bytes(text: str, word: int) -> bytes:
    """Invert `hex_words` on $writememh output (comments and unknown bits read as 0)."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("//", "@"))]
    return b"".join(bytes.fromhex(line.lower().replace("x", "0").replace("z", "0"))[::-1] for line in lines)


def read_registers(text: str) -> dict[str, int]:
    """Return the values of the result file by name; unknown bits read as 0."""
    values = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name in ("irq", "error", "cycles") and not value.strip().isdigit():
            raise SimulationError(f"{name} is {value.strip() or 'absent'} after the run")
        values[name] = int(value) if value.strip().isdigit() else 0
    return values


def read_trace(text: str, run: int) -> list[CommandTrace]:
    """Pair issues and completions: both are in order within a module."""
    issued: dict[int, list[int]] = {int(w): [] for w in WORKERS}
    result = []
    for line in text.splitlines():
        if line.startswith("W"):
            continue
        kind, attempt, module, index, cycle = line.split()
        if int(attempt) != run:
            continue
        if kind == "I":
            issued[int(module)].append(int(cycle))
        else:
            start = issued[int(module)].pop(0) if issued[int(module)] else int(cycle)
            result.append(CommandTrace(Module(int(module)), int(index), start, int(cycle)))
    return result


def read_writes(text: str, run: int) -> list[tuple[int, int, int, bytes, int]]:
    """Return (pipe, word address, byte mask, bytes, mask of bytes with unknown bits) of the result writes of POST."""
    result = []
    for line in text.splitlines():
        if line.startswith(f"W {run} "):
            _, _, pipe, address, mask, values = line.split()
            if not address.isdigit() or re.search("[xzXZ]", mask):
                raise SimulationError(f"a result was written with an unknown address or mask: {line}")
            unknown = 0
            if re.search("[xzXZ]", values):
                pairs = [values[i : i + 2] for i in range(0, len(values), 2)][::-1]
                unknown = sum(1 << i for i, pair in enumerate(pairs) if re.search("[xzXZ]", pair))
                values = re.sub("[xzXZ]", "0", values)
            result.append((int(pipe), int(address), int(mask, 16), bytes.fromhex(values)[::-1], unknown))
    return result


def error_of(value: int | None) -> tuple[int, int, int] | None:
    """Return (code, module, command index) of an ERROR register, None when it is 0."""
    return (value & 15, value >> 4 & 15, value >> 8) if value else None
