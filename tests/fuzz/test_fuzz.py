"""Changed files: each is refused with one clear message, or means to the tool what it means to its own runtime."""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hwgen.presets import preset
from tests.dialects.onnx_writers import Nncf, Pt2e, Qcdq, Qonnx, by_hand
from tests.fuzz import onnx_mutations, tflite_mutations
from tests.fuzz.oracles import case
from tests.fuzz.processes import FAULTS, outcome
from tests.model.onnx_cases import CASES as ONNX_CASES
from tests.model.onnx_networks import quantise
from tests.model.tflite_cases import CASES as TFLITE_CASES
from tests.tflite_builder import TfliteBuilder

pytest.importorskip("tflite_micro")

Make = Callable[[random.Random, Path], tuple[Path, str]]
"""Writes a changed file into a folder and says what was changed."""


def onnx_seeds(folder: Path) -> list[tuple[str, bytes]]:
    """Small quantised networks as exporters write them."""
    found = []
    for i, make in enumerate(ONNX_CASES):
        rng = np.random.default_rng(i)
        path, _ = quantise(*make(rng), folder, unsigned=bool(i % 2), per_channel=i % 3 != 0)
        found.append((make.__name__, path.read_bytes()))
    for writer in (Nncf, Pt2e, Qcdq, Qonnx):
        found += [(f"{writer.__name__} {seed}", by_hand(writer, seed, folder).read_bytes()) for seed in range(6)]
    return found


def tflite_seeds() -> list[tuple[str, TfliteBuilder, list[int], list[int]]]:
    """Every operator's small network."""
    found = []
    for i, (name, make) in enumerate(TFLITE_CASES.items()):
        builder = TfliteBuilder()
        entry, end = make(builder, np.random.default_rng(i))
        found.append((name, builder, [entry], [end]))
    return found


def onnx_maker(folder: Path) -> Make:
    seeds = onnx_seeds(folder)

    def make(random_: random.Random, target: Path) -> tuple[Path, str]:
        name, data = random_.choice(seeds)
        changed, what = onnx_mutations.mutated(data, random_)
        path = target / "net.onnx"
        path.write_bytes(changed)
        return path, f"{name}: {what}"

    return make


def tflite_maker(folder: Path) -> Make:
    seeds = tflite_seeds()

    def make(random_: random.Random, target: Path) -> tuple[Path, str]:
        name, builder, entries, ends = random_.choice(seeds)
        path = target / "net.tflite"
        if random_.random() < 0.7:
            changed, what = tflite_mutations.mutated(builder, random_)
            changed.save(path, entries, ends)
        else:
            builder.save(path, entries, ends)
            data, what = tflite_mutations.mutated_bytes(path.read_bytes(), random_)
            path.write_bytes(data)
        return path, f"{name}: {what}"

    return make


MAKERS = {"onnx": onnx_maker, "tflite": tflite_maker}


def fuzz(kind: str, seed: int, cases: int, folder: Path) -> Counter[str]:
    """Run cases; returns how they ended, fails with the first of every kind of fault and the file that shows it."""
    make, config = MAKERS[kind](folder), preset("tiny")
    counts: Counter[str] = Counter()
    faults: dict[str, str] = {}
    for number in range(cases):
        random_ = random.Random(f"{kind} {seed} {number}")
        try:
            path, what = make(random_, folder)
        except (OverflowError, TypeError, ValueError, LookupError, AttributeError, struct.error):
            counts["not written"] += 1  # no such file can be written
            continue
        found = outcome(case(path, config, number))
        counts[found.kind] += 1
        if found.kind in FAULTS:
            place = f"{found.kind} while {found.stage}: {found.text[:60]}"
            if place not in faults:
                kept = path.rename(folder / f"fault-{len(faults)}{path.suffix}")
                faults[place] = f"seed {seed}, case {number}: {found}\n    {what}\n    {kept}"
    print(f"{kind}, seed {seed}: {dict(counts)}")
    assert not faults, f"{sum(counts[k] for k in FAULTS)} faults\n" + "\n".join(faults.values())
    return counts


@pytest.mark.parametrize("kind", MAKERS)
def test_a_few(kind: str, tmp_path: Path) -> None:
    counts = fuzz(kind, 1, 40, tmp_path)
    assert counts["refused"] and counts["equal"], counts


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 110))
@pytest.mark.parametrize("kind", MAKERS)
def test_many(kind: str, seed: int, tmp_path: Path) -> None:
    fuzz(kind, seed, 500, tmp_path)
