"""The grid of lanes against NumPy, on both simulators."""

from __future__ import annotations

import json

import pytest

from hwgen.config import Config
from hwgen.hardware.grid import Grid
from hwgen.hardware.lane import lane_verilog
from hwgen.hardware.skipping_grid import build_grid
from hwgen.hardware.verilog import convert
from hwgen.presets import preset
from hwgen.sim.runner import run_bench
from tests.collisions import spoil

SMALL = Config(name="grid", rows=2, columns=2, wmem_words=32, amem_words=32, segments=16, acc_vectors=16)
SKIP = SMALL.replace(wmem_words=64, amem_words=64)
CONFIGS = {
    "base": SMALL,
    "one": SMALL.replace(rows=1, columns=1, vector=1, mappings=("channel", "depthwise"), post_width=1),
    "vector2": SMALL.replace(vector=2, mappings=("channel", "depthwise"), acc_bits=20, post_width=4, segments=4),
    "vector16": SMALL.replace(
        vector=16, post_width=16, columns=1, amem_words=16, operators=(), axi_bits=128, acc_vectors=32),
    "narrow": SMALL.replace(
        weight_bits=3, act_bits=5, mappings=("channel", "pixel"), operators=("add",), acc_bits=16, wmem_words=64),
    "zero_point": SMALL.replace(weight_bits=9, rows=4, columns=1, axi_bits=128),
    "zero_point_skip": SKIP.replace(weight_bits=9, skip="both"),
    "buses": SMALL.replace(rows=4, columns=1, axi_bits=256, mappings=("channel",), operators=(), segments=5),
    "pipes": SMALL.replace(rows=1, columns=4, post_width=16),
    "gate": SMALL.replace(gate=True, rows=1),
    "both": SKIP.replace(skip="both"),
    "weight": SKIP.replace(skip="weight"),
    "activation": SKIP.replace(skip="activation", rows=1),
    "fine": SKIP.replace(skip="both", vector=1, mappings=("channel", "depthwise"), post_width=1),
    "block": SKIP.replace(skip="both", vector=16, post_width=16, columns=1, axi_bits=128),
}


def run_grid(config: Config, simulator: str = "icarus", lane: str | None = None, test: str | None = None) -> int:
    """Run the bench, or one test of it, on a grid; returns the number of tests."""
    sources = {"grid.v": convert(build_grid(config), "hwgen_grid"), "lane.v": lane or lane_verilog(config)}
    return run_bench("hwgen_grid", sources, "hwgen.sim.bench_grid", simulator=simulator,
                     env={"HWGEN_CONFIG": json.dumps(config.to_dict())}, testcase=test).tests


@pytest.mark.parametrize("name", CONFIGS)
def test_grid_icarus(name: str) -> None:
    assert run_grid(CONFIGS[name]) == 5


@pytest.mark.parametrize("name", ["base", "both", "fine"])
def test_grid_undefined_collisions(name: str) -> None:
    """Bits of zeros too are never read while they are written."""
    config = CONFIGS[name]
    assert run_grid(config, lane=spoil(lane_verilog(config))) == 5


@pytest.mark.parametrize("name", ["base-sparse", "sparse-fine", "sparse-block"])
def test_corners_of_skipping_presets(name: str) -> None:
    """One lane with the whole memories of a preset: rows of empty windows longer than any queue."""
    config = preset(name)
    config = config.replace(rows=1, columns=1, post_width=config.vector, acc_vectors=16)
    assert run_grid(config, test="corners") == 1


def test_grid_verilator() -> None:
    assert run_grid(CONFIGS["base"], "verilator") == 5


def test_text_is_deterministic_and_flat() -> None:
    """One lane module whatever the size; the text of the grid grows by instances only."""
    base, huge = preset("base"), preset("huge")
    assert lane_verilog(base) == lane_verilog(base)
    assert lane_verilog(base) == lane_verilog(base.replace(rows=8, columns=4))
    texts = [convert(Grid(c), "hwgen_grid") for c in (base, base, huge)]
    assert texts[0] == texts[1]
    assert len(texts[2]) - len(texts[0]) < 6000 * (128 - 8)
    assert texts[2].count("hwgen_lane ") == 128
