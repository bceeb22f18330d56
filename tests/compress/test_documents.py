"""docs/compression.md names every technique with its family and every parameter, and no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from hwgen.compress.technique import techniques

TEXT = (Path(__file__).resolve().parents[2] / "docs/compression.md").read_text(encoding="utf-8")


def test_techniques_and_families() -> None:
    (table,) = re.findall(r"^\| step \| family .*?\n\n", TEXT, re.M | re.S)
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.M)
    assert dict(rows) == {name: cls.family for name, cls in techniques().items()}


def test_parameters() -> None:
    (table,) = re.findall(r"^\| step \| parameter .*?\n\n", TEXT, re.M | re.S)
    found: dict[str, list[str]] = {}
    step = ""
    for line in table.strip().splitlines()[2:]:
        cells = [cell.strip() for cell in line.split("|")]
        step = cells[1].strip("`") or step
        found.setdefault(step, []).extend(re.findall(r"`(\w+)`", cells[2]))
    expected = {name: [f.name for f in fields(cls)] for name, cls in techniques().items() if fields(cls)}
    assert {name: sorted(names) for name, names in found.items()} == {n: sorted(v) for n, v in expected.items()}
