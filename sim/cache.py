"""Build products: where they are, one process at a time in each, and the least recently used ones dropped."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import platformdirs

from hwgen.errors import HwgenError

LIMIT_BYTES = 2 << 30
"""What the builds of one kind, whole networks or benches, may take together."""

IN_USE_S = 2 * 3600
"""Builds used more recently stay in any case: a simulation, which is stopped after an hour, may still run from them."""

BUILT = "built"
"""File that says by its presence that a build is complete, and by its time when it was used last."""

LOCK = ".lock"

DROPPED = ".dropped-"
"""Prefix of folders with builds that are being deleted."""

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
"""What the system says where nothing can be written."""

_BLOCK = 4096

_FULL = os.strerror(errno.ENOSPC)


def cache_dir() -> Path:
    """Return the folder for build products: ``$HWGEN_CACHE`` or the user's cache folder."""
    chosen = os.environ.get("HWGEN_CACHE")
    path = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("hwgen", appauthor=False))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HwgenError(
            f"the folder for build products cannot be made: {error.strerror}",
            where=str(path),
            remedy="set HWGEN_CACHE to a folder that can be written",
        ) from None
    return path


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say clearly when ``folder`` cannot be written to, a full disk above all.

    Raises
    ------
    HwgenError
        When the block ends with what the system says of such a folder; other errors pass.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        raise HwgenError(
            f"build products cannot be written: {error.strerror}",
            where=str(folder),
            remedy="make room there and in the folder for temporary files, or set HWGEN_CACHE to another folder",
        ) from error


def check_room(folder: Path, log: str = "") -> None:
    """Raise OSError (for `writing`) when a program that wrote to ``folder`` found no room.

    Compilers say so in their ``log``; what Verilator and simulations write is cut without a word.
    """
    if _FULL in log or shutil.disk_usage(folder).free < _BLOCK:
        raise OSError(errno.ENOSPC, _FULL)


def content_hash(parts: Iterable[str | bytes]) -> str:
    """Return 16 hex digits that identify the sequence ``parts``."""
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little") + raw)
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def build(folder: Path) -> Iterator[bool]:
    """Hold ``folder``, made if absent, against other processes; yields whether it has to be built.

    When the block ends without an exception it is built. If that was new, the builds beside it are pruned.

    Raises
    ------
    HwgenError
        When the folder cannot be written to; what was written of a new build is deleted.
    """
    while True:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder) as held:
                if not held:
                    continue
                absent = not (folder / BUILT).exists()
                if absent:
                    _empty(folder)  # of a build that failed or was stopped
                try:
                    yield absent
                    (folder / BUILT).touch()
                except (OSError, KeyboardInterrupt):
                    if absent:
                        _empty(folder)
                    raise
        break
    if absent:
        with contextlib.suppress(OSError):  # no room is no reason to fail
            prune(folder.parent)


def _empty(folder: Path) -> None:
    """Delete what a folder holds but its lock."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink(missing_ok=True)


def prune(folder: Path) -> None:
    """Drop builds in ``folder``, those not used for longest first, until it holds at most ``LIMIT_BYTES``."""
    builds = sorted((p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(DROPPED)), key=_used)
    total = 0
    for build in reversed(builds):
        total += _size(build)
        if total > LIMIT_BYTES:
            _drop(build)
    for rest in folder.glob(f"{DROPPED}*"):  # also of a process that was stopped in the middle
        shutil.rmtree(rest, ignore_errors=True)


def _drop(build: Path) -> None:
    """Move a build out of the way if nobody can be using it."""
    with _locked(build, wait=False) as held:
        if held and _used(build) < time.time() - IN_USE_S:
            build.rename(Path(tempfile.mkdtemp(prefix=DROPPED, dir=build.parent)) / build.name)


@contextlib.contextmanager
def _locked(folder: Path, *, wait: bool = True) -> Iterator[bool]:
    """Lock a folder; yields False when that fails: another process drops it or, unless ``wait``, has locked it."""
    with contextlib.ExitStack() as stack:
        held = False
        with contextlib.suppress(FileNotFoundError, BlockingIOError):
            handle = stack.enter_context((folder / LOCK).open("w"))
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # The folder may have been dropped, and made anew, while this waited for the lock.
            held = os.path.samestat(os.fstat(handle.fileno()), (folder / LOCK).stat())
        yield held


def _used(build: Path) -> float:
    """Return when a build was used last, in seconds; one that failed, when it began."""
    for path in (build / BUILT, build):
        with contextlib.suppress(FileNotFoundError):
            return path.stat().st_mtime
    return 0.0


def _size(build: Path) -> int:
    total = 0
    for folder, _, files in os.walk(build):
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, file)).st_size
    return total
