"""``hwgen verify``: the whole network on the generated Verilog, against golden model and outside reference."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hwgen.commands.files import check_target, write_file, write_json
from hwgen.commands.options import ConfigFile, Json, Limit, Model, Preset, Profile, WeightFormat, chosen_config
from hwgen.commands.output import busy, console, print_table
from hwgen.config import SMALLEST, Config
from hwgen.errors import HwgenError

if TYPE_CHECKING:
    from hwgen.verify import VerifyResult

DIFFERENT = 1
"""Exit code when results differ."""


class Simulator(StrEnum):
    """What runs the Verilog."""

    verilator = "verilator"
    icarus = "icarus"


def verify(
    model: Model,
    preset: Preset = None,
    config: ConfigFile = None,
    sim: Annotated[Simulator, typer.Option("--sim", help="Simulator.")] = Simulator.verilator,
    inputs: Annotated[Path | None, typer.Option("--inputs", metavar="FILE.npz", help="x: inputs, batch first.")] = None,
    limit: Limit = None,
    random: Annotated[
        int | None,
        typer.Option("--random", min=1, metavar="N", help="That many random inputs (default: 1, without --inputs)."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="S", help="Seed of the random inputs.")] = 1,
    profile: Profile = None,
    weight_format: WeightFormat = SMALLEST,
    layers: Annotated[bool, typer.Option("--layers", help="Print every layer.")] = False,
    waves: Annotated[
        Path | None, typer.Option("--waves", metavar="FILE.fst", help="Keep the waves around the first mismatch.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE.html", help="Also write a page with pictures and a timeline."),
    ] = None,
    json: Json = None,
) -> None:
    """Run a network on the generated Verilog and compare every byte; exit code 1 when one differs."""
    for target in (json, waves, report):
        check_target(target)
    machine = chosen_config(preset, config)
    if report is not None:
        from hwgen.report.page import page  # what is missing for it is said before the simulation
    with busy(f"verifying {model} on {machine.name}") as progress:
        result = verified(
            model,
            machine,
            sim,
            inputs=inputs,
            limit=limit,
            random=random,
            seed=seed,
            profile=profile,
            weight_format=weight_format,
            waves=waves,
            progress=progress,
        )
    write_json(json, result.to_json())
    if report is not None:
        write_file(report, page(result.to_json(), spans=result.spans))
    show(result, layers)
    if not result.bit_exact:
        raise typer.Exit(DIFFERENT)


def verified(
    model: Path,
    config: Config,
    sim: Simulator,
    *,
    inputs: Path | None = None,
    limit: int | None = None,
    random: int | None = None,
    seed: int = 1,
    profile: Path | None = None,
    weight_format: str = SMALLEST,
    waves: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> VerifyResult:
    """Call `hwgen.verify.verify`; a simulator that fails is an error to read, not a traceback."""
    from hwgen.sim.run_result import SimulationError
    from hwgen.verify import verify as verify_model

    try:
        return verify_model(
            model,
            config,
            simulator=sim.value,
            inputs=inputs,
            limit=limit,
            random=random,
            seed=seed,
            typical=profile,
            weight_format=weight_format,
            waves=waves,
            progress=progress,
        )
    except SimulationError as error:
        raise HwgenError(
            str(error), where=f"{sim.value}, {config.name}", remedy="`hwgen doctor` shows the tools"
        ) from error


def show(result: VerifyResult, layers: bool) -> None:
    """Print what was found; every layer when asked for or when something differs."""
    target = console()
    layers = layers or not result.bit_exact
    if layers:
        print_table(result.table())
    else:
        target.print(
            f"{result.model} on {result.config['name']}: {result.total:,} cycles ({result.predicted:,} predicted), "
            f"{100 * result.utilisation:.1f} % of {result.multipliers} multipliers",
            soft_wrap=True,
        )
    for line in [*result.beyond(layers), *result.summary()]:
        target.print(line, soft_wrap=True)
