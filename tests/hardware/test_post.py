"""POST and its requantiser against the golden machine and exact integers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hwgen.config import Config
from hwgen.hardware.post import Post
from hwgen.hardware.requantise import REQUANTISE_MODULE, requantiser_verilog
from hwgen.hardware.verilog import convert
from hwgen.sim.runner import run_bench

SMALL: dict[str, Any] = {
    "wmem_words": 32,
    "amem_words": 64,
    "acc_vectors": 64,
    "act_kib": 4,
    "weight_kib": 4,
    "param_kib": 2,
}
CONFIGS = {
    "base": Config(**SMALL),
    "pipes": Config(rows=4, columns=4, post_width=16, axi_bits=128, **SMALL),
    "vector4": Config(
        rows=4, columns=4, vector=4, mappings=("channel", "depthwise"), post_width=8, axi_bits=32, **SMALL
    ),
    "vector16": Config(rows=2, columns=4, vector=16, post_width=32, axi_bits=256, acc_bits=24, **SMALL),
    "least": Config(
        rows=2, columns=2, vector=1, mappings=("channel",), operators=(), post_width=1, acc_bits=20, **SMALL
    ),
}


def post_sources(config: Config) -> dict[str, str]:
    """Return file name -> Verilog of POST alone."""
    return {"hwgen_post.v": convert(Post(config), "hwgen_post"),
            f"{REQUANTISE_MODULE}.v": requantiser_verilog()}


def run_post(config: Config, simulator: str = "icarus") -> int:
    """Run both benches on POST; returns the number of tests."""
    sources, env = post_sources(config), {"HWGEN_CONFIG": json.dumps(config.to_dict())}
    return sum(run_bench("hwgen_post", sources, f"hwgen.sim.{bench}", simulator=simulator, env=env).tests
               for bench in ("bench_post", "bench_post_checks"))


@pytest.mark.parametrize("name", CONFIGS)
def test_post_icarus(name: str) -> None:
    assert run_post(CONFIGS[name]) == 5


def test_post_verilator() -> None:
    assert run_post(CONFIGS["pipes"], "verilator") == 5


@pytest.mark.parametrize("simulator", ["icarus", "verilator"])
def test_requantiser(simulator: str) -> None:
    sources = {f"{REQUANTISE_MODULE}.v": requantiser_verilog()}
    assert run_bench(REQUANTISE_MODULE, sources, "hwgen.sim.bench_requantise", simulator=simulator).tests == 1


def test_deterministic() -> None:
    assert post_sources(CONFIGS["pipes"]) == post_sources(CONFIGS["pipes"])
