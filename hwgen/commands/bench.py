"""``hwgen bench``: measure every network of the table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hwgen.commands.files import check_target, write_file, write_json
from hwgen.commands.options import Json
from hwgen.commands.output import busy, console
from hwgen.commands.verify import DIFFERENT, Simulator, verified
from hwgen.errors import HwgenError


def bench(
    models: Annotated[Path, typer.Option("--models", metavar="DIR", help="Folder of the MLPerf Tiny int8 networks.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.md", help="The table.")] = Path(
        "benchmarks.md"
    ),
    only: Annotated[
        str | None, typer.Option("--only", metavar="TEXT", help="Rows whose network or preset contains it.")
    ] = None,
    json: Json = None,
) -> None:
    """Measure networks and presets on the generated Verilog and write the table; exit code 1 when a byte differs."""
    check_target(output)
    check_target(json)
    from hwgen.benchmarks import BENCHMARKS, Benchmark
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
    measured: list[tuple[Benchmark, dict[str, Any]]] = []
    target = console()
    for b in chosen:
        with busy(f"{b.network} on {b.preset} ({len(measured) + 1} of {len(chosen)})") as progress:
            value = verified(
                models / b.model, preset(b.preset), Simulator.verilator, random=1, progress=progress
            ).to_json()
        measured.append((b, value))
        cycles, verdict = value["cycles"], "bit-exact" if value["bit_exact"] else "DIFFERENT"
        text = f"{b.network} on {b.preset}: {cycles['total']:,} cycles ({cycles['predicted']:,} predicted), {verdict}"
        target.print(text, soft_wrap=True)
    write_file(output, table(measured))
    write_json(
        json,
        [
            {"network": b.network, "preset": b.preset, "must": b.must, "aim": b.aim, "result": value}
            for b, value in measured
        ],
    )
    if not all(value["bit_exact"] for _, value in measured):
        raise typer.Exit(DIFFERENT)
