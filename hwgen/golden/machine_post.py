"""Golden machine: post-processing (DRAIN, ELTWISE)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwgen.golden.machine_memory import LEVELS
from hwgen.golden.machine_state import PostInfo, State, Work
from hwgen.golden.nest import expand
from hwgen.golden.post_rule import MAX_N, eltwise_accumulator, requantize_machine
from hwgen.isa import Final

Array = NDArray[np.int64]


def drain(s: State) -> tuple[Work, PostInfo]:
    """Requantise accumulators into the activation buffer."""
    a, c, q, pipe = s.command.args, s.config, s.register("PO_QUANT"), s.register("PO_PIPE")
    levels = [s.register("PO_LEVEL", i) for i in range(LEVELS)]
    counts = [v["count"] for v in levels]
    pipes, vector, transpose = s.derived.pipes, c.vector, q["transpose"]
    if transpose:
        s.require("pixel" in c.mappings, "PO_QUANT.transpose", "0 without the pixel mapping, not 1")
        s.require(counts[5] * counts[6] == vector, "PO_LEVEL.count",
                  f"such that levels 5 and 6 have {vector} elements, not {counts[5] * counts[6]}")
    lanes, inner = int(np.prod(counts[:4])), int(np.prod(counts[4:]))
    s.within("acc_base", a["acc_base"], a["acc_base"] + inner - 1, c.acc_vectors, "accumulator")

    walked = expand([(v["count"], (v["dy"], v["dx"], v["da"], v["dp"])) for v in levels],
                    (a["y0"], a["x0"], a["a0"], a["param"]))
    # Walking order of the hardware: lane, element, pipe.
    j = np.arange(pipes)
    y, x, address, param = (np.broadcast_to(v, counts).reshape(lanes, inner, 1) + j * pipe[k]
                            for v, k in zip(walked, ("dy", "dx", "da", "dp"), strict=True))
    row, column, exists = _lanes(s, q, counts)

    # (lanes, pipes, inner, P); a transposing drain's P pixels of one channel become P channels of one pixel.
    acc = s.acc[column, row, a["acc_base"]:a["acc_base"] + inner].astype(np.int64)
    blocks = counts[4] if transpose else 1
    if transpose:
        acc = acc.reshape(lanes, pipes, blocks, vector, vector).swapaxes(-1, -2)
    acc = acc.reshape(lanes, pipes, blocks, inner // blocks, vector)
    param = param.reshape(lanes, blocks, inner // blocks, pipes)
    s.require(bool(q["scalar"] or np.all(param == param[:, :, :1])), "PO_LEVEL.dp",
              "such that the parameter address is constant within a " + ("block" if transpose else "lane"))
    mask = (a["mask"] >> np.arange(vector) & 1).astype(bool)
    bias, multiplier, n = _parameters(s, q, param[:, :, 0].transpose(0, 2, 1), exists, mask)
    result = _requantize(s, q, acc, bias, multiplier, n)

    kept = (y >= 0) & (y < q["height"]) & (x >= 0) & (x < q["width"]) & exists[:, None]

    def select(v: NDArray[np.int64], tail: tuple[int, ...] = ()) -> NDArray[np.int64]:
        return np.moveaxis(v.reshape(lanes, pipes, inner, *tail), 1, 2)[kept]

    lane_row, lane_column = (np.broadcast_to(v[:, None], kept.shape)[kept] for v in (row, column))
    info = PostInfo(y[kept], x[kept], address[kept], select(acc, (vector,)), select(result, (vector,)).astype(np.int8),
                    lane_row, lane_column, mask)
    _write(s, "a0", info)
    return Work(items=lanes * inner * pipes, writes=len(info.address)), info


def _lanes(s: State, q: dict[str, int], counts: list[int]) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Row, column, and whether its channels exist, of every nest lane and pipe, shapes (lanes, pipes)."""
    c, pipes = s.config, s.derived.pipes
    rc_count, cc_count = 1 << q["log2_rc"], 1 << q["log2_cc"]
    i0, i1, i2, i3 = (v.reshape(-1, 1) for v in np.indices(counts[:4]))
    group = i0 * pipes + np.arange(pipes)
    column, row = i2 * max(cc_count, pipes) + group, np.broadcast_to(i3 * rc_count + i1, group.shape)
    s.within("PO_LEVEL.count of levels 1, 3", 0, int(row.max()), c.rows, "row")
    s.within("PO_LEVEL.count of levels 0, 2", 0, int(column.max()), c.columns, "column")
    exists = group < q["cc_valid"] if cc_count >= pipes > 1 else np.ones(group.shape, bool)
    return row, column, exists


