"""At published densities the rules give what papers state, and the document says what they give."""

from __future__ import annotations

from pathlib import Path

from hwgen.schemes import published

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/compare.md"


def test_the_rules_land_where_the_papers_do() -> None:
    table = published.table()
    assert "MISSED" not in table
    assert table in DOCUMENT.read_text()
