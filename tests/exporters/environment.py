"""An exporter's own Python environment, with the releases of its ``.txt``, kept among the build products."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen.sim.cache import build, cache_dir, content_hash

HERE = Path(__file__).parent

TOOLS = tuple(sorted(path.stem for path in HERE.glob("*.txt")))
"""The exporters: each has ``TOOL.txt`` and ``make_TOOL.py``."""


def releases(tool: str) -> list[str]:
    """What the environment of a tool is made of, as ``package==version``."""
    lines = (HERE / f"{tool}.txt").read_text(encoding="utf-8").splitlines()
    return [line.split("#")[0].strip() for line in lines]


def python(tool: str) -> Path:
    """The interpreter of a tool's environment, which is made if absent; skips the test where pip cannot."""
    folder = cache_dir() / "exporters" / tool / content_hash([sys.version, *releases(tool)])
    program = folder / "env" / "bin" / "python"
    with build(folder) as absent:
        if absent:
            subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
            done = subprocess.run([program, "-m", "pip", "install", "--quiet", *releases(tool)], capture_output=True,
                                  text=True, check=False)
            if done.returncode:
                said = (done.stderr.strip() or done.stdout.strip()).splitlines()
                pytest.skip(f"pip cannot install {', '.join(releases(tool))}: {said[-1] if said else 'no reason'}")
    return program


def run(tool: str, script: Path, *arguments: Path, cwd: Path) -> None:
    """Run a script in a tool's environment.

    Raises
    ------
    AssertionError
        When it fails; the message is the end of what it said.
    """
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run([python(tool), script, *arguments], cwd=cwd, env=environ, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, f"{script.name}: {done.stderr[-3000:]}"
