"""Ctrl-C: one line, exit code 130, nothing half written, whatever is at work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PATIENCE_S = 120.0


def interrupted(folder: Path, arguments: list[str], *, child: bool) -> tuple[int, str]:
    """Start hwgen, press Ctrl-C when it says what it does (with ``child``: once another program works for it too);
    return exit code and stderr."""
    with subprocess.Popen(
        [sys.executable, "-c", START, *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HWGEN_CACHE": str(folder / "cache")},
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        limit = time.monotonic() + PATIENCE_S
        while child and not children.read_text() and time.monotonic() < limit:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        return process.wait(PATIENCE_S), said + process.stderr.read()


START = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a runner in the background may ignore it
from hwgen.__main__ import main
main()
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="there is no /proc here")
@pytest.mark.parametrize("child", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["elaborating", "yosys"])
def test_generation_ends_quietly(tmp_path: Path, child: bool) -> None:
    code, said = interrupted(tmp_path, ["generate", "--preset", "tiny", "-o", "out"], child=child)
    assert code == 130 and said.splitlines()[1:] == ["interrupted"], said
    assert not [path for path in tmp_path.iterdir() if path.name != "cache"]
