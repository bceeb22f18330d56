"""Tables that are printed: nothing in them is cut, and nothing is markup, whatever a file calls its layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

NAME = 16
"""Columns that a name has at least, where tables are too wide."""


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


def least_width(table: Table) -> int:
    """Keep numbers and words of headings whole, and names in `NAME` columns where there is no more room; return the
    columns that the table then takes at least."""
    width = 1
    for column in table.columns:
        texts = [str(cell) if isinstance(cell, Text) else cell for cell in [column.header, *column.cells]]
        word = max((cell_len(word) for text in texts if isinstance(text, str) for word in text.split()), default=0)
        column.min_width = word if column.justify == "right" else min(word, column.max_width or NAME)
        width += column.min_width + 3
    return width
