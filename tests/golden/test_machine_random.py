"""Random commands of every unit: the vectorised machine and the walking one end with the same memories."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from hwgen.config import Config
from hwgen.errors import HwgenError
from hwgen.golden.machine import Machine, MachineResult
from hwgen.golden.machine_state import State
from hwgen.isa import Command
from hwgen.sim.grid_model import all_lanes
from tests.golden.naive_machine import COMMANDS

SMALL: dict[str, Any] = {
    "wmem_words": 32,
    "amem_words": 64,
    "acc_vectors": 32,
    "act_kib": 4,
    "weight_kib": 4,
    "param_kib": 2,
}
CONFIGS = {
    "P8": Config(rows=4, columns=2, **SMALL),
    "P4": Config(rows=4, columns=4, vector=4, mappings=("channel", "depthwise"), post_width=8, axi_bits=128, **SMALL),
    "P16": Config(rows=2, columns=4, vector=16, post_width=32, axi_bits=256, acc_bits=24, **SMALL),
    "narrow": Config(
        rows=8, columns=4, vector=8, post_width=32, weight_bits=4, act_bits=5, acc_bits=16, axi_bits=256, **SMALL
    ),
    "zero_point": Config(rows=4, columns=2, weight_bits=9, act_bits=8, acc_bits=18, **SMALL),
}


def draw_nest(rng: random.Random, levels: range, counts: dict[int, int], **ranges: int) -> list[dict[str, int]]:
    return [
        {
            "level": i,
            "count": counts.get(i, rng.choice([1, 1, 2, 3])),
            **{k: rng.randint(-v, v) for k, v in ranges.items()},
        }
        for i in levels
    ]


def draw(rng: random.Random, c: Config, name: str) -> list[Command]:
    """One action command with its settings; addresses are mostly, not always, legal."""
    rows, columns = c.rows.bit_length() - 1, c.columns.bit_length() - 1
    if name == "WFETCH":
        log2_rc, log2_cc = rng.randint(0, rows), rng.randint(0, columns)
        most = max(1, (1 << log2_rc) // max(1, c.axi_bits // 8 // max(8, c.vector))) << log2_cc
        zero = [Command("WF_ZERO", {"zero_point": rng.randint(-128, 127)})] if c.weight_bits == 9 else []
        return [
            *zero,
            Command(
                name,
                {
                    "src": rng.randint(0, 20),
                    "count": rng.randint(1, 5),
                    "dst": rng.randint(0, 25),
                    "groups": rng.randint(1, most),
                    "log2_rc": log2_rc,
                    "log2_cc": log2_cc,
                },
            )
        ]
    if name == "AFETCH":
        transpose = rng.randint(0, 1) if "pixel" in c.mappings else 0
        rp_count = rng.choice([1, 1, 2])
        counts = {
            0: rp_count,
            1: 1 if rp_count > 1 else rng.choice([1, 2]),
            6: c.vector if transpose else rng.randint(1, 4),
        }
        out = [Command("AF_LEVEL", v) for v in draw_nest(rng, range(7), counts, dy=2, dx=2, da=6)]
        out.append(
            Command(
                "AF_MAP",
                {
                    "height": rng.randint(1, 9),
                    "width": rng.randint(1, 9),
                    "zero_point": rng.randint(-256, 255),
                    "fill": rng.randint(-9, 9),
                    "transpose": transpose,
                    "rows_len": rng.randint(1, c.rows // 2),
                    "rp_step": rng.randint(0, c.rows // 2),
                    "cols": rng.randint(1, c.columns),
                },
            )
        )
        out.append(
            Command(
                "AF_COL",
                {
                    "log2_cc": rng.randint(0, columns),
                    "dy": rng.randint(-1, 2),
                    "dx": rng.randint(-1, 2),
                    "da": rng.randint(-9, 9),
                    "cc_da": rng.randint(-9, 9),
                },
            )
        )
        return [
            *out,
            Command(
                name,
                {
                    "y0": rng.randint(-1, 6),
                    "x0": rng.randint(-1, 6),
                    "a0": rng.randint(60, 140),
                    "dst": rng.randint(0, 8),
                },
            ),
        ]
    if name == "RUN":
        mode = rng.choice([("channel", 0), ("pixel", 1), ("depthwise", 2)])
        out = [
            Command(
                "SEGMENT",
                {
                    "index": i,
                    "s_offset": rng.choice([rng.randint(0, 30), 2**16 - rng.randint(1, 9)]),
                    "v_start": rng.randint(0, 6),
                    "length": rng.randint(1, 6),
                },
            )
            for i in range(4)
        ]
        steps = {"nx": rng.randint(1, 4), "dx": rng.randint(-2, 6), "dy": rng.randint(-6, 9)}
        out.append(Command("BASE", steps | all_lanes()))
        first = rng.randint(0, 3)
        return [
            *out,
            Command(
                name,
                {
                    "mode": mode[1],
                    **rng.choice([{"max": 1, "accumulate": 0}, *({"max": 0, "accumulate": a} for a in (0, 1))]),
                    "rounds": rng.randint(1, 9),
                    "seg_first": first,
                    "seg_count": rng.randint(1, 4 - first),
                    "v_base": rng.randint(0, 20),
                    "s_base": rng.randint(9, 24),
                    "s_step": rng.randint(0, 3),
                    "acc_base": rng.randint(0, 24),
                    "lanes": c.rows * c.columns,
                },
            ),
        ]
    scalar = Command(
        "PO_SCALAR",
        {
            "bias": rng.randint(-(2**31), 2**31 - 1) >> rng.randint(0, 31),
            "multiplier": rng.randint(0, 2**32 - 1),
            "shift": rng.choice([rng.randint(0, 39), rng.randint(31, 37)]),  # the second: results of every size
        },
    )
    quant = {
        "height": rng.randint(12, 60),
        "width": rng.randint(12, 60),
        "zero_point": rng.randint(-128, 127),
        "qmin": rng.randint(-128, -90),
        "qmax": rng.randint(90, 127),
        "nudge": rng.randint(0, 1),
        "final": rng.randint(0, 2),
        "scalar": 1,
        "transpose": 0,
        "log2_rc": 0,
        "log2_cc": 0,
        "cc_valid": 0,
    }
    mask = rng.choice([(1 << c.vector) - 1, rng.getrandbits(c.vector)])
    if name == "ELTWISE":
        out = [Command("PO_LEVEL", {**v, "dp": 0}) for v in draw_nest(rng, range(4, 7), {}, dy=0, dx=0, da=9)]
        out += [Command("PO_SOURCE", {"level": i, "ds": rng.randint(-9, 9)}) for i in (4, 5, 6)]
        out.append(
            Command(
                "PO_ADD",
                {
                    "zp_a": rng.randint(-128, 127),
                    "zp_b": rng.randint(-128, 127),
                    "add": rng.randint(0, 1),
                    "multiplier_b": rng.randint(0, 2**31 - 1),
                    "shift_b": rng.randint(0, 20),
                },
            )
        )
        return [
            *out,
            scalar,
            Command("PO_QUANT", quant),
            Command(name, {k: rng.randint(60, 150) for k in ("a", "b", "out")} | {"mask": mask}),
        ]
    pipes = c.post_width // c.vector
    log2_rc, log2_cc = rng.randint(0, rows), rng.choice([0, *(i for i in range(1, columns + 1) if 1 << i >= pipes)])
    transpose = rng.randint(0, 1) if "pixel" in c.mappings else 0
    counts = {
        0: max(1, (1 << log2_cc) // pipes),
        1: rng.randint(1, 1 << log2_rc),
        2: rng.randint(1, max(1, c.columns // max(pipes, 1 << log2_cc))),
        3: rng.randint(1, c.rows >> log2_rc),
    }
    if transpose:
        counts |= {4: rng.choice([1, 2]) if c.vector == 8 else 1, 5: rng.choice([1, 2, 4])}
        counts[6] = c.vector // counts[5]
    quant |= {
        "transpose": transpose,
        "log2_rc": log2_rc,
        "log2_cc": log2_cc,
        "cc_valid": rng.randint(1, c.columns),
        "scalar": rng.randint(0, 1),
    }
    nest = draw_nest(rng, range(7), counts, dy=2, dx=2, da=9)
    out = [Command("PO_LEVEL", {**v, "dp": rng.randint(-1, 3) if v["level"] < 4 + transpose else 0}) for v in nest]
    if not quant["scalar"]:  # blocks as the compiler makes them, shifts in range, whatever the address
        rows_of = range(0, c.param_kib * 1024 * 8 // max(c.axi_bits, 64), 4)
        out += [Command("LOAD", {"dram": 0, "buffer": 2, "dst": i, "count": 4}) for i in rows_of]
    out.append(
        Command(
            "PO_PIPE",
            {"dy": rng.randint(-1, 1), "dx": rng.randint(-1, 1), "da": rng.randint(-9, 9), "dp": rng.randint(-1, 2)},
        )
    )
    return [
        *out,
        scalar,
        Command("PO_QUANT", quant),
        Command(
            name,
            {
                "y0": rng.randint(4, 30),
                "x0": rng.randint(4, 30),
                "a0": rng.randint(200, 300),
                "param": rng.randint(8, 20),
                "acc_base": rng.randint(0, 9),
                "mask": mask,
            },
        ),
    ]


def prefix(c: Config) -> list[Command]:
    """Known contents: activation and weight buffer from DRAM."""
    word = max(c.axi_bits // 8, 8, c.vector)
    return [Command("LOAD", {"dram": 0, "buffer": buffer, "dst": 0, "count": 4096 // word}) for buffer in (0, 1)]


def same(got: MachineResult, s: State) -> bool:
    return all(np.array_equal(getattr(got.state, k), getattr(s, k)) for k in ("act", "wmem", "amem", "acc"))


@pytest.mark.parametrize("name", sorted(COMMANDS))
@pytest.mark.parametrize("key", CONFIGS)
def test_one_command(key: str, name: str) -> None:
    c = CONFIGS[key]
    ran = 0
    for seed in range(400):
        rng = random.Random(f"{key}{name}{seed}")
        # Bytes below 40: any of them is a legal shift of a parameter block.
        dram = np.random.default_rng(seed).integers(0, 40 if name == "DRAIN" else 256, 4096).astype(np.uint8)
        commands = prefix(c) + draw(rng, c, name)
        end = [Command("END", {})]
        try:
            got = Machine(c, poison=seed).run(commands + end, dram)
        except HwgenError:
            continue
        state = Machine(c, poison=seed).run(commands[:-1] + end, dram).state
        COMMANDS[name](state, commands[-1].args)
        assert same(got, state), f"seed {seed}: {commands[-1]}"
        ran += 1
        if ran == 25:
            break
    assert ran >= 15, f"only {ran} of 400 random commands were legal"