def _parameters(s: State, q: dict[str, int], param: Array, exists: NDArray[np.bool_],
                mask: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """Bias, multiplier and n, each (lanes, pipes, blocks, 1, P) or scalar; ``param`` is (lanes, pipes, blocks)."""
    if q["scalar"]:
        return _scalar(s)
    vector, width = s.config.vector, s.derived.dma_bytes
    used = param[exists]
    if len(used) == 0:
        used = np.zeros(1, np.int64)
    last = int(used.max()) + s.derived.param_block - 1
    s.within("param", int(used.min()), last, s.derived.param_words, "PARAM DMA word")
    at = np.where(exists[:, :, None], param, 0)[..., None] * width
    raw = s.param[at + np.arange(9 * vector)]
    bias = raw[..., :4 * vector].copy().view("<i4").astype(np.int64)
    multiplier = raw[..., 4 * vector:8 * vector].copy().view("<u4").astype(np.int64)
    n = raw[..., 8 * vector:].astype(np.int64)
    selected = n[exists][..., mask]
    s.require(not selected.size or int(selected.max()) <= MAX_N, "param",
              f"the address of a block whose shifts are <= {MAX_N} (found {int(selected.max(initial=0))})")
    return bias[..., None, :], multiplier[..., None, :], np.minimum(n, MAX_N)[..., None, :]


def _scalar(s: State) -> tuple[Array, Array, Array]:
    r = s.register("PO_SCALAR")
    s.require(r["shift"] <= MAX_N, "PO_SCALAR.shift", f"<= {MAX_N}, not {r['shift']}")
    return np.array(r["bias"]), np.array(r["multiplier"]), np.array(r["shift"])


def _requantize(s: State, q: dict[str, int], acc: Array, bias: Array, multiplier: Array, n: Array) -> Array:
    s.require(q["final"] in tuple(Final), "PO_QUANT.final", f"0, 1 or 2, not {q['final']}")
    return requantize_machine(acc, bias, multiplier, n, q["nudge"], q["final"], q["zero_point"], q["qmin"], q["qmax"])


def _write(s: State, name: str, info: PostInfo) -> None:
    """Write the selected bytes of every result vector; the last of several writes to one vector stays."""
    vectors = s.act.view(np.int8).reshape(-1, s.config.vector)
    if len(info.address):
        s.within(name, int(info.address.min()), int(info.address.max()), len(vectors), "ACT vector")
    if info.mask.all():
        vectors[info.address] = info.result
    else:
        vectors[info.address[:, None], np.flatnonzero(info.mask)] = info.result[:, info.mask]


def eltwise(s: State) -> tuple[Work, PostInfo]:
    """Add or rescale maps element by element."""
    a, c = s.command.args, s.config
    q, operands = s.register("PO_QUANT"), s.register("PO_ADD")
    s.require("add" in c.operators or not operands["add"], "PO_ADD.add", "0 without the operator add")
    levels = [s.register("PO_LEVEL", i) for i in (4, 5, 6)]
    sources = [s.register("PO_SOURCE", i) for i in (4, 5, 6)]
    y, x, out, source = (v.reshape(-1) for v in np.broadcast_arrays(*expand(
        [(v["count"], (v["dy"], v["dx"], v["da"], w["ds"])) for v, w in zip(levels, sources, strict=True)],
        (0, 0, a["out"], 0))))
    vectors = s.act.view(np.int8).reshape(-1, c.vector)
    values = []
    for name in ("a", "b") if operands["add"] else ("a",):
        at = a[name] + source
        s.within(name, int(at.min()), int(at.max()), len(vectors), "ACT vector")
        values.append(vectors[at])
    acc = eltwise_accumulator(values[0], values[1] if operands["add"] else None, operands["zp_a"], operands["zp_b"],
                              operands["multiplier_b"], operands["shift_b"])
    result = _requantize(s, q, acc, *_scalar(s)).astype(np.int8)
    mask = (a["mask"] >> np.arange(c.vector) & 1).astype(bool)
    zero = np.zeros(len(out), np.int64)
    info = PostInfo(y, x, out, acc, result, zero, zero, mask)
    _write(s, "out", info)
    return Work(items=len(out), reads=len(values) * len(out), writes=len(out)), info
