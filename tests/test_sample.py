"""The committed sample is what the generator makes today."""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path

import pytest

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


def test_the_manifest_has_the_hash_of_every_file() -> None:
    manifest = json.loads((SAMPLE / "manifest.json").read_text(encoding="utf-8"))
    hashes = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in SAMPLE.iterdir() if p.name != "manifest.json"}
    assert manifest["files"] == hashes
    assert manifest["config"] == preset("tiny").to_dict()


@pytest.mark.slow
def test_generation_is_repeatable_in_one_process() -> None:
    first, second = (generate(preset("small")) for _ in range(2))
    assert first == second
