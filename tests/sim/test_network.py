"""The whole machine against the behavioural memory: copies, cycle constants, errors, soft reset."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from hwgen import timing
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.isa import Command, Module, encode
from hwgen.sim.network import RunResult, run_network
from tests.sim.streams import COMMANDS_AT, CONFIGS, END, TINY, Copies, image, load, store, verilog

LATENCY, WRITE_LATENCY = 32, 8
SEED = random.SystemRandom().randrange(1 << 31)


def run(commands: list[Command | bytes], config: Config = TINY, **options: object) -> RunResult:
    data = image(commands)
    return run_network(
        verilog(config),
        config,
        data,
        COMMANDS_AT,
        len(commands),
        [(0, len(data))],
        simulator="icarus",
        **{"timeout": 20000} | options,
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("stalls", [0, 40])
def test_copies(name: str, stalls: int) -> None:
    config = CONFIGS[name]
    copies = Copies(config, random.Random(SEED)).fill(12, 150)
    result = run_network(
        verilog(config),
        config,
        bytes(copies.memory),
        COMMANDS_AT,
        len(copies.commands),
        copies.output(),
        simulator="icarus",
        stalls=stalls,
        seed=SEED,
        timeout=100000,
    )
    assert result.finished and result.error is None, f"seed {SEED}: {result.error}"
    assert result.outputs[0] == bytes(copies.expected), f"seed {SEED}"
    word = Derived(config).dma_bytes
    loaded, stored = (sum(c.args["count"] for c in copies.commands if c.name == n) * word for n in ("LOAD", "STORE"))
    assert result.counters["write_bytes"] == stored
    fetched = -(-len(copies.commands) * 16 // (config.axi_bits // 8)) * (config.axi_bits // 8)
    assert result.counters["read_bytes"] == loaded + fetched
    assert sorted(result.completed) == list(range(len(copies.commands) - 1))


def test_same_on_verilator() -> None:
    copies = Copies(TINY, random.Random(SEED)).fill(12, 150)
    both = [
        run_network(
            verilog(TINY),
            TINY,
            bytes(copies.memory),
            COMMANDS_AT,
            len(copies.commands),
            copies.output(),
            simulator=s,
            timeout=100000,
        )
        for s in ("icarus", "verilator")
    ]
    assert both[0].outputs == both[1].outputs == [bytes(copies.expected)]
    assert both[0].cycles == both[1].cycles and both[0].trace == both[1].trace and both[0].counters == both[1].counters


@pytest.mark.parametrize("name", CONFIGS)
def test_cycle_constants(name: str) -> None:
    config = CONFIGS[name].replace(outstanding=8)
    beats = Derived(config).dma_bytes * 8 // config.axi_bits
    n = 20
    commands = [
        load(0x2000, 0, 0, n),
        load(0x3000, 1, 0, n, post=[Module.STORE]),
        store(0x8000, 0, n, wait=[Module.LOAD]),
        END,
    ]
    result = run(commands, config)  # type: ignore[arg-type]
    first, second, stored = result.trace
    per_command = max(1, 128 // config.axi_bits)
    assert first.issued == LATENCY + timing.START_TO_DISPATCH + per_command + timing.DISPATCH_TO_START
    assert first.completed == first.issued + timing.LOAD_REQUEST + LATENCY + n * beats - 1 + timing.LOAD_DONE
    assert second.completed == first.completed + n * beats
    assert stored.issued == second.completed + timing.DONE_TO_START
    assert stored.completed == stored.issued + timing.STORE_OVERHEAD + n * beats + WRITE_LATENCY
    assert result.cycles == stored.completed + timing.END_CYCLES
    assert result.counters["cycles"] == result.cycles - timing.CYCLES_NOT_COUNTED


def test_loads_keep_the_bus_full() -> None:
    """Thirty short LOADs take their beats and nothing more once data flows."""
    config = CONFIGS["axi64"].replace(outstanding=8)
    commands = [load(0x2000 + 256 * i, i % 2, 16 * i, 16) for i in range(30)] + [END]
    result = run(commands, config)  # type: ignore[arg-type]
    done = [t.completed for t in result.trace]
    command_beats = 31 * 2 - 16 * 2
    assert done[-1] - done[0] <= 29 * 16 + command_beats


@pytest.mark.parametrize("n", [0, 3])
def test_illegal_command(n: int) -> None:
    commands: list[Command | bytes] = [load(0x2000, 0, 0, 4) for _ in range(n)]
    for bad in (
        bytes(16),
        b"\x06" + bytes(15),
        b"\x90" + bytes(15),
        encode(END)[:3] + b"\x01" + bytes(12),
        b"\x10\x40" + bytes(14),
    ):
        result = run([*commands, bad, END])
        assert result.finished and result.error == (1, 7, n), (bad.hex(), result.error)


def test_stream_without_end() -> None:
    result = run([load(0x2000, 0, 0, 4), load(0x2000, 0, 0, 4)])
    assert result.finished and result.error == (2, 7, 2)
    assert run([]).error == (2, 7, 0)


def test_commands_after_end_are_ignored() -> None:
    result = run([load(0x2000, 0, 0, 4), END, *[bytes(16)] * 60])
    assert result.finished and result.error is None and list(result.completed) == [0]


def test_misaligned_stream() -> None:
    result = run_network(
        verilog(TINY), TINY, image([END]), COMMANDS_AT + 4, 1, [(0, 16)], simulator="icarus", timeout=2000
    )
    assert result.finished and result.error == (3, 7, 0)


WORDS = Derived(TINY).act_words // Derived(TINY).dma_words


@pytest.mark.parametrize(
    ("bad", "code", "module"),
    [
        (load(0x2000, 0, WORDS - 3, 4), 3, Module.LOAD),
        (load(0x2000, 1, Derived(TINY).weight_words, 1), 3, Module.LOAD),
        (load(0x2000, 2, 0, Derived(TINY).param_words + 1), 3, Module.LOAD),
        (load(0xFFFFFFF8, 0, 0, 2), 3, Module.LOAD),
        (load(0x2004, 0, 0, 2), 1, Module.LOAD),
        (load(0x2000, 3, 0, 2), 1, Module.LOAD),
        (load(0x2000, 0, 0, 0), 1, Module.LOAD),
        (store(0x8000, WORDS - 3, 4), 3, Module.STORE),
        (store(0xFFFFFFF8, 0, 2), 3, Module.STORE),
        (store(0x8004, 0, 2), 1, Module.STORE),
        (store(0x8000, 0, 0), 1, Module.STORE),
    ],
)
def test_bad_address(bad: Command, code: int, module: Module) -> None:
    before = [load(0x2000, 0, 0, 4), store(0x9000, 0, 4)]
    result = run([*before, bad, END])
    assert result.finished and result.error == (code, int(module), 2)
    data = image([*before, bad, END])
    changed = [i for i in range(len(data)) if data[i] != result.outputs[0][i]]
    assert all(0x9000 <= i < 0x9020 for i in changed), "nothing is written outside"


def test_last_word_is_inside() -> None:
    assert (
        run(
            [load(0x2000, 0, WORDS - 4, 4, post=[Module.STORE]), store(0x8000, WORDS - 4, 4, wait=[Module.LOAD]), END]
        ).error
        is None
    )


@pytest.mark.parametrize("response", [2, 3])
def test_axi_errors(response: int) -> None:
    """Each channel's error is reported with its command, and after a soft reset the same stream runs correctly."""
    commands: list[Command | bytes] = [
        load(0x2000, 0, 0, 8),
        load(0x3000, 0, 8, 300, post=[Module.STORE]),
        store(0x9000, 0, 308, wait=[Module.LOAD]),
        END,
    ]
    good = run(commands)
    data = image(commands)
    assert good.outputs[0][0x9000 : 0x9000 + 308 * 8] == data[0x2000:0x2040] + data[0x3000 : 0x3000 + 2400]
    for options, error in (
        ({"read_error": (0x3100, 0x3104)}, (4, int(Module.LOAD), 1)),
        ({"write_error": (0x9700, 0x9701)}, (5, int(Module.STORE), 2)),
        ({"read_error": (COMMANDS_AT + 16 * 2, COMMANDS_AT + 16 * 2 + 4)}, (8, 7, 2)),
    ):
        result = run(commands, response=response, retry=True, **options)  # type: ignore[arg-type]
        assert result.first_error == error and result.error is None and result.finished
        assert result.outputs == good.outputs and result.cycles == good.cycles


