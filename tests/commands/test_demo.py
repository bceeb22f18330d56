"""`hwgen demo`: compressed, generated, simulated, compared, reported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwgen.cli import app


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
