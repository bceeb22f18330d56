"""Run a whole command stream on the generated Verilog, with clock and memory inside the simulation."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hwgen.config import Config
from hwgen.errors import HwgenError
from hwgen.registers import counters as counter_table
from hwgen.sim import cache, process, tools
from hwgen.sim.build import MINIMUM_LOG2_BYTES, build, version
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


def check_waves(waves: Path | None, simulator: str) -> str | None:
    """Return the format of a file of signals; raises HwgenError when it is unknown or cannot be written here."""
    form = None if waves is None else waves.suffix.lstrip(".")
    if form not in (None, "fst", "vcd"):
        raise HwgenError(f"the file of signals must be *.fst or *.vcd, not {waves}")
    if form == "fst" and simulator == "verilator":
        tools.require_headers("lz4.h", "zlib.h")
    return form


def memory_log2(simulator: str, image_bytes: int, outputs: Sequence[tuple[int, int]]) -> int:
    """Return log2 of the memory's bytes that hold an image and output regions; raises HwgenError beyond 2 GiB."""
    end = max([image_bytes, *(a + n for a, n in outputs)])
    log2_bytes = max(MINIMUM_LOG2_BYTES if simulator == "verilator" else 16, (end - 1).bit_length())
    if log2_bytes > 31:
        raise HwgenError(f"memory must be at most 2 GiB, not {end} bytes")
    return log2_bytes


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
    log2_bytes = memory_log2(simulator, len(image), outputs)
    form = check_waves(waves, simulator)
    begin = time.perf_counter()
    program = build(verilog, config, simulator=simulator, log2_bytes=log2_bytes, waves=form)
    build_s = time.perf_counter() - begin
    with _run_folder() as folder:
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
            done = process.call(command, folder, limit_s=wall_limit_s)
        except subprocess.TimeoutExpired:
            raise SimulationError(f"the simulation did not end within {wall_limit_s:.0f} s") from None
        run_s, log = time.perf_counter() - begin, done.log
        if done.code or "violation" in log or "error" in log.lower() or not (folder / "dump.hex").is_file():
            cache.check_room(folder, log)
            raise SimulationError(f"simulation ended with {done.code}:\n{log[-4000:]}")
        cache.check_room(folder)
        registers = read_registers((folder / "result.txt").read_text())
        dump = memory_bytes((folder / "dump.hex").read_text(), word)
        soft = soft_reset_at is not None or (retry and "first_error" in registers)
        text = (folder / "trace.txt").read_text()
        trace, writes = read_trace(text, 2 if soft else 1), read_writes(text, 2 if soft else 1)
        if waves is not None:
            _keep(folder / f"waves.{form}", waves)
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


@contextlib.contextmanager
def _run_folder() -> Iterator[Path]:
    """Yield a folder for the files of a run, deleted after it."""
    where = Path(tempfile.gettempdir())
    with cache.writing(where), tempfile.TemporaryDirectory(prefix="hwgen-run-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def _keep(made: Path, waves: Path) -> None:
    try:
        shutil.move(made, waves)
    except OSError as error:
        waves.unlink(missing_ok=True)
        raise HwgenError(f"the file of signals cannot be written: {error.strerror}", where=str(waves)) from error
