"""Files that exporters' real tools write: each equal to its runtime, or refused with what docs/operators.md says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exporters import document
from tests.exporters.environment import HERE, TOOLS, releases, run
from tests.exporters.found import result

HEAD = "| exporter | file | found |\n|---|---|---|\n"


def exporter(tool: str) -> str:
    """How the table names a tool: its first package and release."""
    return releases(tool)[0].replace("==", " ")


def replaced(table: str, tool: str, rows: list[str]) -> str:
    """The table with other rows of a tool, whatever its release was."""
    package = exporter(tool).split()[0]
    lines = [line for line in table.removeprefix(HEAD).splitlines() if not line.startswith(f"| {package} ")]
    return HEAD + "".join(f"{line}\n" for line in sorted([*lines, *rows], key=str.lower))


@pytest.mark.nightly
@pytest.mark.parametrize("tool", TOOLS)
def test_files_of(tool: str, tmp_path: Path) -> None:
    for package in ("tflite_micro", "ai_edge_litert", "onnxruntime"):
        pytest.importorskip(package)
    run(tool, HERE / f"make_{tool}.py", tmp_path, cwd=tmp_path)
    rows, wrong = [], []
    for path in sorted([*tmp_path.glob("*.tflite"), *tmp_path.glob("*.onnx")]):
        try:
            rows.append(f"| {exporter(tool)} | {path.stem} | {result(path)} |")
        except AssertionError as error:
            wrong.append(f"{path.name}: {error}")
    document.update("exporters", lambda table: replaced(table, tool, rows))
    assert not wrong, "\n".join(wrong)


def test_every_exporter_has_its_rows() -> None:
    table = document.part("exporters")
    assert table.startswith(HEAD)
    for tool in TOOLS:
        assert (HERE / f"make_{tool}.py").exists()
        assert f"| {exporter(tool)} |" in table
    named = {line.split(" | ")[0].removeprefix("| ") for line in table.removeprefix(HEAD).splitlines()}
    assert named == {exporter(tool) for tool in TOOLS}
