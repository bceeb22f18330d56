"""Tables that are printed: nothing in them is cut, and nothing is markup, whatever a file calls its layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.table import Table


def new_table(title: str, left: Iterable[str], right: Iterable[str] = (), last: Iterable[str] = (),
              **options: Any) -> Table:
    """Return a table with headings of columns to the left, then to the right, then to the left again.

    Cells are plain text where `hwgen.commands.output.console` prints them; those that are too wide go on below.

    Parameters
    ----------
    title : str
    left, right, last : iterable of str
    **options
        Of `rich.table.Table`.
    """  # fmt: skip
    table = Table(title=title, **options)
    for headings, justify in ((left, "left"), (right, "right"), (last, "left")):
        for heading in headings:
            table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table
