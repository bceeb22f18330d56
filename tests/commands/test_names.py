"""Layers may have any names: they are printed whole and as they are, by every command and in every file."""

from __future__ import annotations

import html
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hwgen.cli import app
from hwgen.embedded import DATA, FLOAT_MODEL, MODEL
from hwgen.report.names import wrapped
from tests.commands.nasty_names import rename


@pytest.fixture(params=[0, 4])
def layers(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the layers of net.onnx and float.onnx, in the folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    names = rename(MODEL, Path("net.onnx"), request.param)
    assert rename(FLOAT_MODEL, Path("float.onnx"), request.param) == names
    return names


def printed(*arguments: object) -> str:
    """What a command prints, without white space and borders: long cells go on in the next line."""
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def has(text: str, name: str) -> bool:
    """Whether a table has a name, in one cell or in the lines of one."""
    lines = [re.split("[│┃]", line) for line in text.splitlines()]
    for start in range(len(lines)):
        cell = ""
        for line in lines[start:]:
            cell += "".join((line[1] if len(line) > 1 else line[0][:16]).split())
            if cell == "".join(name.split()):
                return True
    return "".join(name.split()) in "".join(text.split())


def test_compile_writes_them(layers: list[str]) -> None:
    printed("compile", "net.onnx", "--preset", "tiny", "-o", "out")
    plan = json.loads(Path("out/plan.json").read_text())
    assert set(layers) <= {layer["name"] for layer in plan["layers"]}
    rows = [line for line in Path("out/plan.md").read_text().splitlines() if line.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


def test_compare_prints_them(layers: list[str]) -> None:
    text = printed("compare", "net.onnx")
    assert all(has(text, name) for name in layers), text


def test_compress_says_them(layers: list[str]) -> None:
    text = printed("compress", "float.onnx", "--recipe", "w4a8", "--data", DATA, "-o", "out.onnx", "--preset", "base")
    assert "equalize: " in text
    plan = json.loads(Path("out.plan.json").read_text())
    assert all(json.dumps(name) in json.dumps(plan) for name in layers)


def test_sensitivity_prints_and_draws_them(layers: list[str]) -> None:
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed (hwgen[report])")
    text = printed("sensitivity", "float.onnx", "--data", DATA, "-o", "s.json", "--samples", 64, "--curves", "bits",
                   "--plot", "s.svg")  # fmt: skip
    assert all(has(text, name) for name in layers), text
    drawn = html.unescape(Path("s.svg").read_text())  # Matplotlib names the text of each group of shapes in a comment
    for name in layers:
        assert all(f"<!-- {line} -->" in drawn for line in wrapped(name, 60).splitlines() if "--" not in line)


def test_errors_say_them(layers: list[str]) -> None:
    Path("r.toml").write_text('[[step]]\nname = "svd"\nlayers = ["[/b] [bold] <b> :smile: $1$"]\nrank = 1\n'
                            '[[step]]\nname = "quantize"\n')  # fmt: skip
    arguments = ["compress", "float.onnx", "--recipe", "r.toml", "--data", str(DATA), "-o", "o.onnx"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2 and "[/b] [bold] <b> :smile: $1$" in done.stderr, done.output


class Cells(HTMLParser):
    """Collects the first cell of every row."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


@pytest.mark.slow
def test_verify_and_its_page_have_them(layers: list[str]) -> None:
    pytest.importorskip("cocotb_tools", reason="cocotb is not installed (hwgen[sim])")
    pytest.importorskip("matplotlib", reason="Matplotlib is not installed (hwgen[report])")
    if shutil.which("iverilog") is None:
        pytest.skip("Icarus Verilog is not installed")
    from hwgen.report.page import page

    text = printed("verify", "net.onnx", "--preset", "tiny", "--sim", "icarus", "--layers", "--json", "v.json")
    assert all(has(text, name) for name in layers), text
    found = Cells()
    found.feed(page(json.loads(Path("v.json").read_text())))
    for name in layers:
        assert any(cell.startswith(name) for cell in found.cells), name
    assert "b" not in found.tags
