"""What commands write: files that are complete or absent. They are made under another name and renamed."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from hwgen.errors import HwgenError


def check_target(path: Path | None, *, folder: bool = False) -> None:
    """Refuse an output path that cannot work, before any time is spent.

    Raises
    ------
    HwgenError
        When a folder is in the way of a file (or the reverse), the folder above does not exist, or one may not write.
    """
    if path is None:
        return
    with _said(path):
        found = _stat(path)
        is_folder = found is not None and stat.S_ISDIR(found.st_mode)
        above = _real(path).parent
        if found is None and not above.is_dir():
            raise HwgenError(f"the folder {above} does not exist", where=str(path), remedy="create it")
    if folder and found is not None and not is_folder:
        raise HwgenError("the output must be a folder", where=str(path))
    if is_folder and not folder:
        raise HwgenError("the output must be a file, not a folder", where=str(path))
    # A file is renamed into the folder above it, unless it has to stay the file that it is.
    written = [path] if found is not None else []
    if found is None or not (is_folder or _stays(found)):
        written.append(above)
    if not all(os.access(p, os.W_OK) for p in written):
        raise HwgenError("the output cannot be written: permission denied", where=str(path))


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file completely or not at all; of a symbolic link, the file it leads to.

    Raises
    ------
    HwgenError
        When the file cannot be written.
    """
    check_target(path)
    with _said(path):
        found, real = _stat(path), _real(path)
        if found is not None and _stays(found):
            _write_in_place(path, found, _bytes(content))
            return
        handle, name = tempfile.mkstemp(prefix=".hwgen-", dir=real.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            temporary.write_bytes(_bytes(content))
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(real)
        finally:
            temporary.unlink(missing_ok=True)


def write_folder(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Write files into a folder. One that does not exist appears with all of them; in one that does, other files stay.

    Raises
    ------
    HwgenError
        When the folder cannot be written; then it holds nothing new.
    """
    check_target(folder, folder=True)
    with _said(folder):
        real = _real(folder)
        exists = real.is_dir()
        in_the_way = next((name for name in files if (real / name).is_dir()), None)
        if in_the_way is not None:
            raise HwgenError("the output must be a file, not a folder", where=str(folder / in_the_way))
        # Staged inside a folder that exists: it may be a mount point, where what is beside it cannot be renamed to.
        with tempfile.TemporaryDirectory(prefix=".hwgen-", dir=real if exists else real.parent) as name:
            staged = Path(name) / "files"
            staged.mkdir()
            for file, content in files.items():
                (staged / file).write_bytes(_bytes(content))
            if not exists:
                staged.rename(real)
            else:
                for file in files:
                    (staged / file).replace(real / file)


def write_json(path: Path | None, value: object) -> None:
    """Write a result as JSON; no path, no file."""
    if path is not None:
        write_file(path, json.dumps(value, indent=1) + "\n")


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """Turn what the system says about ``path`` into a message."""
    try:
        yield
    except OSError as error:
        raise HwgenError(f"the output cannot be written: {error.strerror}", where=str(path)) from error


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _real(path: Path) -> Path:
    """Return what a symbolic link leads to, which need not exist."""
    return Path(os.path.realpath(path))


def _stays(found: os.stat_result) -> bool:
    """Whether this must be written to as it is: a device, a pipe, or the file that stdout or stderr goes to."""
    return not stat.S_ISREG(found.st_mode) or _stream(found) is not None


def _stream(found: os.stat_result) -> int | None:
    """Return stdout or stderr if that is the very file ``found``, as /dev/stdout is."""
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            if os.path.samestat(found, os.fstat(descriptor)):
                return descriptor
    return None


def _write_in_place(path: Path, found: os.stat_result, content: bytes) -> None:
    """Write to a file that stays. Stdout and stderr go on where they are: a file opened anew begins at its start."""
    stream = _stream(found)
    for buffered in (sys.stdout, sys.stderr):
        buffered.flush()
    with open(path if stream is None else os.dup(stream), "wb") as out:
        out.write(content)


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
