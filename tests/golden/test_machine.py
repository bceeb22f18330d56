"""Whole layers as hand-written streams on the golden machine, against direct loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.config import Config
from hwgen.golden.fixedpoint import add_rule, requantize
from hwgen.golden.machine import Machine
from hwgen.golden.machine_grid import run
from hwgen.golden.machine_state import PostInfo, State
from hwgen.isa import Command
from hwgen.model.graph import Add, Requant
from tests.golden.machine_program import Program

OUT = 256
"""Activation word where results go."""

VARIANTS: dict[str, dict[str, Any]] = {
    "P4": {"vector": 4, "post_width": 8, "mappings": ("channel", "depthwise")},
    "P8": {"vector": 8, "post_width": 8},
    "P8-two-pipes-two-buses": {"vector": 8, "post_width": 16, "axi_bits": 128},
    "P16": {"vector": 16, "post_width": 32, "axi_bits": 256},
}


def make(key: str, **more: int) -> Config:
    return Config(rows=2, columns=2, act_kib=16, **{**VARIANTS[key], **more})


def requant(rng: np.random.Generator, channels: int, zero_point: int = -5) -> Requant:
    return Requant(rng.integers(2**30, 2**31, channels), rng.integers(-9, -5, channels), zero_point, qmin=-90)


def convolution(x: np.ndarray, w: np.ndarray, zero_point: int, stride: int, pad: int) -> np.ndarray:
    """Sums of (x - zero_point) * w over a padded window; x (H, W, Ci), w (Co, kh, kw, Ci); int64 (Ho, Wo, Co)."""
    kh, kw = w.shape[1:3]
    ho, wo = ((n + 2 * pad - k) // stride + 1 for n, k in zip(x.shape[:2], (kh, kw), strict=True))
    out = np.zeros((ho, wo, len(w)), np.int64)
    for y in range(ho):
        for xx in range(wo):
            for i in range(kh):
                for j in range(kw):
                    yy, xj = y * stride + i - pad, xx * stride + j - pad
                    if 0 <= yy < x.shape[0] and 0 <= xj < x.shape[1]:
                        out[y, xx] += w[:, i, j].astype(np.int64) @ (x[yy, xj].astype(np.int64) - zero_point)
    return out


def spread_columns(p: Program, levels: dict[int, tuple[int, dict[str, int]]], **offset: int) -> None:
    """Give column c of two ``c * offset`` in the result nest: by pipes when there are two, else by level 2."""
    pipes = p.derived.pipes
    if pipes == 1:
        levels = {**levels, 2: (2, offset)}
    p.nest("PO_LEVEL", levels)
    p.add("PO_PIPE", **(offset if pipes > 1 else {}))


@pytest.mark.parametrize("key", VARIANTS)
def test_padded_convolution_in_channel_mode(key: str) -> None:
    rng = np.random.default_rng(1)
    p = Program(make(key))
    vec, word = p.config.vector, p.derived.word
    x = rng.integers(-128, 128, (5, 6, 16), np.int8)
    w = rng.integers(-128, 128, (2 * vec, 3, 3, 16), np.int8)
    bias, r = rng.integers(-9000, 9000, 2 * vec), requant(rng, 2 * vec)
    words = 16 // word  # activation words of a pixel
    # Rows: two groups of P output channels. Columns: output rows 0..2 and 3..5, of which row 5 does not exist.
    p.load_map(0, x)
    p.load_weights(w.reshape(2, vec, 144).swapaxes(1, 2).reshape(2, -1), log2_rc=1)
    p.load_parameters(bias, r)
    p.add("AF_MAP", height=5, width=6, zero_point=7, fill=0, rows_len=2, cols=2)
    p.add("AF_COL", log2_cc=0, dy=3, da=3 * 6 * words)
    p.nest("AF_LEVEL", {4: (5, {"dy": 1, "da": 6 * words}), 5: (8, {"dx": 1, "da": words}), 6: (words, {"da": 1})})
    p.add("AFETCH", y0=-1, x0=-1, a0=-7 * words)
    for ky in range(3):
        p.add("SEGMENT", index=ky, s_offset=ky * 8 * 16, v_start=ky * 48, length=48)
    p.add("BASE", nx=6, dx=16, dy=48)
    # Two passes over part of the kernel rows, the second on top of the first.
    for accumulate, first, count in ((0, 0, 1), (1, 1, 2)):
        p.add("RUN", mode=0, accumulate=accumulate, rounds=18, seg_first=first, seg_count=count, s_step=1, lanes=4)
    spread_columns(
        p,
        {1: (2, {"da": 1, "dp": p.derived.param_block}), 5: (3, {"dy": 1, "da": 12}), 6: (6, {"dx": 1, "da": 2})},
        dy=3,
        da=36,
    )
    p.quant((5, 6), r, log2_rc=1, log2_cc=0, cc_valid=1)
    p.add("DRAIN", a0=OUT * word // vec, mask=(1 << vec) - 1)

    seen: dict[tuple[int, int, int], tuple[int, int]] = {}

    def observe(index: int, command: Command, info: PostInfo | None) -> None:
        if info is not None:
            assert p.commands[index] == command
            assert command.name == "DRAIN"
            for y, xx, address, acc, result in zip(info.y, info.x, info.address, info.acc, info.result, strict=True):
                seen.update(
                    {(int(y), int(xx), int(address) % 2 * vec + c): (int(acc[c]), int(result[c])) for c in range(vec)}
                )

    got = p.run(5 * 6 * 2 * vec // word, OUT, observe=observe).reshape(5, 6, 2 * vec)
    acc = convolution(x, w, 7, 1, 1)
    expected = requantize(acc + bias, r)
    assert np.array_equal(got, expected)
    assert seen == {(y, xx, c): (int(acc[y, xx, c]), int(expected[y, xx, c])) for y, xx, c in np.ndindex(5, 6, 2 * vec)}


@pytest.mark.parametrize("key", ["P8", "P8-two-pipes-two-buses", "P16"])
def test_pointwise_convolution_in_pixel_mode(key: str) -> None:
    rng = np.random.default_rng(2)
    p = Program(make(key))
    vec = p.config.vector
    x = rng.integers(-128, 128, (2, vec, 2 * vec), np.int8)
    w = rng.integers(-128, 128, (4 * vec, 1, 1, 2 * vec), np.int8)
    bias, r = rng.integers(-9000, 9000, 4 * vec), requant(rng, 4 * vec)
    # Column c: image row c (P pixels). Row r: two blocks of P output channels.
    p.load_map(0, x)
    p.load_weights(w.reshape(2, -1), log2_rc=1)
    p.load_parameters(bias, r)
    p.add("AF_MAP", height=2, width=vec, zero_point=-20, transpose=1, rows_len=2, cols=2)
    p.add("AF_COL", log2_cc=0, dy=1, da=2 * vec)
    p.nest("AF_LEVEL", {5: (2, {"da": 1}), 6: (vec, {"dx": 1, "da": 2})})
    p.add("AFETCH", dst=3)
    p.add("SEGMENT", length=2 * vec)
    p.add("BASE", nx=1, dx=0, dy=2 * vec)
    p.add("RUN", mode=1, rounds=2 * vec, seg_count=1, v_base=3, s_step=1, acc_base=5, lanes=4)
    block = p.derived.param_block
    spread_columns(
        p,
        {1: (2, {"da": 2, "dp": 2 * block}), 4: (2, {"da": 1, "dp": block}), 6: (vec, {"dx": 1, "da": 4})},
        dy=1,
        da=4 * vec,
    )
    p.quant((2, vec), r, transpose=1, log2_rc=1, log2_cc=0, cc_valid=1)
    p.add("DRAIN", a0=OUT, acc_base=5, mask=(1 << vec) - 1)
    got = p.run(2 * vec * 4, OUT).reshape(2, vec, 4 * vec)
    assert np.array_equal(got, requantize(convolution(x, w, -20, 1, 0) + bias, r))


@pytest.mark.parametrize("key", VARIANTS)
@pytest.mark.parametrize("pool", [False, True])
def test_depthwise_with_stride(key: str, pool: bool) -> None:
    """3x3 depthwise with padding, or the same window as a max pool (weights 1, fill below every value)."""
    rng = np.random.default_rng(3)
    p = Program(make(key))
    vec, word = p.config.vector, p.derived.word
    parts = word // vec  # vectors of a word: separate RUNs, the streamed address differs
    x = rng.integers(-128, 128, (6, 6, 2 * word), np.int8)
    w = np.ones((2 * word, 3, 3), np.int8) if pool else rng.integers(-128, 128, (2 * word, 3, 3), np.int8)
    bias, r = np.zeros(2 * word, np.int64) if pool else rng.integers(-900, 900, 2 * word), requant(rng, 2 * word, 3)
    zero_point = 0 if pool else 9
    if pool:
        r = Requant(np.full(2 * word, 2**30), np.full(2 * word, 1), 0)  # times 1
    # Row r: word r of the channels (fetched apart, level 1). Column c: output row c (3 pixels).
    p.load_map(0, x)
    p.load_weights(w.reshape(2, parts, vec, 9).swapaxes(2, 3).reshape(2, -1), log2_rc=1)
    p.load_parameters(bias, r)
    p.add("AF_MAP", height=6, width=6, zero_point=zero_point, fill=-128 if pool else 0, rows_len=1, cols=2)
    p.add("AF_COL", log2_cc=0, dy=2, da=2 * 6 * 2)
    p.nest("AF_LEVEL", {1: (2, {"da": 1}), 4: (3, {"dy": 1, "da": 12}), 6: (8, {"dx": 1, "da": 2})})
    p.add("AFETCH", y0=-1, x0=-1, a0=-14)
    for i in range(3):
        p.add("SEGMENT", index=9 + i, s_offset=i * 8 * parts, v_start=3 * i, length=3)
    p.add("BASE", nx=3, dx=2 * parts, dy=0)
    p.quant((2, 3), r, log2_rc=1, log2_cc=0, cc_valid=1)
    for part in range(parts):
        p.add(
            "RUN",
            mode=2,
            max=int(pool),
            rounds=3,
            seg_first=9,
            seg_count=3,
            v_base=9 * part,
            s_base=part,
            s_step=parts,
            acc_base=3 * part,
            lanes=4,
        )
        spread_columns(
            p,
            {1: (2, {"da": parts, "dp": parts * p.derived.param_block}), 6: (3, {"dx": 1, "da": 2 * parts})},
            dy=1,
            da=6 * parts,
        )
        p.add(
            "DRAIN", a0=OUT * parts + part, param=part * p.derived.param_block, acc_base=3 * part, mask=(1 << vec) - 1
        )
    got = p.run(2 * 3 * 2, OUT).reshape(2, 3, 2 * word)
    window = np.full((6, 8, 2 * word), -128 if pool else zero_point, np.int64)
    window[1:, 1:7] = x[:5]
    taps = np.stack([window[i : i + 3 : 2, j : j + 5 : 2] for i in range(3) for j in range(3)])
    if pool:
        assert np.array_equal(got, taps.max(axis=0))
    else:
        acc = ((taps - zero_point) * w.reshape(-1, 9).T[:, None, None]).sum(axis=0)
        assert np.array_equal(got, requantize(acc + bias, r))


@pytest.mark.parametrize("key", VARIANTS)
def test_eltwise_add(key: str) -> None:
    rng = np.random.default_rng(4)
    p = Program(make(key))
    vec, word = p.config.vector, p.derived.word
    a, b = (rng.integers(-128, 128, (3, 4, word), np.int8) for _ in range(2))
    r = Requant(np.array([1518500250]), np.array([-18]), 11)
    op = Add(name="add", inputs=("a", "b"), output="c", requant=r, multiplier=(2**30, 1876543210), shift=(0, -2))
    p.load_map(0, a)
    p.load_map(64, b) if p.derived.dma_words == 1 else p.load(0, 64 // p.derived.dma_words, b)
    n = 12 * word // vec
    p.nest("PO_LEVEL", {6: (n, {"da": 1})})
    p.nest("PO_SOURCE", {4: (1, {}), 5: (1, {}), 6: (n, {"ds": 1})}, first=4)
    p.add("PO_ADD", zp_a=-4, zp_b=30, add=1, multiplier_b=1876543210, shift_b=2)
    p.add("PO_SCALAR", multiplier=1518500250, shift=8 + 18)
    p.quant((1, 1), r)
    p.add("ELTWISE", a=0, b=64 * word // vec, out=OUT * word // vec, mask=(1 << vec) - 1)
    got = p.run(12, OUT).reshape(3, 4, word)
    assert np.array_equal(got, add_rule(a, b, -4, 30, op))


def test_poison_shows_a_result_that_depends_on_nothing_written() -> None:
    images = []
    for poison in (1, 2):
        p = Program(make("P8"))
        p.load_map(0, np.zeros((1, 1, 8), np.int8))
        images.append(p.run(2, 0, poison=poison).copy())
    assert not images[0][0].any()
    assert np.array_equal(images[0][0], images[1][0])
    assert not np.array_equal(images[0][1], images[1][1])


def test_streamed_addresses_wrap_at_16_bits() -> None:
    results = []
    for s_base, s_offset in ((10, 2**16 - 3), (4, 3), (7, 0)):
        p = Program(make("P8"))
        p.add("SEGMENT", s_offset=s_offset, length=5)
        p.add("BASE", nx=2, dx=-4, dy=3)
        p.add("RUN", mode=0, rounds=4, seg_count=1, s_base=s_base, s_step=1, lanes=4)
        p.add("END")
        results.append(Machine(p.config).run(p.commands, p.memory).state.acc[:, :, :4])
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


@pytest.mark.parametrize("weight_bits", [8, 9])
def test_the_largest_sums_are_exact(weight_bits: int) -> None:
    """Sums that a 32-bit float cannot hold, of odd products: none may be rounded on the way."""
    config = Config(rows=1, columns=1, weight_bits=weight_bits, post_width=8, wmem_words=512, acc_vectors=4)
    low, count = -(1 << weight_bits - 1) + 1, 501
    s = State(config, np.zeros(0, np.uint8), poison=1)
    s.wmem[...], s.amem[...] = low, -255
    s.registers = {
        ("SEGMENT", 0): {"s_offset": 0, "v_start": 0, "length": count},
        ("BASE", 0): {"nx": 1, "dx": 0, "dy": 0, "log2_rc": 0, "row_groups": 1, "log2_cc": 0, "column_groups": 1}}
    s.command = Command("RUN", {
        "mode": 0, "max": 0, "accumulate": 0, "rounds": 1, "seg_first": 0, "seg_count": 1, "v_base": 0, "s_base": 0,
        "s_step": 1, "acc_base": 0, "lanes": 1})
    run(s)
    assert (s.acc[0, 0, 0] == count * low * -255).all()
