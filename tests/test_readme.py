"""What README.md says is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from hwgen.model import onnx_check, tflite_preflight
from hwgen.presets import PRESETS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Cells of the table under a heading, without its head."""
    section = TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_operators_are_read() -> None:
    for _, of_tflite, of_onnx in rows("Operators"):
        assert set(re.findall(r"\b[A-Z][A-Z0-9_]{2,}\b", of_tflite)) <= set(tflite_preflight.SUPPORTED)
        assert set(re.findall(r"\b[A-Z][a-z]+[A-Za-z]*\b", of_onnx)) <= set(onnx_check.SUPPORTED)


def test_extras_are_those_of_the_package() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = {cell.strip("`") for cell, _ in rows("Install what you need")} - {"none"}
    assert named <= set(extras) and {"all", "verify"} <= named


def test_presets_are_named() -> None:
    (row,) = [cells for cells in rows("Commands") if cells[0] == "`hwgen presets`"]
    assert all(f"`{name}`" in row[1] for name in PRESETS)


def test_links_lead_somewhere() -> None:
    assert all((ROOT / link).exists() for link in re.findall(r"\]\((?!http)([^)#]+)", TEXT))
