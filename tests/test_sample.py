"""The committed sample is what the generator makes today."""

from __future__ import annotations

import difflib
import json
from pathlib import Path

from hwgen.emit import generate
from hwgen.presets import preset

SAMPLE = Path(__file__).resolve().parents[1] / "rtl" / "sample_tiny"


def test_sample_is_up_to_date() -> None:
    made = generate(preset("tiny"))
    assert sorted(p.name for p in SAMPLE.iterdir()) == sorted(made), "run `make sample`"
    for name, text in made.items():
        old = (SAMPLE / name).read_text(encoding="utf-8")
        changes = list(
            difflib.unified_diff(old.splitlines(), text.splitlines(), "committed", "generated", n=1, lineterm="")
        )
        assert old == text, f"{name} differs, run `make sample`:\n" + "\n".join(changes[:20])


def test_generation_is_repeatable() -> None:
    first, second = (generate(preset("tiny")) for _ in range(2))
    assert first == second


def test_the_hash_of_the_manifest_depends_on_the_config() -> None:
    hashes = {json.loads(generate(preset("tiny").replace(queue=q))["manifest.json"])["hash"] for q in (8, 16)}
    assert len(hashes) == 2
