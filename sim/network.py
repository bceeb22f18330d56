"""Run a whole command stream on the generated Verilog, with clock and memory inside the simulation."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.isa import WORKERS, Module
from hwgen.registers import COUNTERS
from hwgen.sim import tools
from hwgen.sim.runner import SIMULATORS, locked

MODELS = ("sim_top.v", "axi_memory.v")
MINIMUM_LOG2_BYTES = 24


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
        The counter registers by name (`hwgen.registers.COUNTERS`).
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
    writes: list[tuple[int, int, int, bytes]] = field(repr=False)
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


def version(simulator: str) -> str:
    """Return the first line of the simulator's version text."""
    if simulator == "icarus":
        command, env = [tools.icarus(), "-V"], None
    else:
        program, env = tools.verilator()
        command = [program, "--version"]
    return (
        subprocess.run(command, capture_output=True, text=True, env=env, check=False).stdout.partition("\n")[0].strip()
    )


def _call(command: list[str], folder: Path, env: Mapping[str, str] | None, what: str) -> str:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, errors="replace", check=False)
    text = done.stdout + done.stderr
    if done.returncode:
        raise SimulationError(f"{what} failed ({done.returncode}) in {folder}:\n{text[-4000:]}")
    return text


def build(
    verilog: Mapping[str, str],
    config: Config,
    *,
    simulator: str = "verilator",
    log2_bytes: int = MINIMUM_LOG2_BYTES,
    waves: bool = False,
) -> Path:
    """Compile the machine with memory and driver; return the program (cached by content).

    Raises
    ------
    HwgenError
        Unknown simulator, or one that is not installed.
    SimulationError
        The Verilog does not compile.
    """
    if simulator not in SIMULATORS:
        raise HwgenError(f"simulator must be one of {', '.join(SIMULATORS)}, not {simulator!r}")
    texts = {n: tools.for_icarus(t) if simulator == "icarus" else t for n, t in verilog.items() if n.endswith(".v")}
    texts |= {n: (tools.rtl_dir() / n).read_text(encoding="utf-8") for n in MODELS}
    parameters = {
        "DATA_BITS": config.axi_bits,
        "LOG2_BYTES": log2_bytes,
        "COUNTER_WORDS": 2 * len(COUNTERS),
        "PIPES": Derived(config).pipes,
        "WORD_BYTES": Derived(config).word,
    }
    key = tools.content_hash(
        [simulator, version(simulator), str(waves), repr(parameters), *(x for p in sorted(texts.items()) for x in p)]
    )
    folder = tools.cache_dir() / "network" / f"{simulator}-{key}"
    program = folder / ("sim.vvp" if simulator == "icarus" else "obj/sim")
    with locked(folder):
        if (folder / "built").exists():
            return program
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        if simulator == "icarus":
            overrides = [f"-Psim_top.{k}={v}" for k, v in parameters.items()]
            _call(
                [tools.icarus(), "-g2012", "-s", "sim_top", "-o", program.name, *overrides, *texts],
                folder,
                None,
                "Icarus",
            )
        else:
            verilator, env = tools.verilator()
            overrides = [f"-G{k}={v}" for k, v in parameters.items()]
            _call(
                [
                    verilator,
                    "--binary",
                    "--timing",
                    "-O3",
                    "--threads",
                    "1",
                    "--x-assign",
                    "fast",
                    "--x-initial",
                    "fast",
                    "--noassert",
                    "--output-split",
                    "0",
                    "-CFLAGS",
                    "-fcoroutines",
                    # g++ -O1 halves the compile time of -O2 for 5 % of speed; start-up code need not be fast at all.
                    "-MAKEFLAGS",
                    "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1 VM_PARALLEL_BUILDS=1 CFG_CXXFLAGS_PCH_I=-include",
                    "-j",
                    "2",
                    "--top-module",
                    "sim_top",
                    "--Mdir",
                    "obj",
                    "-o",
                    "sim",
                    *(["--trace-fst"] if waves else []),
                    *tools.WAIVERS,
                    *overrides,
                    *texts,
                ],
                folder,
                env,
                "Verilator",
            )
        (folder / "built").touch()
    return program


def hex_words(image: bytes, word: int) -> str:
    """Return ``image`` as $readmemh lines of ``word`` bytes, least significant byte last."""
    padded = image + bytes(-len(image) % word)
    text = padded[::-1].hex()
    lines = [text[i : i + 2 * word] for i in range(0, len(text), 2 * word)]
    return "\n".join(reversed(lines)) + "\n"


