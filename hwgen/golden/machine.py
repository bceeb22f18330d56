"""The golden machine: executes a command stream on a memory image, command by command in stream order.

It defines what the hardware computes (docs/architecture.md): any order of execution that the tokens allow must end with
the same memory. One command is a few vectorised NumPy operations over all lanes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen import isa
from hwgen.config import Config
from hwgen.errors import HwgenError
from hwgen.golden import machine_grid, machine_memory, machine_post, machine_weights
from hwgen.golden.machine_memory import LEVELS
from hwgen.golden.machine_state import PostInfo, State, Work
from hwgen.isa import Command, Module

Observe = Callable[[int, Command, PostInfo | None], None]
"""Called after every command with its index; the information is there for DRAIN and ELTWISE."""


@dataclass
class MachineResult:
    """Outcome of a run.

    Attributes
    ----------
    memory : uint8 array
        DRAM image afterwards.
    work : list of Work
        What every executed command did, in stream order (END included).
    tokens : dict
        Tokens given and never taken at END, by (giver, taker); pairs with none are left out.
    most_tokens : dict
        Most tokens a pair held at a time when executed in stream order.
    state : State
        On-chip memories and registers afterwards.
    """

    memory: NDArray[np.uint8]
    work: list[Work]
    tokens: dict[tuple[Module, Module], int]
    most_tokens: dict[tuple[Module, Module], int]
    state: State


class Machine:
    """Golden machine of one configuration.

    Parameters
    ----------
    config : Config
    poison : int
        Seed of the random values that on-chip memories start with. Memory images of two runs with different seeds are
        equal unless a result depends on something never written.
    """

    def __init__(self, config: Config, *, poison: int = 0) -> None:
        self.config = config
        self.poison = poison

    def run(self, commands: Sequence[Command] | bytes, memory: bytes | bytearray | NDArray[np.uint8], *,
            observe: Observe | None = None) -> MachineResult:
        """Execute a stream up to its END.

        Parameters
        ----------
        commands : sequence of Command or bytes
            What follows END is ignored, as the hardware does.
        memory : bytes-like or uint8 array
            DRAM image; it is copied.
        observe : callable, optional
            See `Observe`.

        Raises
        ------
        HwgenError
            Naming command index and field: illegal command or value, address outside a buffer, setting that was never
            made, token taken that was not given before, stream without END.
        """
        image = np.array(memory if isinstance(memory, np.ndarray) else np.frombuffer(memory, np.uint8), np.uint8)
        state = State(self.config, image, self.poison)
        tokens: Counter[tuple[Module, Module]] = Counter()
        most: Counter[tuple[Module, Module]] = Counter()
        work: list[Work] = []
        for index, command in enumerate(_decoded(commands)):
            state.index, state.command = index, command
            for giver in command.wait:
                tokens[giver, command.module] -= 1
                if tokens[giver, command.module] < 0:
                    pair = f"{giver.name} -> {command.module.name}"
                    raise HwgenError(f"wait takes a token {pair} that nobody gave before", where=state.where)
            done, info = _execute(state)
            work.append(done)
            for taker in command.post:
                tokens[command.module, taker] += 1
                most[command.module, taker] = max(most[command.module, taker], tokens[command.module, taker])
            if observe is not None:
                observe(index, command, info)
            if command.name == "END":
                return MachineResult(image, work, {k: v for k, v in tokens.items() if v}, dict(most), state)
        raise HwgenError("the stream must end with END", where=f"command {len(work)}")


def _decoded(commands: Sequence[Command] | bytes) -> list[Command]:
    """Commands as the hardware sees them: also a `Command` goes through its encoding, which checks all ranges."""
    if isinstance(commands, bytes | bytearray | memoryview):
        raw = bytes(commands)
        words = [raw[i:i + isa.COMMAND_BYTES] for i in range(0, len(raw), isa.COMMAND_BYTES)]
        if words and len(words[-1]) < isa.COMMAND_BYTES:
            raise HwgenError(f"a stream must be a multiple of {isa.COMMAND_BYTES} bytes, not {len(raw)}")
        out = []
        for index, word in enumerate(words):
            try:
                out.append(isa.decode(word))
            except ValueError as error:
                raise HwgenError(str(error), where=f"command {index}") from None
            if out[-1].name == "END":
                break
        return out
    for index, command in enumerate(commands):
        try:
            isa.decode(isa.encode(command))
        except (ValueError, KeyError) as error:
            raise HwgenError(str(error), where=f"command {index} ({command.name})") from None
    return list(commands)


def _execute(s: State) -> tuple[Work, PostInfo | None]:
    name = s.command.name
    plain = {"LOAD": machine_memory.load, "STORE": machine_memory.store, "LOAD_PACKED": machine_memory.load_packed,
             "STORE_PACKED": machine_memory.store_packed, "WFETCH": machine_weights.wfetch,
             "WSTREAM": machine_weights.wstream, "CODEBOOK": machine_weights.codebook, "AFETCH": machine_memory.afetch,
             "RUN": machine_grid.run}
    if name in plain:
        return plain[name](s), None
    if name == "DRAIN":
        return machine_post.drain(s)
    if name == "ELTWISE":
        return machine_post.eltwise(s)
    if name == "END":
        s.require(not s.command.wait and not s.command.post, "wait and post", "empty")
    else:
        _set(s)
    return Work(), None


def _set(s: State) -> None:
    """Check and store a setting command."""
    a, c, name = s.command.args, s.config, s.command.name
    key = 0
    if name in ("AF_LEVEL", "PO_LEVEL", "PO_SOURCE"):
        key, low = a["level"], 4 if name == "PO_SOURCE" else 0
        s.require(low <= key < LEVELS, "level", f"in {low}..{LEVELS - 1}")
    elif name == "SEGMENT":
        key = a["index"]
        s.require(key < c.segments, "index", f"below {c.segments}")
    elif name == "WF_ZERO":
        s.require(s.derived.weight_zero, "the machine", "one whose weights have a zero point (weight_bits = 9)")
    elif name == "PO_QUANT":
        s.require(a["final"] <= max(isa.Final), "final", "0, 1 or 2")
    for field in ("count", "length", "nx"):
        s.require(a.get(field, 1) >= 1, field, ">= 1")
    s.require(1 << a.get("log2_rc", 0) <= c.rows, "log2_rc", f"<= log2 of {c.rows} rows")
    s.require(1 << a.get("log2_cc", 0) <= c.columns, "log2_cc", f"<= log2 of {c.columns} columns")
    s.set_register(key)
