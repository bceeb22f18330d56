"""docs/interfaces.md names every key that is written, and no other; and every environment variable."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from hwgen.benchmarks import BENCHMARKS
from hwgen.cli import app
from hwgen.commands.bench import row
from hwgen.embedded import DATA, MODEL
from hwgen.golden.machine_zeros import Zeros
from hwgen.presets import preset
from hwgen.synth import SynthResult
from hwgen.verify import VerifyResult
from hwgen.verify.result import LayerResult
from hwgen.verify.zeros import LayerZeros
from tests.report.results import result

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs/interfaces.md").read_text(encoding="utf-8")


def section(heading: str) -> str:
    (found,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    return str(found)


def keys(text: str) -> set[str]:
    """Every word in backticks of the first column."""
    return {k for cell in re.findall(r"^\| (`.*?) \|", text, re.M) for k in re.findall(r"`(\w+)`", cell)}


def names(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def written(folder: Path, *arguments: object) -> Any:
    CliRunner().invoke(app, [*map(str, arguments), "--json", str(folder / "out.json")])
    return json.loads((folder / "out.json").read_text())


def test_run(tmp_path: Path) -> None:
    assert set(written(tmp_path, "run", MODEL, "--inputs", DATA)) == keys(section("`hwgen run`"))


def test_compress(tmp_path: Path) -> None:
    text = section("`hwgen compress --json FILE`")
    recipe = ROOT / "recipes/int8.toml"
    out = tmp_path / "out.onnx"
    report = written(tmp_path, "compress", MODEL, "--recipe", recipe, "--data", DATA, "-o", out, "--preset", "base")
    plan = json.loads((tmp_path / "out.plan.json").read_text())
    assert set(report) == keys(text)
    row, step = report["rows"][1], plan["steps"][0]
    inner = {*row, *row["accuracy"], *plan, *step, *report["machine"]}
    others = {"x", "y", "npz", "onnx", "json", "joint"}
    assert inner | set(report) == names(text) - others, (inner | set(report)) ^ (names(text) - others)


def test_presets(tmp_path: Path) -> None:
    text, table = section("`hwgen presets --json FILE`"), written(tmp_path, "presets")
    for name, value in table.items():
        assert set(value) == keys(text)
        assert value["config"] == preset(name).to_dict()
        assert {"multipliers", "lanes", "word", "pipes", "act_words"} <= set(value["derived"]) & names(text)


def test_doctor(tmp_path: Path) -> None:
    text, value = section("`hwgen doctor --json FILE`"), written(tmp_path, "doctor")
    assert set(value) == keys(text) and all(set(tool) <= names(text) for tool in value["tools"])


def test_synth() -> None:
    assert {f.name for f in dataclasses.fields(SynthResult)} == keys(section("`hwgen synth --json FILE`"))


def test_bench() -> None:
    assert set(row(BENCHMARKS[0], result(), None)) == keys(section("`hwgen bench --json FILE`"))


def test_verify() -> None:
    text = section("`hwgen verify --json FILE`")
    zeros = LayerZeros(0.5, 0.5, Zeros(), 1.0, 1.0, 1, 1, {"v": 0, "s": 0, "post": 0, "command": 0})
    layer = LayerResult("a", "Conv", "pixel", 1, 1, 1, 1.0, 0, "", zeros)
    value = VerifyResult(
        "m", preset("tiny").to_dict(), 8, 1, 1, 0, [], 1, 1, 1, [layer], 1, 1, {}, {}, None, []
    ).to_json()
    assert set(value) == keys(text)
    layer = value["cycles"]["layers"][0]
    found = {*value["cycles"], *layer, *value["bytes"], *value["zeros"]}
    assert found | {*layer["zeros"], *layer["zeros"]["lanes"], *layer["zeros"]["starved"]} <= names(text)


def test_environment_variables() -> None:
    # hwgen/sim is a link to sim, which rglob does not follow.
    files = [p for folder in ("hwgen", "sim") for p in (ROOT / folder).rglob("*.py")]
    sources = [p.read_text(encoding="utf-8") for p in files]
    read = {n for s in sources for n in re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", s)}
    read |= {n for s in sources for n in re.findall(r"env\.setdefault\(\"(\w+)\"", s)}
    assert read - {"PYTEST_CURRENT_TEST"} <= names(section("Environment variables"))
    assert read
