"""Programs that are run to their end: whatever happens to this one, none of them runs on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Done:
    """How a program ended, and what it said on stdout and then on stderr."""

    code: int
    log: str


def call(
    command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None, limit_s: float | None = None
) -> Done:
    """Run a program in ``folder``; it and what it started are stopped when this ends early (Ctrl-C, time limit).

    Raises
    ------
    subprocess.TimeoutExpired
        When it took longer than ``limit_s``.
    OSError
        When it cannot be started.
    """
    with subprocess.Popen(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, errors="replace", start_new_session=True,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=limit_s)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return Done(process.returncode, out + err)
