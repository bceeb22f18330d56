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
    if plot is not None and data is None:
        raise HwgenError("--plot is of what zeros give, which needs real inputs", remedy="add --data DIR")
    from hwgen.benchmarks import BENCHMARKS
    from hwgen.presets import preset
    from hwgen.report.benchmarks import table

    chosen = [b for b in BENCHMARKS if only is None or only.lower() in f"{b.network} {b.preset}".lower()]
    if not chosen:
        raise HwgenError(f"no benchmark's network or preset contains {only!r}")
    absent = sorted({b.model for b in chosen if not (models / b.model).is_file()})
    if absent:
        raise HwgenError(
            f"the networks {', '.join(absent)} are absent", where=str(models), remedy="give their folder with --models"
        )
    if data is not None:
        _look_for_inputs(models, data)
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
    zeros = _zeros(models, data, plot, only) if data is not None else ("", True)
    if measured:
        write_file(output, table(measured, failed, zeros[0]))
        write_json(json, [row(b, measured.get(b), failed.get(b)) for b in chosen])
    if failed:
        lines = [f"{len(failed)} of {len(chosen)} benchmarks failed:"]
        raise HwgenError("\n".join(lines + [f"{b.network} on {b.preset}: {text}" for b, text in failed.items()]))
    if not (zeros[1] and all(value["bit_exact"] for value in measured.values())):
        raise typer.Exit(DIFFERENT)


def _look_for_inputs(models: Path, data: Path) -> None:
    """Raise HwgenError when something is absent that is needed only after everything else is measured."""
    from hwgen.speedups import SPEEDUPS

    needed = {p for s in SPEEDUPS if isinstance(s.work, str) for p in (models / s.work, data / s.data[0])}
    if absent := sorted(str(p) for p in needed if not p.is_file()):
        raise HwgenError(f"absent: {', '.join(absent)}", remedy="give their folders with --models and --data")


def _zeros(models: Path, data: Path, plot: Path | None, only: str | None) -> tuple[str, bool]:
    """Measure what skipping zeros gives; returns the table and whether every byte was right."""
    from hwgen.report.speedups import speedup_picture, speedup_table
    from hwgen.speedups import SPEEDUPS
    from hwgen.verify.speedup import curves, measure

    rows = {}
    for row in (r for r in SPEEDUPS if only is None or only.lower() in f"{r.name} {r.preset}".lower()):
        with busy(f"{row.name} on {row.preset}") as progress:
            rows[row] = found = measure(row, models, data, progress)
        console().print(f"{row.name} on {row.preset}: {found.speedup:.2f}x over base", soft_wrap=True)
    if plot is not None:
        with busy("speed-up against density") as progress:
            picture = speedup_picture(curves(progress))
        write_file(plot, picture)
    return speedup_table(rows) if rows else "", all(m.bit_exact for m in rows.values())


def row(b: Benchmark, result: dict[str, Any] | None, error: str | None) -> dict[str, Any]:
    """Return the JSON of a benchmark, which has a result or an error."""
    return {"network": b.network, "preset": b.preset, "must": b.must, "aim": b.aim, "result": result, "error": error}