def _bytes(text: str, word: int) -> bytes:
    """Invert `hex_words` on $writememh output (comments and unknown bits read as 0)."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("//", "@"))]
    return b"".join(bytes.fromhex(line.lower().replace("x", "0").replace("z", "0"))[::-1] for line in lines)


def _registers(text: str) -> dict[str, int]:
    values = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        values[name] = int(value) if value.strip().isdigit() else 0
    return values


def _trace(text: str, run: int) -> list[CommandTrace]:
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


def _writes(text: str, run: int) -> list[tuple[int, int, int, bytes]]:
    """Return (pipe, word address, byte mask, bytes) of the result writes of POST, in order; unknown bits read as 0."""
    result = []
    for line in text.splitlines():
        if line.startswith(f"W {run} "):
            _, _, pipe, address, mask, values = line.split()
            result.append(
                (int(pipe), int(address), int(mask, 16), bytes.fromhex(values.lower().replace("x", "0"))[::-1])
            )
    return result


def _error(value: int | None) -> tuple[int, int, int] | None:
    return (value & 15, value >> 4 & 15, value >> 8) if value else None


def run_network(
    verilog: Mapping[str, str],
    config: Config,
    image: bytes,
    commands_address: int,
    n_commands: int,
    outputs: Sequence[tuple[int, int]],
    *,
    simulator: str = "verilator",
    latency: int = 32,
    stalls: int = 0,
    seed: int = 1,
    timeout: int = 100_000_000,
    watchdog: int = 0,
    waves: Path | None = None,
    window: tuple[int, int] | None = None,
    soft_reset_at: int | None = None,
    read_error: tuple[int, int] | None = None,
    write_error: tuple[int, int] | None = None,
    response: int = 2,
    retry: bool = False,
    wall_limit_s: float = 3600.0,
) -> RunResult:
    """Run a command stream from start to interrupt.

    Parameters
    ----------
    verilog : mapping
        File name -> text (`hwgen.emit.generate`).
    image : bytes
        Memory from address 0: commands, weights, parameters, inputs.
    commands_address, n_commands : int
        Byte address and number of commands.
    outputs : sequence of (address, length)
        Regions (bytes) to return afterwards.
    latency : int
        Cycles from a read address to its first beat.
    stalls, seed : int
        Percent of cycles in which each AXI channel pauses; seed of that.
    timeout : int
        Cycles until the run is given up (``finished`` False).
    waves, window : Path, (int, int), optional
        FST file and the cycles after the start that it covers.
    soft_reset_at : int, optional
        Reset that many cycles after a first start, then run again; the result is that of the second run.
    read_error, write_error : (low, high), optional
        Byte ranges that answer with ``response`` (2 SLVERR, 3 DECERR).
    retry : bool
        After an error: soft reset, run again without injected errors; ``first_error`` keeps the first one.
    wall_limit_s : float
        Seconds after which the simulator is stopped.

    Raises
    ------
    HwgenError
        Simulator missing or unknown; an output outside the memory.
    SimulationError
        The simulation did not build or did not end properly.
    """
    word = config.axi_bits // 8
    end = max([len(image), *(a + n for a, n in outputs)])
    log2_bytes = max(MINIMUM_LOG2_BYTES if simulator == "verilator" else 16, (end - 1).bit_length())
    if log2_bytes > 31:
        raise HwgenError(f"memory must be at most 2 GiB, not {end} bytes")
    begin = time.perf_counter()
    program = build(verilog, config, simulator=simulator, log2_bytes=log2_bytes, waves=waves is not None)
    build_s = time.perf_counter() - begin
    folder = Path(tempfile.mkdtemp(prefix="hwgen-run-"))
    try:
        (folder / "image.hex").write_text(hex_words(image, word))
        low = min((a for a, _ in outputs), default=0) // word
        high = max((-(-(a + n) // word) for a, n in outputs), default=1) - 1
        options: dict[str, object] = {
            "image": "image.hex",
            "commands": f"{commands_address:x}",
            "count": n_commands,
            "latency": latency,
            "stall": stalls,
            "stall_seed": seed,
            "timeout": timeout,
            "watchdog": watchdog,
            "result": "result.txt",
            "trace": "trace.txt",
            "dump": "dump.hex",
            "dump_lo": f"{low:x}",
            "dump_hi": f"{high:x}",
            "error_resp": response,
        }
        for name, region in (("read", read_error), ("write", write_error)):
            if region:
                options |= {f"{name}_error_lo": f"{region[0]:x}", f"{name}_error_hi": f"{region[1]:x}"}
        if soft_reset_at is not None:
            options["soft_reset_at"] = soft_reset_at
        if waves is not None:
            first, last = window or (0, timeout)
            options |= {"waves": "waves.fst", "waves_from": first, "waves_to": last}
        plus = [f"+{k}={v}" for k, v in options.items()] + (["+retry"] if retry else [])
        command = (
            [str(program), *plus]
            if simulator == "verilator"
            else ["vvp", str(program), *(["-fst"] if waves else []), *plus]
        )
        begin = time.perf_counter()
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=wall_limit_s, check=False
            )
        except subprocess.TimeoutExpired:
            raise SimulationError(f"the simulation did not end within {wall_limit_s:.0f} s") from None
        run_s = time.perf_counter() - begin
        log = done.stdout + done.stderr
        if done.returncode or "violation" in log or "error" in log.lower() or not (folder / "dump.hex").is_file():
            raise SimulationError(f"simulation ended with {done.returncode}:\n{log[-4000:]}")
        registers = _registers((folder / "result.txt").read_text())
        dump = _bytes((folder / "dump.hex").read_text(), word)
        soft = soft_reset_at is not None or (retry and "first_error" in registers)
        text = (folder / "trace.txt").read_text()
        trace, writes = _trace(text, 2 if soft else 1), _writes(text, 2 if soft else 1)
        if waves is not None:
            shutil.move(folder / "waves.fst", waves)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    cycles = registers["cycles"]
    counters = {
        name: registers[f"word{2 * i}"] | registers[f"word{2 * i + 1}"] << 32 for i, (name, _) in enumerate(COUNTERS)
    }
    return RunResult(
        outputs=[dump[a - low * word : a - low * word + n] for a, n in outputs],
        cycles=cycles,
        completed={t.index: t.completed for t in trace},
        trace=trace,
        writes=writes,
        counters=counters,
        finished=bool(registers["irq"]),
        error=_error(registers["error"]),
        first_error=_error(registers.get("first_error")),
        simulator=simulator,
        version=version(simulator),
        build_s=build_s,
        run_s=run_s,
        cycles_per_s=cycles / run_s if run_s else 0.0,
        log=log,
    )
