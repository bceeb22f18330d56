"""The sequencer at several bus widths and queue depths."""

from __future__ import annotations

import json

import pytest

from hwgen.config import Config
from hwgen.hardware.sequencer import Sequencer
from hwgen.hardware.verilog import convert
from hwgen.sim.runner import run_bench

TINY = Config(
    name="one-lane", rows=1, columns=1, wmem_words=256, amem_words=256, acc_vectors=64, act_kib=16, weight_kib=8,
    param_kib=1, axi_bits=32, outstanding=2, queue=8,
)  # fmt: skip
CONFIGS = {
    "axi32": TINY,
    "axi64-queue5": TINY.replace(axi_bits=64, queue=5),
    "axi128-no-add": TINY.replace(axi_bits=128, rows=2, queue=64, operators=("max_pool",)),
    "axi256-queue4": TINY.replace(axi_bits=256, rows=4, queue=4),
    "compressed": TINY.replace(axi_bits=64, weight_formats=("packed", "bitmap"), compress_maps=True),
}


def run_sequencer(config: Config, simulator: str) -> int:
    return run_bench(
        "sequencer",
        convert(Sequencer(config), "sequencer"),
        "hwgen.sim.bench_sequencer",
        simulator=simulator,
        env={"HWGEN_CONFIG": json.dumps(config.to_dict())},
    ).tests


@pytest.mark.parametrize("name", CONFIGS)
def test_sequencer_icarus(name: str) -> None:
    assert run_sequencer(CONFIGS[name], "icarus") == 9


def test_sequencer_verilator() -> None:
    assert run_sequencer(CONFIGS["axi64-queue5"], "verilator") == 9
