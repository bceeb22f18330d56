"""What commands print: results on stdout, progress on stderr."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from hwgen.tables import least_width

PLAIN_WIDTH = 160
"""Columns of a table that goes to a file or a pipe, where nothing says how wide a line may be."""

CLOSED_PIPE = 141
"""Exit code when the output's reader goes away (``| head``), as shells have it; Rich's 1 says that results differ."""

REPEAT_S = 10.0
"""Seconds between lines that tell how one stage goes on, where there is no terminal."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise SystemExit(CLOSED_PIPE) from None


def console() -> Console:
    """Return the console for results (made anew: tests replace stdout). It prints text as it is: names of layers come
    from files that anyone may have made."""
    plain = _Console(highlight=False, markup=False, emoji=False)
    return plain if plain.is_terminal else _Console(highlight=False, markup=False, emoji=False, width=PLAIN_WIDTH)


def print_table(table: Table) -> None:
    """Print a table, wider than the terminal where it would break numbers: that wraps the lines."""
    target = console()
    target.width = max(target.width, least_width(table))
    target.print(table, crop=False)


def error_console() -> Console:
    """Return the console for messages and progress."""
    return _Console(stderr=True, highlight=False, markup=False, emoji=False)


def warn(lines: Iterable[str]) -> None:
    """Print warnings, a line each, on stderr."""
    for line in lines:
        error_console().print(f"warning: {line}", style="yellow", soft_wrap=True)


@contextlib.contextmanager
def busy(text: str, began: float | None = None) -> Iterator[Callable[[str], None]]:
    """Show ``text`` and the time that passes while the block runs; yields a function that changes the text.

    Where stderr is not a terminal, every text is a line of its own, after the seconds that had passed since ``began``
    (`time.perf_counter`; by default now).
    """
    target = error_console()
    if not target.is_terminal:
        lines = _Lines(target, began)
        lines(text)
        yield lines
        return
    with _progress(SpinnerColumn(), _text_column(), TimeElapsedColumn()) as progress:
        task = progress.add_task(text, total=None)
        yield lambda new: progress.update(task, description=new)


class _Lines:
    """Prints texts as lines; those that differ from the last (at first: from ``waits``) in numbers or after a colon
    alone, rarely."""

    def __init__(self, target: Console, began: float | None = None, waits: str = "") -> None:
        self._target = target
        self._printed = time.perf_counter()
        self._began = self._printed if began is None else began
        self._head = waits

    def __call__(self, text: str) -> None:
        now, head = time.perf_counter(), re.sub(r"[\d.,]+", "0", text.partition(":")[0])
        if head == self._head and now < self._printed + REPEAT_S:
            return
        self._head, self._printed = head, now
        line = f"[{now - self._began:6.1f} s] {text}"
        self._target.print(line, soft_wrap=True)


@contextlib.contextmanager
def counted(text: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many of how many are done; yields a function to call with (done, all).

    Where stderr is not a terminal, in lines, the first of them when it has lasted.
    """
    target = error_console()
    if not target.is_terminal:
        lines = _Lines(target, waits=text)
        yield lambda done, total: lines(f"{text}: {done} of {total}")
        return
    columns = (
        _text_column(),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
    )
    with _progress(*columns) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _text_column() -> TextColumn:
    return TextColumn("{task.description}", markup=False)


def _progress(*columns: Any) -> Progress:
    return Progress(*columns, console=error_console(), transient=True)
