"""What the cocotb benches of worker modules share: configuration, clock, and a driver of the command port."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from typing import Any

from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

from hwgen import isa
from hwgen.config import Config


def configuration() -> Config:
    """Return the configuration of the built module (``HWGEN_CONFIG``, JSON)."""
    table: dict[str, Any] = json.loads(os.environ["HWGEN_CONFIG"])
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    return Config(**values)


def payload(command: isa.Command) -> int:
    """Return the bits of the ``cmd`` stream of a worker: operation, then payload."""
    raw = int.from_bytes(isa.encode(command), "little")
    return isa.BY_NAME[command.name].code | raw >> 32 << 4


class Commands:
    """Offers commands to ``cmd`` and notes when (cycle numbers) they were accepted and done or in error.

    Call `drive` after the rising and `sample` at the falling edge of every cycle.
    """

    def __init__(self, dut: Any, pause: float, rng: random.Random) -> None:
        self.dut, self.pause, self.rng = dut, pause, rng
        self.waiting: list[int] = []
        self.accepted: list[int] = []
        self.finished: list[tuple[int, int]] = []
        self.offering = False

    def add(self, commands: Sequence[isa.Command | int]) -> None:
        """Append commands, or raw bits for illegal ones."""
        self.waiting += [c if isinstance(c, int) else payload(c) for c in commands]

    def drive(self) -> None:
        """Keep an offer until it is accepted, else start one now and then."""
        if not self.offering and self.waiting and self.rng.random() >= self.pause:
            self.offering = True
            self.dut.cmd__payload.value = self.waiting[0]
        self.dut.cmd__valid.value = int(self.offering)

    def sample(self, cycle: int) -> None:
        """Note what happens at the next rising edge."""
        if self.offering and int(self.dut.cmd__ready.value):
            self.offering = False
            self.waiting.pop(0)
            self.accepted.append(cycle)
        done, error = int(self.dut.done.value), int(self.dut.error.value)
        assert not (done and error), f"done and error together in cycle {cycle}"
        if done or error:
            self.finished.append((cycle, int(self.dut.code.value) if error else 0))
            assert len(self.finished) <= len(self.accepted), f"done without a command in cycle {cycle}"


async def start(dut: Any) -> None:
    """Start the clock and reset; every input is zero."""
    for handle in dut:
        if getattr(handle, "_name", "") not in ("clk", "rst") and hasattr(handle, "value") and _is_input(dut, handle):
            handle.value = 0
    Clock(dut.clk, 10, unit="ns").start()
    dut.rst.value = 1
    for _ in range(2):
        await RisingEdge(dut.clk)
    await FallingEdge(dut.clk)
    dut.rst.value = 0


def _is_input(dut: Any, handle: Any) -> bool:
    name = handle._name
    return name.endswith(("__valid", "__payload", "__addr", "__data", "__mask", "__en")) and not name.startswith("bus")
