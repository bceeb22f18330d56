"""``hwgen bench``: measure every network of the table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwgen.commands.files import check_target, write_file, write_json
from hwgen.commands.options import Json
from hwgen.commands.output import busy, console
from hwgen.commands.verify import DIFFERENT, Simulator, verified
from hwgen.errors import HwgenError

if TYPE_CHECKING:
    from hwgen.benchmarks import Benchmark
    from hwgen.speedups import Speedup
    from hwgen.verify.speedup import Folders, Measured


def bench(
    models: Annotated[Path, typer.Option("--models", metavar="DIR", help="Folder of the MLPerf Tiny int8 networks.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.md", help="The table.")] = Path(
        "benchmarks.md"
    ),
    only: Annotated[
        str | None, typer.Option("--only", metavar="TEXT", help="Rows whose network or preset contains it.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="Folder of real inputs: also measure what skipping zeros gives."),
    ] = None,
    compressed: Annotated[
        Path | None,
        typer.Option("--compressed", metavar="DIR", help="Folder of compressed networks (docs/compression.md: names)."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.svg", help="Speed-up against density, with --data.")
    ] = None,
    json: Json = None,
) -> None:
    """Measure networks and presets on the generated Verilog and write the table; exit code 1 when a byte differs.

    A network that cannot be measured does not keep the others from it: it is reported at the end, with exit code 2.
    """
    check_target(output)
    check_target(json)
    check_target(plot)
    for option, path in (("--plot", plot), ("--compressed", compressed)):
        if path is not None and data is None:
            raise HwgenError(f"{option} is of what zeros give, which needs real inputs", remedy="add --data DIR")
    from hwgen.benchmarks import BENCHMARKS
    from hwgen.presets import preset
    from hwgen.report.benchmarks import table
    from hwgen.speedups import SPEEDUPS

    chosen = [b for b in BENCHMARKS if only is None or only.lower() in f"{b.network} {b.preset}".lower()]
    rows = [s for s in SPEEDUPS if only is None or only.lower() in f"{s.name} {s.machine}".lower()] if data else []
    if not (chosen or rows):
        raise HwgenError(f"no benchmark's network or preset contains {only!r}")
    absent = sorted({b.model for b in chosen if not (models / b.model).is_file()})
    if absent:
        raise HwgenError(
            f"the networks {', '.join(absent)} are absent", where=str(models), remedy="give their folder with --models"
        )
    folders = None if data is None else _folders(models, data, compressed, rows)
    measured: dict[Benchmark, dict[str, Any]] = {}
    failed: dict[Benchmark, str] = {}
    target = console()
    for number, b in enumerate(chosen, 1):
        with busy(f"{b.network} on {b.preset} ({number} of {len(chosen)})") as progress:
            try:
                found = verified(models / b.model, preset(b.preset), Simulator.verilator, random=1, progress=progress)
            except HwgenError as error:
                failed[b] = str(error)
                continue
        measured[b] = value = found.to_json()
        cycles, verdict = value["cycles"], "bit-exact" if value["bit_exact"] else "DIFFERENT"
        text = f"{b.network} on {b.preset}: {cycles['total']:,} cycles ({cycles['predicted']:,} predicted), {verdict}"
        target.print(text, soft_wrap=True)
    zeros, errors = _zeros(folders, plot, rows) if folders is not None else ({}, [])
    skipping = [m for m in zeros.values() if not isinstance(m, str)]
    if measured or skipping:
        from hwgen.report.speedups import speedup_table

        write_file(output, table(measured, failed, speedup_table(zeros)))
        write_json(json, [row(b, measured.get(b), failed.get(b)) for b in chosen])
    errors = [f"{b.network} on {b.preset}: {text}" for b, text in failed.items()] + errors
    if errors:
        raise HwgenError("\n".join([f"{len(errors)} benchmark{'s' * (len(errors) != 1)} failed:", *errors]))
    if not all([*(value["bit_exact"] for value in measured.values()), *(m.bit_exact for m in skipping)]):
        raise typer.Exit(DIFFERENT)


def _folders(models: Path, data: Path, compressed: Path | None, rows: list[Speedup]) -> Folders:
    """Return the folders; raise HwgenError when something is absent that is needed only after everything else."""
    from hwgen.speedups import Network
    from hwgen.verify.speedup import Folders

    folders = Folders(models, data, compressed)
    always = [s for s in rows if not (isinstance(s.work, Network) and s.work.compressed)]
    if absent := sorted({name for s in always for name in folders.absent(s)}):
        raise HwgenError(f"absent: {', '.join(absent)}", remedy="give their folders with --models and --data")
    if compressed is not None and not compressed.is_dir():
        raise HwgenError("the folder of compressed networks does not exist", where=str(compressed))
    return folders


def _zeros(
    folders: Folders, plot: Path | None, rows: list[Speedup]
) -> tuple[dict[Speedup, Measured | str], list[str]]:
    """Measure what skipping zeros gives; returns results, or why there is none, and which rows failed."""
    from hwgen.report.speedups import speedup_picture
    from hwgen.sim.run_result import SimulationError
    from hwgen.verify.speedup import curves, measure

    done: dict[Speedup, Measured | str] = {}
    errors = []
    for row in rows:
        name = f"{row.name} on {row.machine}"
        if absent := folders.absent(row):
            done[row] = text = f"{', '.join(absent)} absent"
        else:
            with busy(name) as progress:
                try:
                    done[row] = found = measure(row, folders, progress)
                    text = f"{found.speedup:.2f}x over base"
                except (HwgenError, SimulationError) as error:
                    done[row] = text = str(error)
                    errors.append(f"{name}: {error}")
        console().print(f"{name}: {text}", soft_wrap=True)
    if plot is not None:
        with busy("speed-up against density") as progress:
            picture = speedup_picture(curves(progress))
        write_file(plot, picture)
    return done, errors


def row(b: Benchmark, result: dict[str, Any] | None, error: str | None) -> dict[str, Any]:
    """Return the JSON of a benchmark, which has a result or an error."""
    return {"network": b.network, "preset": b.preset, "must": b.must, "aim": b.aim, "result": result, "error": error}
