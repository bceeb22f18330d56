"""A process for each case: what aborts, hangs or eats memory there is an outcome, and takes nothing else with it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hwgen.errors import HwgenError

MEMORY = 12 << 30
"""Bytes of address space of a case."""

Kind = Literal["equal", "refused", "unknown", "differs", "traceback", "died", "hangs"]

FAULTS: tuple[Kind, ...] = ("differs", "traceback", "died", "hangs")
"""Outcomes that must not be. ``unknown``: no reference runs the file."""

REFERENCE = "asking the reference"
"""The stage whose deaths and endless loops are the reference's own: ``unknown``."""


@dataclass(frozen=True)
class Outcome:
    """How a case ended: its kind, the stage it was in, and what it said."""

    kind: Kind
    stage: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind} while {self.stage}: {self.text}"


class Stage:
    """Told by a case what it is doing, so that a death can be placed."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def __call__(self, name: str) -> None:
        os.write(self._pipe, json.dumps({"stage": name}).encode() + b"\n")


Case = Callable[[Stage], tuple[Kind, str]]


def outcome(case: Case, seconds: float = 30.0) -> Outcome:
    """Run a case in a process of its own.

    Parameters
    ----------
    case : callable
        Given a `Stage`, returns ``equal``, ``differs`` or ``unknown`` and a text. `HwgenError` is ``refused``; any
        other exception is a ``traceback``.
    seconds : float
        After which it hangs.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        _run(case, write)
    os.close(write)
    text, end = b"", time.monotonic() + seconds
    hangs = False
    while True:
        left = end - time.monotonic()
        ready = select.select([read], [], [], left)[0] if left > 0 else []
        if not ready:
            hangs = True
            os.kill(child, signal.SIGKILL)
            break
        part = os.read(read, 1 << 16)
        if not part:
            break
        text += part
    os.close(read)
    _, status = os.waitpid(child, 0)
    lines = [json.loads(line) for line in text.decode().splitlines()]
    stage = next((line["stage"] for line in reversed(lines) if "stage" in line), "starting")
    for line in lines:
        if "kind" in line:
            return Outcome(line["kind"], stage, line["text"])
    how = f"after {seconds:g} s" if hangs else f"status {status}"
    if stage == REFERENCE:
        return Outcome("unknown", stage, how)
    return Outcome("hangs" if hangs else "died", stage, how)


def _run(case: Case, pipe: int) -> None:
    """In the child; never returns."""
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        try:
            kind, text = case(Stage(pipe))
        except HwgenError as error:
            kind, text = "refused", str(error)
        except BaseException as error:  # noqa: BLE001
            kind, text = "traceback", _place(error)
        os.write(pipe, json.dumps({"kind": kind, "text": text[:2000]}).encode() + b"\n")
    finally:
        os._exit(0)


def _place(error: BaseException) -> str:
    """The exception and the last lines of the tool that it went through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f"{os.sep}hwgen{os.sep}" in f.filename]
    places = ", ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[-3:])
    return f"{type(error).__name__} at {places or 'an unknown place'}: {error}"
