"""What commands print and write: results on stdout, progress on stderr, files only when they are complete."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from hwgen.errors import HwgenError

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


def check_target(path: Path | None, *, folder: bool = False) -> None:
    """Refuse an output path that cannot work, before any time is spent.

    Raises
    ------
    HwgenError
        When a folder is in the way of a file (or the reverse), or the folder above does not exist.
    """
    if path is None:
        return
    if folder and path.exists() and not path.is_dir():
        raise HwgenError("the output must be a folder", where=str(path))
    if not folder and path.is_dir():
        raise HwgenError("the output must be a file, not a folder", where=str(path))
    above = path.absolute().parent
    if not above.is_dir():
        raise HwgenError(f"the folder {above} does not exist", where=str(path), remedy="create it")
    if not os.access(above if not path.exists() else path, os.W_OK):
        raise HwgenError("the output cannot be written: permission denied", where=str(path))


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file completely or not at all."""
    write_with(path, lambda temporary: temporary.write_bytes(content.encode() if isinstance(content, str) else content))


def write_with(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file beside ``path``, then give it that name.

    Raises
    ------
    HwgenError
        When the file cannot be written.
    """
    check_target(path)
    try:
        handle, name = tempfile.mkstemp(prefix=".hwgen-", suffix=path.suffix, dir=path.absolute().parent)
        os.close(handle)
        temporary = Path(name)
        try:
            write(temporary)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise HwgenError(f"the output cannot be written: {error.strerror}", where=str(path)) from error


def write_folder(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files into a folder, which is made when it does not exist; other files in it stay.

    Raises
    ------
    HwgenError
        When the folder cannot be written; then it holds nothing new.
    """
    check_target(folder, folder=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".hwgen-", dir=folder.absolute().parent) as name:
            staged = Path(name)
            for file, content in files.items():
                (staged / file).write_bytes(content.encode() if isinstance(content, str) else content)
            folder.mkdir(exist_ok=True)
            for file in files:
                (staged / file).replace(folder / file)
    except OSError as error:
        raise HwgenError(f"the output cannot be written: {error.strerror}", where=str(folder)) from error


def write_json(path: Path | None, value: object) -> None:
    """Write a result as JSON; no path, no file."""
    if path is not None:
        write_file(path, json.dumps(value, indent=1) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
