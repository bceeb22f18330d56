"""Golden machine: the grid of lanes (RUN), all lanes and rounds at once.

Sums are taken in floating point: the operands are integers and every partial sum stays below 2**24 (float32) or
2**53 (float64), so the arithmetic is exact and runs at the speed of a matrix multiplication.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.golden.machine_state import State, Work, wrap
from hwgen.golden.machine_zeros import Zeros, count
from hwgen.isa import Mode

_BLOCK = 1 << 21
"""Gathered values handled at a time; bounds the memory a RUN takes."""


def positions(s: State) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Offsets of vector and streamed operand of every position of the current RUN's segments, shapes (K,), and the
    first position of each segment."""
    a = s.command.args
    s.require(a["seg_count"] >= 1, "seg_count", ">= 1")
    s.within("seg_first, seg_count", a["seg_first"], a["seg_first"] + a["seg_count"] - 1, s.config.segments, "segment")
    rows = [s.register("SEGMENT", a["seg_first"] + i) for i in range(a["seg_count"])]
    length = np.array([r["length"] for r in rows])
    starts = np.cumsum(length) - length
    i = np.arange(length.sum()) - np.repeat(starts, length)
    v = np.repeat(np.array([r["v_start"] for r in rows]), length) + i
    return v, np.repeat(np.array([r["s_offset"] for r in rows]), length) + i * a["s_step"], starts


def round_bases(s: State) -> NDArray[np.int64]:
    """base(t) of every round, shape (rounds,)."""
    r = s.register("BASE")
    t = np.arange(s.command.args["rounds"], dtype=np.int64)
    turns = t // r["nx"]
    return turns * r["dy"] + (t - turns) * r["dx"]


def _at_work(s: State) -> NDArray[np.bool_]:
    """Return which lanes take part, shape (columns, rows, 1, 1): all of a dense machine."""
    c, r = s.config, s.register("BASE")
    rows, columns = np.arange(c.rows), np.arange(c.columns)
    there = np.outer(columns % (1 << r["log2_cc"]) < r["column_groups"], rows % (1 << r["log2_rc"]) < r["row_groups"])
    return (there | (c.skip == "none"))[:, :, None, None]


def run(s: State) -> Work:
    """Walk the segments in every lane for all rounds."""
    a, c, d = s.command.args, s.config, s.derived
    names = ("channel", "pixel", "depthwise")
    s.require(a["mode"] in tuple(Mode) and names[a["mode"]] in c.mappings, "mode",
              f"one of {', '.join(f'{Mode[m.upper()]} ({m})' for m in c.mappings)}")
    s.require(not a["max"] or "max_pool" in c.operators, "max", "0 without the operator max_pool")
    s.require(not (a["max"] and a["accumulate"]), "accumulate", "0 with max")
    s.require(a["rounds"] >= 1, "rounds", ">= 1")
    mode, rounds = Mode(a["mode"]), a["rounds"]
    s.within("acc_base, rounds", a["acc_base"], a["acc_base"] + rounds - 1, c.acc_vectors, "accumulator")

    v_memory, s_memory = (s.amem, s.wmem) if mode is Mode.PIXEL else (s.wmem, s.amem)
    v_memory = v_memory.reshape(c.columns, c.rows, -1, c.vector)
    s_memory = s_memory.reshape((c.columns, c.rows, -1) + ((c.vector,) if mode is Mode.DEPTHWISE else ()))
    v_offset, s_offset, starts = positions(s)
    v = a["v_base"] + v_offset
    stream = (a["s_base"] + round_bases(s)[:, None] + s_offset) % (1 << 16)
    name = names[mode]
    s.within("v_base", int(v.min()), int(v.max()), v_memory.shape[2], f"vector operand ({name})")
    s.within("s_base", int(stream.min()), int(stream.max()), s_memory.shape[2], f"streamed operand ({name})")

    at_work = _at_work(s)
    if mode is Mode.PIXEL:
        unknown = s.vectors_only[at_work[:, :, 0, 0]][:, np.unique(stream // d.word)].any()
        s.require(not unknown, "s_base", "such that no weights came as a stream of format vector")
    walked, zeros = np.zeros((c.columns, c.rows), np.int64), Zeros()
    exact: Any = np.float32 if len(v) << c.weight_bits - 1 + c.act_bits <= 1 << 24 else np.float64
    vectors = v_memory[:, :, v].astype(exact)  # (columns, rows, K, P)
    wide = mode is Mode.DEPTHWISE or a["max"]
    step = max(1, _BLOCK // (d.lanes * len(v) * (c.vector if wide else 1)))
    for t in range(0, rounds, step):
        chunk = stream[t:t + step]
        if c.skip != "none":
            cycles, left_out = count(s, vectors, s_memory[:, :, chunk], chunk, starts, at_work[:, :, 0, 0])
            walked, zeros = walked + cycles, zeros + left_out
        total = _reduce(vectors, s_memory[:, :, chunk].astype(exact), mode, bool(a["max"])).astype(np.int64)
        acc = s.acc[:, :, a["acc_base"] + t:a["acc_base"] + t + len(chunk)]
        if a["accumulate"]:
            total += acc
        acc[...] = np.where(at_work, wrap(total, c.acc_bits), acc)
    done = Work(items=rounds * len(v), macs=rounds * len(v) * a["lanes"] * c.vector)
    if c.skip != "none":
        done.walked, done.zeros = walked.T, zeros
    return done


def _reduce(vectors: NDArray[Any], stream: NDArray[Any], mode: Mode, maximum: bool) -> Any:
    """Sum or maximum of the products over K: (C, R, K, P) with (C, R, T, K) or (C, R, T, K, P) to (C, R, T, P)."""
    if mode is not Mode.DEPTHWISE:
        if not maximum:
            return np.matmul(stream, vectors)
        stream = stream[..., None]
    products = stream * vectors[:, :, None]
    return np.max(products, axis=3) if maximum else np.sum(products, axis=3)
