"""`hwgen bench` keeps what it has measured, whatever happens to one network."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from hwgen.benchmarks import BENCHMARKS
from hwgen.cli import app
from hwgen.config import Config
from hwgen.errors import HwgenError
from tests.report.results import result


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for b in BENCHMARKS:
        (folder / b.model).touch()
    return folder


def bench(models: Path, monkeypatch: pytest.MonkeyPatch, failing: set[str], exact: bool = True) -> Result:
    """Measure all networks called ResNet-8; the presets ``failing`` do not compile."""

    def verified(model: Path, config: Config, *args: Any, **options: Any) -> SimpleNamespace:
        if config.name in failing:
            raise HwgenError("cannot hold a single tile", where=f"layer of {config.name}", remedy="use a larger preset")
        return SimpleNamespace(to_json=lambda: result(bit_exact=exact))

    monkeypatch.setattr("hwgen.commands.bench.verified", verified)
    out = models.parent
    arguments = ["--models", models, "--only", "ResNet-8", "-o", out / "b.md", "--json", out / "b.json"]
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def test_one_network_that_fails(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = bench(models, monkeypatch, {"large", "tiny"})
    assert done.exit_code == 2 and isinstance(done.exception, SystemExit)
    assert "2 of 5 benchmarks failed" in done.stderr
    assert "ResNet-8 on tiny: layer of tiny: cannot hold a single tile" in done.stderr
    table = (models.parent / "b.md").read_text()
    assert [line.split(" | ")[1] for line in table.splitlines() if "**" in line] == ["base", "base", "small"]
    assert "## Not measured" in table and "* ResNet-8 on large: layer of large: cannot hold a single tile" in table
    rows = json.loads((models.parent / "b.json").read_text())
    assert [(r["preset"], r["result"] is None, r["error"] is None) for r in rows] == [
        ("base", False, True),
        ("base", False, True),
        ("large", True, False),
        ("tiny", True, False),
        ("small", False, True),
    ]
    assert rows[2]["error"].startswith("layer of large: cannot hold")


def test_nothing_measured_is_nothing_written(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (models.parent / "b.md").write_text("old")
    done = bench(models, monkeypatch, {"base", "large", "tiny", "small"})
    assert done.exit_code == 2 and "5 of 5 benchmarks failed" in done.stderr
    assert (models.parent / "b.md").read_text() == "old" and not (models.parent / "b.json").exists()


@pytest.mark.parametrize("exact", [True, False])
def test_all_measured(models: Path, monkeypatch: pytest.MonkeyPatch, exact: bool) -> None:
    done = bench(models, monkeypatch, set(), exact)
    assert done.exit_code == (0 if exact else 1), done.output
    table = (models.parent / "b.md").read_text()
    assert "Not measured" not in table and table.count("**") == 10
    assert all(r["error"] is None for r in json.loads((models.parent / "b.json").read_text()))
