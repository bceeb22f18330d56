"""The whole machine packs and unpacks: random blocks against the golden machine, errors, resets."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hwgen import timing
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.golden.machine import Machine, MachineResult
from hwgen.golden.packed_map import slot_words
from hwgen.isa import LONGEST_BLOCK, SLOTS, Command, Module, encode
from hwgen.sim.network import RunResult, run_network
from hwgen.sim.packed_streams import SIZE, ZERO_POINT, exchanges, packed, source_map
from tests.sim.streams import COMMANDS_AT, CONFIGS, END, load, store, verilog

SEED = random.SystemRandom().randrange(1 << 31)
TINY = CONFIGS["axi32"].replace(name="packs", compress_maps=True)


def memory(commands: Sequence[Command], rng: random.Random) -> bytes:
    """Return a memory whose source region looks like maps: stretches of any density of zero points."""
    data = np.random.default_rng(rng.randrange(1 << 30)).integers(0, 256, SIZE).astype(np.uint8)
    source_map(data, rng)
    raw = b"".join(encode(c) for c in commands)
    data[COMMANDS_AT:COMMANDS_AT + len(raw)] = np.frombuffer(raw, np.uint8)
    return data.tobytes()


def run(commands: Sequence[Command], config: Config = TINY, data: bytes | None = None, **options: Any) -> RunResult:
    data = data or memory(commands, random.Random(1))
    return run_network(verilog(config), config, data, COMMANDS_AT, len(commands), [(0, len(data))], simulator="icarus",
                       **{"timeout": 100000} | options)


def moved(result: MachineResult, commands: Sequence[Command], module: Module, config: Config) -> int:
    return sum(w.items for w, c in zip(result.work, commands, strict=True) if c.module is module) * (
        Derived(config).dma_bytes)


@pytest.mark.parametrize("stalls", [0, 40])
def test_exchanges(stalls: int) -> None:
    """DRAM ends as the golden machine's, byte by byte, and as many bytes were transferred."""
    config, rng = TINY, random.Random(SEED + stalls)
    commands = exchanges(config, rng, 10)
    assert sum(c.name == "LOAD_PACKED" for c in commands) >= 3
    data = memory(commands, rng)
    golden = Machine(config).run(commands, data)
    result = run(commands, config, data, stalls=stalls, seed=SEED)
    assert result.finished and result.error is None, f"seed {SEED}: {result.error}"
    assert result.outputs[0] == golden.memory.tobytes(), f"seed {SEED}"
    assert result.counters["write_bytes"] == moved(golden, commands, Module.STORE, config)
    beat = config.axi_bits // 8
    fetched = -(-len(commands) * 16 // beat) * beat
    assert result.counters["read_bytes"] == moved(golden, commands, Module.LOAD, config) + fetched


def test_cycle_constants() -> None:
    """A plain STORE, or a STORE_PACKED and a LOAD_PACKED of one block, alone on the bus."""
    n, beats, latency, answer = 20, 2, 32, 8
    fill = load(0x2000, 0, 0, 600, post=[Module.STORE])
    sends = timing.BLOCK_SEND + timing.STORE_OVERHEAD + answer
    plain = run([fill, store(0x10000, 0, n, [Module.LOAD]), END]).trace[1]
    assert plain.completed == plain.issued + n + timing.PIECE_OVERHEAD + n * beats + sends
    commands = [
        fill,
        packed("STORE_PACKED", 0x8000, 0, 1, 100, 0, [Module.LOAD], [Module.LOAD]),
        packed("LOAD_PACKED", 0x8000, 600, 1, 100, 0, [Module.STORE]),
        END,
    ]
    data = memory(commands, random.Random(1))
    _, out, back = run(commands, data=data).trace
    words = Machine(TINY).run(commands, data).work[1].items
    assert out.completed == out.issued + 100 + timing.BLOCK_OVERHEAD + words * beats + sends
    least = timing.LOAD_REQUEST + timing.LOAD_LOOKUP + latency + words * beats - 1 + timing.LOAD_DONE
    assert least < back.completed - back.issued <= least + timing.UNPACK_DONE + 8


def test_same_on_verilator() -> None:
    rng = random.Random(SEED)
    commands = exchanges(TINY, rng, 8)
    data = memory(commands, rng)
    both = [run_network(verilog(TINY), TINY, data, COMMANDS_AT, len(commands), [(0, SIZE)], simulator=s, timeout=100000)
            for s in ("icarus", "verilator")]
    assert both[0].outputs == both[1].outputs and both[0].cycles == both[1].cycles
    assert both[0].trace == both[1].trace and both[0].counters == both[1].counters


WORDS = Derived(TINY).act_words // Derived(TINY).dma_words
TOP = (1 << 32) - 9 * 8
"""Room for one block of 8 words, whose slot has 9."""


@pytest.mark.parametrize("name", ["LOAD_PACKED", "STORE_PACKED"])
@pytest.mark.parametrize(("changes", "code"), [
    ({"block": 0}, 1), ({"block": LONGEST_BLOCK + 1}, 1), ({"blocks": 0}, 1), ({"dram": 0x8004}, 1),
    ({"slot": SLOTS - 2}, 3), ({"chip": WORDS - 23}, 3), ({"dram": TOP + 8, "blocks": 1}, 3),
])
def test_bad_command(name: str, changes: dict[str, int], code: int) -> None:
    """The command is told, and nothing is written outside; the golden machine refuses it too."""
    arguments = {"dram": 0x8000, "chip": 0, "blocks": 3, "block": 8, "slot": 0} | changes
    before = [load(0x2000, 0, 0, WORDS, post=[Module.STORE]),
              packed("STORE_PACKED", 0x8000, 0, 3, 8, 0, [Module.LOAD], [Module.LOAD])]
    bad = packed(name, arguments["dram"], arguments["chip"], arguments["blocks"], arguments["block"],
                 arguments["slot"], [Module.STORE] if name == "LOAD_PACKED" else [])
    commands = [*before, bad, END]
    data = memory(commands, random.Random(1))
    result = run(commands, data=data)
    module = Module.LOAD if name == "LOAD_PACKED" else Module.STORE
    assert result.finished and result.error == (code, int(module), 2)
    changed = np.flatnonzero(np.frombuffer(data, np.uint8) != np.frombuffer(result.outputs[0], np.uint8))
    assert ((changed >= 0x8000) & (changed < 0x8000 + 3 * 9 * 8)).all()
    with pytest.raises(HwgenError, match=r"command 2"):
        Machine(TINY).run(commands, data)


@pytest.mark.parametrize("stalls", [0, 30])
@pytest.mark.parametrize("kind", ["overwritten", "never stored", "other size"])
def test_corrupt_block(kind: str, stalls: int) -> None:
    """Error 9 with the index of the LOAD_PACKED; only its destination is written; the next run is as ever."""
    block, slot, size = 16, 100, 16
    spoil = [store(0x8000 + 18 * 8, 256, 2, (), [Module.LOAD])]
    if kind == "never stored":
        slot, spoil = 700, [store(0x9000, 0, 1, (), [Module.LOAD])]
    elif kind == "other size":
        size, spoil = 7, [store(0x9000, 0, 1, (), [Module.LOAD])]
    commands = [
        load(0x2000, 0, 0, WORDS, post=[Module.STORE]),
        packed("STORE_PACKED", 0x8000, 0, 4, block, 100, [Module.LOAD]),
        *spoil,
        packed("LOAD_PACKED", 0x8000, 64, 4, size, slot, [Module.STORE]),
        END,
    ]
    data = bytearray(memory(commands, random.Random(1)))
    # What goes over the bits of the second block says that all bytes are there, and its length that half are.
    data[0x2000:0x2000 + 8 * WORDS] = (bytes([ZERO_POINT & 0xFF, 7]) * (4 * WORDS))[:8 * WORDS]
    data[0x2000 + 256 * 8:0x2000 + 258 * 8] = b"\xff" * 16
    result = run(commands, data=bytes(data), stalls=stalls, seed=SEED)
    assert result.finished and result.error == (9, int(Module.LOAD), 3), result.error
    with pytest.raises(HwgenError, match=r"command 3 \(LOAD_PACKED\)"):
        Machine(TINY).run(commands, bytes(data))


def test_axi_errors() -> None:
    """An error response is told with its command, and after a soft reset the same stream runs correctly."""
    commands = [
        load(0x2000, 0, 0, WORDS, post=[Module.STORE]),
        packed("STORE_PACKED", 0x8000, 0, 5, 100, 0, [Module.LOAD], [Module.LOAD]),
        packed("LOAD_PACKED", 0x8000, 600, 5, 100, 0, [Module.STORE], [Module.STORE]),
        store(0x10000, 600, 500, [Module.LOAD]),
        END,
    ]
    good = run(commands)
    assert good.finished and good.error is None
    third = 0x8000 + 2 * slot_words(100) * 8
    for options, error in (
        ({"read_error": (third, third + 4)}, (4, int(Module.LOAD), 2)),
        ({"write_error": (third + 64, third + 65)}, (5, int(Module.STORE), 1)),
    ):
        result = run(commands, retry=True, **options)
        assert result.first_error == error and result.error is None and result.finished
        assert result.outputs == good.outputs and result.cycles == good.cycles


def test_soft_reset_anywhere() -> None:
    rng = random.Random(SEED)
    commands = exchanges(TINY, rng, 5)
    data = memory(commands, rng)
    good = run(commands, data=data)
    for stalls in (0, 0, 0, 30, 30, 30):
        at = rng.randrange(1, good.cycles)
        result = run(commands, data=data, soft_reset_at=at, stalls=stalls, seed=SEED)
        assert result.finished and result.error is None, f"seed {SEED}, reset at {at}"
        assert result.outputs == good.outputs, f"seed {SEED}, reset at {at}"
        assert stalls or result.counters == good.counters, f"seed {SEED}, reset at {at}"


def test_illegal_without_the_option() -> None:
    commands = [packed("STORE_PACKED", 0x8000, 0, 1, 8, 0), END]
    result = run(commands, CONFIGS["axi32"])
    assert result.finished and result.error == (1, 7, 0)
    with pytest.raises(HwgenError, match="command 0"):
        Machine(CONFIGS["axi32"]).run(commands, memory(commands, random.Random(1)))
