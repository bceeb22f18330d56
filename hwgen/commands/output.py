"""What commands print: results on stdout, progress on stderr."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

PLAIN_WIDTH = 160
"""Columns of a table that goes to a file or a pipe, where nothing says how wide a line may be."""


def console() -> Console:
    """Return the console for results (made anew: tests replace stdout)."""
    plain = Console(highlight=False)
    return plain if plain.is_terminal else Console(highlight=False, width=PLAIN_WIDTH)


def error_console() -> Console:
    """Return the console for messages and progress."""
    return Console(stderr=True, highlight=False)


@contextlib.contextmanager
def busy(text: str) -> Iterator[Callable[[str], None]]:
    """Show ``text`` and the time that passes while the block runs; yields a function that changes the text.

    Nothing is shown when stderr is not a terminal.
    """
    with _progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()) as progress:
        task = progress.add_task(text, total=None)
        yield lambda new: progress.update(task, description=new)


@contextlib.contextmanager
def counted(text: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many of how many are done; yields a function to call with (done, all)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with _progress(*columns) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _progress(*columns: Any) -> Progress:
    target = error_console()
    return Progress(*columns, console=target, transient=True, disable=not target.is_terminal)
