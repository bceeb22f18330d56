"""Compiled programs on lanes whose memories answer wrongly to a read of a word that is written in the same cycle."""

from __future__ import annotations

import pytest

from hwgen import emit
from hwgen.emit import generate
from hwgen.hardware.lane import LANE_MODULE, lane_verilog
from tests import random_networks
from tests.collisions import spoil
from tests.random_networks import CONFIGS, check_rtl, compiled

TIGHT = {
    # Memories that are nearly always full, so that a tile is fetched right behind the one that is walked.
    name: CONFIGS[name].replace(name=f"tight_{name}", wmem_words=128, amem_words=128, acc_vectors=64, segments=16)
    for name in ("skip_both", "skip_fine", "skip_block")}


@pytest.mark.slow
@pytest.mark.parametrize("name", TIGHT)
def test_programs_never_read_what_is_being_written(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero bits too: they share words, which the compiler keeps apart (`Derived.bits_words`)."""
    config = TIGHT[name]
    spoilt = spoil(lane_verilog(config), unknown=False)
    monkeypatch.setattr(emit, "lane_verilog", lambda _: spoilt)
    text = generate(config)
    assert text[f"{LANE_MODULE}.v"].count(" ? ~") >= spoilt.count(" ? ~") > 0
    monkeypatch.setattr(random_networks, "verilog", lambda _: text)
    for seed in range(3):
        check_rtl(seed, *compiled(seed, config), "verilator")
