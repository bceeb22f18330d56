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
from hwgen.speedups import SPEEDUPS, Network, Speedup
from hwgen.verify.speedup import Folders, Measured
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
    assert "2 benchmarks failed" in done.stderr
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
    assert done.exit_code == 2 and "5 benchmarks failed" in done.stderr
    assert (models.parent / "b.md").read_text() == "old" and not (models.parent / "b.json").exists()


@pytest.mark.parametrize("exact", [True, False])
def test_all_measured(models: Path, monkeypatch: pytest.MonkeyPatch, exact: bool) -> None:
    done = bench(models, monkeypatch, set(), exact)
    assert done.exit_code == (0 if exact else 1), done.output
    table = (models.parent / "b.md").read_text()
    assert "Not measured" not in table and table.count("**") == 10
    assert all(r["error"] is None for r in json.loads((models.parent / "b.json").read_text()))


def zeros(
    models: Path, monkeypatch: pytest.MonkeyPatch, only: str, *options: object, failing: str | None = None
) -> Result:
    """Measure what zeros give with the real inputs in place; the row ``failing`` does not compile."""

    def measure(row: Speedup, folders: Folders, *rest: Any) -> Measured:
        if row.name == failing:
            raise HwgenError("cannot hold a single tile")
        return Measured(1000, 400, True)

    monkeypatch.setattr("hwgen.verify.speedup.measure", measure)
    data = models.parent / "data"
    data.mkdir(exist_ok=True)
    for row in SPEEDUPS:
        if isinstance(row.work, Network) and not row.work.compressed:
            (data / row.work.inputs.file).touch()
    arguments = ["--models", models, "--data", data, "--only", only, "-o", models.parent / "b.md", *options]
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


def test_rows_whose_file_is_absent_are_listed(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compressed = models.parent / "compressed"
    compressed.mkdir()
    (compressed / "lenet5_deep.onnx").touch()
    (compressed / "lenet5_int8.onnx").touch()
    for options, missing in (((), "lenet5_deep.onnx, lenet5_int8.onnx, mnist_test.npz"),
                             (("--compressed", compressed), "mnist_test.npz")):  # fmt: skip
        done = zeros(models, monkeypatch, "base-sparse", *options)
        assert done.exit_code == 0, done.output
        assert f"LeNet-5 by `deep_lenet5`, over `int8` on base-sparse: {missing} absent" in done.stdout
        table = (models.parent / "b.md").read_text()
        assert "Not measured:\n\n* ResNet-8 by `sparse70_int8` on base-sparse: resnet8_sparse70.onnx absent" in table
        assert f"`int8` on base-sparse: {missing} absent" in table and "| weights 0.5 | base-sparse |" in table
    (compressed / "mnist_test.npz").touch()
    assert zeros(models, monkeypatch, "deep_lenet5", "--compressed", compressed).exit_code == 0
    assert "| LeNet-5 by" in (models.parent / "b.md").read_text()


def test_a_row_that_fails_keeps_the_others(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = zeros(models, monkeypatch, "as it is", failing="wide ResNet-8 as it is")
    assert done.exit_code == 2
    assert "1 benchmark failed:\nwide ResNet-8 as it is on base-sparse: cannot hold" in done.stderr
    table = (models.parent / "b.md").read_text()
    assert "| DS-CNN as it is |" in table and "* wide ResNet-8 as it is on base-sparse: cannot hold" in table


def test_absent_inputs_are_found_before_anything_is_measured(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (models / "resnet8_large_int8.tflite").unlink()
    done = zeros(models, monkeypatch, "as it is")
    assert done.exit_code == 2 and "absent: resnet8_large_int8.tflite" in done.stderr
    assert "the folder of compressed" in zeros(models, monkeypatch, "DS-CNN as", "--compressed", models / "x").stderr
    done = CliRunner().invoke(app, ["bench", "--models", str(models), "--compressed", str(models)])
    assert done.exit_code == 2 and "--compressed is of what zeros give" in done.stderr
