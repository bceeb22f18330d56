"""What lanes that skip walk and leave out: counted at once, and position by position."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from hwgen.config import Config
from hwgen.derive import SKIP_WINDOW
from hwgen.errors import HwgenError
from hwgen.golden.machine import Machine
from hwgen.golden.machine_state import State
from hwgen.golden.machine_zeros import Zeros
from hwgen.isa import Command
from tests.golden.test_machine_random import SMALL, draw, prefix

MEMORIES = SMALL | {"wmem_words": 64}
# Few bits: many zeros.
CONFIGS = {
    skip: Config(rows=2, columns=2, vector=p, skip=skip, weight_bits=2, act_bits=2, post_width=2 * p, **MEMORIES)
    for skip, p in (("weight", 8), ("activation", 8), ("both", 8))
} | {"fine": Config(rows=2, columns=2, vector=1, skip="both", weight_bits=2, act_bits=2, post_width=2,
                    mappings=("channel", "depthwise"), **MEMORIES)}  # fmt: skip


def one_by_one(s: State, a: dict[str, int]) -> tuple[np.ndarray, Zeros]:
    """Walk every position of the lanes that have work."""
    c, b, p = s.config, s.register("BASE"), s.config.vector
    walked, total = np.zeros((c.rows, c.columns), np.int64), Zeros()
    for column in range(c.columns):
        for row in range(c.rows):
            if column % (1 << b["log2_cc"]) >= b["column_groups"] or row % (1 << b["log2_rc"]) >= b["row_groups"]:
                continue
            w, x = s.wmem[column, row].reshape(-1), s.amem[column, row].reshape(-1)
            v_from, s_from = (x, w) if a["mode"] == 1 else (w, x)
            base = 0
            for t in range(a["rounds"]):
                found = 0
                for g in range(a["seg_first"], a["seg_first"] + a["seg_count"]):
                    segment, windows = s.register("SEGMENT", g), {}
                    for i in range(segment["length"]):
                        v = a["v_base"] + segment["v_start"] + i
                        at = (a["s_base"] + base + segment["s_offset"] + i * a["s_step"]) % 65536
                        vector = v_from[v * p:(v + 1) * p].any()
                        streamed = x[at * p:(at + 1) * p].any() if a["mode"] == 2 else s_from[at] != 0
                        weight, act = (streamed, vector) if a["mode"] == 1 else (vector, streamed)
                        weight = bool(weight) or c.skip == "activation"
                        act = bool(act) or c.skip == "weight"
                        if a["s_step"] != 1 or a["max"]:
                            weight = act = True
                            window = i // SKIP_WINDOW
                        else:
                            window = at // SKIP_WINDOW
                        windows[window] = windows.get(window, False) or (weight and act)
                        found += weight and act
                        total += Zeros(weight and act, act and not weight, weight and not act, not (weight or act))
                    total += Zeros(windows=len(windows), empty=sum(not some for some in windows.values()))
                walked[row, column] += max(found, 1)
                total += Zeros(blank=int(found == 0))
                base += b["dy"] if (t + 1) % b["nx"] == 0 else b["dx"]
    return walked, total


@pytest.mark.parametrize("key", CONFIGS)
def test_counts(key: str) -> None:
    c = CONFIGS[key]
    ran = skipped = 0
    for seed in range(400):
        rng = random.Random(f"{key}{seed}")
        dram = np.random.default_rng(seed).integers(0, 256, 4096).astype(np.uint8)
        *settings, command = draw(rng, c, "RUN")
        if seed % 4:
            command = replace(command, args=command.args | {"s_step": 1, "max": 0})
        commands = [*prefix(c), *settings, command, Command("END", {})]
        try:
            got = Machine(c, poison=seed).run(commands, dram)
        except HwgenError:
            continue
        work = got.work[-2]
        walked, zeros = one_by_one(got.state, commands[-2].args)
        assert work.zeros == zeros and np.array_equal(work.walked, walked), f"seed {seed}: {commands[-2]}"
        assert zeros.walked == walked.sum()
        ran, skipped = ran + 1, skipped + (zeros.effectual < zeros.positions)
        if ran == 25:
            break
    assert ran >= 15 and skipped >= 5, (ran, skipped)
