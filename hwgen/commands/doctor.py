"""``hwgen doctor``: every tool, its version, and the command that installs what is missing."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.text import Text

from hwgen.commands.files import check_target, write_json
from hwgen.commands.options import Json
from hwgen.commands.output import busy, print_table
from hwgen.tables import new_table

INCOMPLETE = 1
"""Exit code when `hwgen verify` could not run."""


def doctor(json: Json = None) -> None:
    """Show every tool, its version, and how to install what is missing; exit code 1 if `hwgen verify` cannot run."""
    check_target(json)
    from hwgen.doctor import examine, missing

    with busy("looking at the tools"):
        found = examine()
    table = new_table("Tools", ("tool", "version", "for", "to install it"))
    for f in found:
        table.add_row(
            f.name,
            f.version or (Text("missing", "red") if f.required else Text("absent", "yellow")),
            f.purpose + ("" if f.required else " (optional)"),
            "" if f.good else f.remedy,
        )
    print_table(table)
    lacking = missing(found)
    write_json(json, {"tools": [asdict(f) | {"good": f.good} for f in found], "ready": not lacking})
    if lacking:
        raise typer.Exit(INCOMPLETE)