def test_watchdog() -> None:
    commands: list[Command | bytes] = [load(0x2000, 0, 0, 8), store(0x8000, 0, 8, wait=[Module.GRID]), END]
    result = run(commands, watchdog=500)
    done = result.completed[0]
    assert result.finished and result.error == (6, int(Module.STORE), 1)
    assert done + 500 <= result.cycles <= done + 510
    assert not run(commands, timeout=3000).finished, "without watchdog it waits for the token"
    assert run([load(0x2000, 0, 0, 400), END], watchdog=100).error == (6, int(Module.LOAD), 0)


def test_token_overflow() -> None:
    result = run([load(0x2000, 0, 0, 1, post=[Module.GRID])] * 300 + [END])  # type: ignore[arg-type]
    assert result.finished and result.error == (7, int(Module.LOAD), 255)


def test_soft_reset_anywhere() -> None:
    """A reset in the middle of transfers lets them end; the next run is the same as one from power-on."""
    copies = Copies(TINY, random.Random(SEED)).fill(6, 150)
    options = {"simulator": "icarus", "timeout": 50000}
    arguments = (verilog(TINY), TINY, bytes(copies.memory), COMMANDS_AT, len(copies.commands), copies.output())
    good = run_network(*arguments, **options)  # type: ignore[arg-type]
    rng = random.Random(SEED)
    for stalls in (0, 0, 0, 30, 30, 30):
        at = rng.randrange(1, good.cycles)
        result = run_network(*arguments, soft_reset_at=at, stalls=stalls, seed=SEED, **options)  # type: ignore[arg-type]
        assert result.finished and result.error is None, f"seed {SEED}, reset at {at}"
        assert result.outputs == good.outputs, f"seed {SEED}, reset at {at}"
        assert stalls or result.counters == good.counters, f"seed {SEED}, reset at {at}"


def test_memory_too_large_and_unknown_simulator() -> None:
    with pytest.raises(HwgenError, match="memory must be at most 2 GiB"):
        run_network({}, TINY, b"", 0, 0, [(1 << 32, 4)])
    with pytest.raises(HwgenError, match="simulator must be one of icarus, verilator, not 'vcs'"):
        run_network({}, TINY, b"", 0, 0, [], simulator="vcs")


@pytest.mark.parametrize("name", ["waves.fst", "waves.vcd"])
def test_waves_cover_the_window(name: str, tmp_path: Path) -> None:
    run([load(0x2000, 0, 0, 200), END], waves=tmp_path / name, window=(100, 120))
    short = (tmp_path / name).stat().st_size
    run([load(0x2000, 0, 0, 200), END], waves=tmp_path / name, window=(100, 300))
    assert 0 < short < (tmp_path / name).stat().st_size
    if name.endswith("vcd"):
        times = [int(line[1:]) for line in (tmp_path / name).read_text().splitlines() if line.startswith("#")]
        assert len(times) > 200


def test_waves_of_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match=r"the file of signals must be \*.fst or \*.vcd, not .*waves.png"):
        run([END], waves=tmp_path / "waves.png")
