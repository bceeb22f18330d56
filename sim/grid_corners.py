"""Operands whose zeros are where skipping could go wrong, and jobs that walk over all of them."""

from __future__ import annotations

import numpy as np

from hwgen.config import Config
from hwgen.derive import SKIP_WINDOW, Derived
from hwgen.isa import Mode
from hwgen.sim.grid_model import Job, all_lanes

PAIRS = (("none", "all"), ("none", "none"), ("all", "none"), ("all", "all"), ("one", "all"), ("one", "one"),
         ("all", "one"), ("windows", "words"), ("words", "windows"), ("ends", "ends"), ("all", "ends"),
         ("column", "all"))
"""Patterns of weights and of activations, `pattern`; one of them at a time changes."""


def pattern(name: str, count: int, vector: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``count`` operands of ``bits`` bits.

    ``none`` and ``all`` of them are not zero, or exactly ``one``, every second of the ``words`` of 8 or of the
    ``windows``, the first and the last (``ends``), all but the first of each vector (``column``: a channel without
    weights).
    """
    at = np.arange(count)
    there = {
        "none": at < 0, "all": at >= 0, "one": at == rng.integers(count), "words": at // 8 % 2 == 1,
        "windows": at // SKIP_WINDOW % 2 == 1, "ends": (at == 0) | (at == count - 1),
        "column": at % vector != 0}[name]
    values = rng.integers(1, 1 << bits - 1, count) * rng.choice([-1, 1], count)
    return values * there


def jobs(config: Config, rng: np.random.Generator) -> list[Job]:
    """Return, for every mapping, a segment as long as the memories and, accumulated, many short ones of odd lengths."""
    d, found = Derived(config), []
    for mode in (m for m in Mode if m.name.lower() in config.mappings):
        v_words, s_words = config.wmem_words, config.amem_words
        if mode is Mode.PIXEL:
            v_words, s_words = s_words, v_words
        v_units = v_words * d.vectors_per_word
        s_units = s_words * (d.vectors_per_word if mode is Mode.DEPTHWISE else d.word)
        longest = min(v_units, s_units, 1024)
        lengths = [n for n in (1, 31, 32, 33, 2, 37, 7, 64, 61, 3) if n < longest][:config.segments]
        for accumulate, sizes in ((0, [longest]), (1, lengths)):
            # From the end of one memory and from the middle of a window of the other: they wrap around.
            starts = [(int(rng.integers(s_units)), int(rng.integers(v_units)), n) for n in sizes]
            run = {"mode": int(mode), "max": 0, "accumulate": accumulate, "rounds": 2, "seg_first": 0,
                   "seg_count": len(sizes), "v_base": 0, "s_base": 0, "s_step": 1, "acc_base": 3, "lanes": 1}
            base = {"nx": 1, "dx": 1, "dy": int(rng.integers(s_units))} | all_lanes()
            found.append(Job(run, base, dict(enumerate(starts))))
    return found
