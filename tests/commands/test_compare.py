"""``hwgen compare`` on the embedded network, and what it says to bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hwgen.embedded import MODEL, digit_images
from hwgen.schemes import SCHEMES
from tests.test_cli import call, refused

INTERFACES = Path(__file__).resolve().parents[2] / "docs/interfaces.md"


def test_tables_and_json(tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=digit_images()[0][:5])
    out = tmp_path / "c.json"
    result = call("compare", MODEL, "--inputs", tmp_path / "in.npz", "--limit", 2, "--json", out)
    assert result.exit_code == 0, result.output
    report = json.loads(out.read_text())
    assert (report["config"]["name"], report["multipliers"], report["images"]) == ("base-sparse", 64, 2)
    assert report["macs"] == 46_592 and report["dense"] == 46_592 / 64 and report["random"] is False
    assert [s.key for s in SCHEMES] == list(report["schemes"])
    assert sum(layer["macs"] for layer in report["layers"]) == report["macs"]
    assert sum(layer["effectual"] for layer in report["layers"]) == pytest.approx(report["effectual"])
    for key, scheme in report["schemes"].items():
        figures = [layer["schemes"][key] for layer in report["layers"]]
        for name in ("cycles", "bound", "full"):
            assert sum(f[name] for f in figures) == pytest.approx(scheme[name])
        assert scheme["bound"] <= scheme["cycles"] and scheme["speedup"] == report["dense"] / scheme["cycles"]
        assert scheme["title"] in result.stdout
    assert report["schemes"]["inner_join"]["bound"] == pytest.approx(report["effectual"] / 64)
    for name in ("dense", "skipping"):
        machine = report["machines"][name]
        assert sum(layer["machines"][name]["cycles"] for layer in report["layers"]) == machine["cycles"]
        assert machine["compute"] < machine["cycles"] <= machine["network"]
    assert all(layer["name"][:8] in result.stdout for layer in report["layers"])
    section = INTERFACES.read_text().split("## `hwgen compare")[1].split("\n## ")[0]
    keys = {*report, *report["layers"][0], *report["schemes"]["scnn"], *report["machines"]["dense"]}
    assert not [key for key in keys if f"`{key}`" not in section]


def test_a_dense_machine_is_its_own_grid(tmp_path: Path) -> None:
    result = call("compare", MODEL, "--preset", "tiny", "--random", 1, "--seed", 3, "--json", tmp_path / "c.json")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "c.json").read_text())
    assert list(report["machines"]) == ["dense"] and (report["multipliers"], report["seed"]) == (8, 3)
    assert report["random"] is True and "1 random input;" in result.stdout


def test_bad_input(tmp_path: Path) -> None:
    out = ("--json", tmp_path / "c.json")
    refused(call("compare", tmp_path / "none.tflite", *out), "none.tflite")
    (tmp_path / "cut.onnx").write_bytes(MODEL.read_bytes()[:3000])
    refused(call("compare", tmp_path / "cut.onnx", *out), "cut.onnx")
    refused(call("compare", MODEL, "--preset", "giant", *out), "preset must be one of")
    refused(call("compare", MODEL, "--preset", "tiny", "--config", "x.toml", *out), "either --preset NAME or --config")
    refused(call("compare", MODEL, "--inputs", tmp_path / "none.npz", *out), "none.npz")
    refused(call("compare", MODEL, "--inputs", tmp_path / "n.npz", "--random", 2, *out), "either --inputs or --random")
    assert not (tmp_path / "c.json").exists()


def test_a_machine_that_cannot_run_the_network(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('preset = "base-sparse"\nweight_bits = 2\n')
    refused(call("compare", MODEL, "--config", tmp_path / "c.toml"), "weight")
