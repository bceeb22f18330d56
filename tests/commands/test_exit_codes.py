"""Exit code 1 says that results differ; whatever else goes wrong has another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hwgen import cli
from hwgen.embedded import MODEL
from hwgen.sim.run_result import SimulationError
from tests.test_cli import call, refused

VERIFY = ("verify", MODEL, "--preset", "tiny")


@pytest.mark.slow
def test_a_compiler_that_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hwgen.verify.flow.compare_graph", lambda *a: (Counter({0: 3}), []))
    result = call(*VERIFY, "--json", tmp_path / "v.json")
    assert result.exit_code == 1, result.output
    report = json.loads((tmp_path / "v.json").read_text())
    assert report["bit_exact"] is False and report["mismatches"] == 3


@pytest.mark.slow
def test_a_golden_model_that_is_not_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (hwgen[reference])")
    from hwgen.golden.operators import execute

    monkeypatch.setattr("hwgen.verify.reference.execute", lambda *a: execute(*a) ^ np.int8(2))
    result = call(*VERIFY, "--json", tmp_path / "v.json")
    assert result.exit_code == 1, result.output
    report = json.loads((tmp_path / "v.json").read_text())
    assert report["mismatches"] == 0 and report["reference"]["equal"] is False and report["bit_exact"] is False


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["build", "run"])
def test_a_simulator_that_fails(stage: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(*arguments: object, **options: object) -> None:
        raise SimulationError("the simulator ended with code -9")

    monkeypatch.setattr(f"hwgen.verify.rtl.Bench.{stage}", fails)
    refused(call(*VERIFY, "--json", tmp_path / "v.json"), "ended with code -9", "hwgen doctor")
    assert not (tmp_path / "v.json").exists()


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (("verify", MODEL), "either --preset NAME or --config"),
        (("verify", "none.onnx", "--preset", "tiny"), "none.onnx"),
        ((*VERIFY, "--random", 0), "--random"),
        ((*VERIFY, "--random", "many"), "--random"),
        ((*VERIFY, "--limit", 0), "--limit"),
        ((*VERIFY, "--waves", "w.txt"), "*.fst or *.vcd"),
        ((*VERIFY, "--json", "none/v.json"), "does not exist"),
        ((*VERIFY, "--weight-format", "none"), "none"),
        ((*VERIFY, "--profile", "none.npz"), "none.npz"),
        (("run", MODEL), "--inputs"),
        (("nothing",), "nothing"),
    ],
)  # fmt: skip
def test_what_is_asked_wrongly(arguments: tuple[object, ...], fragment: str) -> None:
    refused(call(*arguments), fragment)


def test_a_fault_of_the_tool_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr(cli, "app", fails)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" in said and "deep inside" in said and "please report" in said


def test_a_reader_that_goes_away() -> None:
    code = "import sys, time; from hwgen.cli import main; sys.argv[1:] = ['presets']; main()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait() == 141 and process.stderr is not None and b"Traceback" not in process.stderr.read()
    process.stderr.close()
