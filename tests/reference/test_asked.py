"""Runtimes in a process of their own: what happens to that process is no more than its answer."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from hwgen.cli import app
from hwgen.embedded import MODEL, embedded_model
from hwgen.errors import HwgenError
from hwgen.golden.inputs import random_inputs
from hwgen.model import load_model
from hwgen.reference import asked
from hwgen.reference.runtime import LITERT, ONNX_RUNTIME, TFLITE_MICRO
from hwgen.verify.reference import References
from tests.model.tflite_cases import build

ABORT, HANG = "import os\nos.abort()\n", "import time\ntime.sleep(60)\n"


def instead(monkeypatch: pytest.MonkeyPatch, folder: Path, module: str, text: str) -> None:
    """Let other processes import ``text`` as a module."""
    path = folder / module
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for parent in Path(module).parents[:-1]:
        (folder / parent / "__init__.py").touch()
    monkeypatch.syspath_prepend(folder)


@pytest.fixture
def _onnxruntime() -> None:
    if ONNX_RUNTIME.installed is None:
        pytest.skip("onnxruntime is not installed (hwgen[reference])")


def ask() -> None:
    graph = embedded_model()
    with References(MODEL, graph, random_inputs(graph, 1, 1)) as references:
        references.compare()


@pytest.mark.usefixtures("_onnxruntime")
def test_an_abort(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    instead(monkeypatch, tmp_path, "onnxruntime.py", ABORT)
    with pytest.raises(HwgenError, match=r"no reference runs this file: ONNX Runtime .*exit code -6"):
        ask()


@pytest.mark.usefixtures("_onnxruntime")
def test_a_hang(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    instead(monkeypatch, tmp_path, "onnxruntime.py", HANG)
    monkeypatch.setattr(asked, "SECONDS", 1)
    with pytest.raises(HwgenError, match="no answer after 2 s"):
        ask()


@pytest.mark.usefixtures("_onnxruntime")
def test_what_is_in_the_current_folder_is_not_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text(ABORT)
    monkeypatch.chdir(tmp_path)
    ask()


@pytest.mark.usefixtures("_onnxruntime")
def test_what_has_not_answered_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    instead(monkeypatch, tmp_path, "onnxruntime.py", HANG)
    graph = embedded_model()
    start = time.monotonic()
    with References(MODEL, graph, random_inputs(graph, 1, 1)) as references:
        references.check()
    assert time.monotonic() - start < 30


def test_another_runtime_is_asked_when_one_aborts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if TFLITE_MICRO.installed is None or LITERT.installed is None:
        pytest.skip("tflite-micro and ai-edge-litert are not both installed (hwgen[reference])")
    path = build("conv_grouped", tmp_path, 1)
    graph = load_model(path)
    instead(monkeypatch, tmp_path, "tflite_micro/runtime.py", ABORT)
    with References(path, graph, random_inputs(graph, 2, 1)) as references:
        found = references.compare()
    assert found is not None and found.name == LITERT.name and found.equal, found


@pytest.mark.slow
@pytest.mark.usefixtures("_onnxruntime")
def test_an_abort_is_no_difference(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Exit code 1 is for results that differ."""
    instead(monkeypatch, tmp_path, "onnxruntime.py", ABORT)
    result: Result = CliRunner().invoke(app, ["verify", str(MODEL), "--preset", "tiny", "--json", str(tmp_path / "v")])
    assert result.exit_code == 2 and "no reference runs this file" in result.stderr
    assert not (tmp_path / "v").exists()
