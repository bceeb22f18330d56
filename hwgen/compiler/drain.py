"""Emission of DRAIN: results of the lanes of a tile, requantised into the result map."""

from __future__ import annotations

from hwgen.compiler.contention import Axis, write_conflicts
from hwgen.compiler.context import Block, Context
from hwgen.compiler.shape import Shape
from hwgen.compiler.work import Work
from hwgen.isa import Mode


def emit_drain(
    context: Context, work: Work, shape: Shape, block: Block, first: int, count: int, y: int, x: int, blocks: int = 0
) -> None:
    """Emit the settings and the DRAIN of one tile.

    Parameters
    ----------
    first, count : int
        First channel group in the result, in vectors of P, and groups of the tile. In pixel mapping a group is a set of
        ``blocks`` words of channels, and ``first`` counts words.
    y, x : int
        First output pixel of the tile.
    blocks : int
        Channel blocks per lane in pixel mapping, 0 otherwise.
    """
    d, layout, pipes = context.d, work.result.layout, context.d.pipes
    vpw = d.vectors_per_word
    acc, rounds = context.accumulators
    # Vectors, and parameter blocks, from one channel group to the next.
    group = blocks or (vpw if work.mode is Mode.DEPTHWISE else 1)
    parameters = (blocks or 1) * d.param_block
    ncc, nrc = max(1, count // shape.rc), min(count, shape.rc)
    wide = shape.cc >= pipes
    rp, cp = shape.rp_step, shape.cp_step
    scale = 1 if wide else pipes
    inner = [(blocks, 0, 0, 1), (shape.th, 1, 0, 0), (shape.tw, 0, 1, 0)] if blocks else [
        (shape.th, 1, 0, 0), (shape.tw, 0, 1, 0), (1, 0, 0, 0)]  # fmt: skip
    counts = [-(-ncc // pipes) if wide else 1, nrc, shape.cp if wide else -(-shape.cp // pipes), shape.rp]
    counts += [n for n, *_ in inner]
    dys = [0, 0, cp[0] * scale, rp[0], *(b for _, b, _, _ in inner)]
    dxs = [0, 0, cp[1] * scale, rp[1], *(c for _, _, c, _ in inner)]
    groups = [shape.rc * pipes if wide else 0, 1, 0, 0]
    vectors = [g * group for g in groups] + [v for *_, v in inner]
    das = [(a * layout.pitch + b * layout.pixel) * vpw + v for a, b, v in zip(dys, dxs, vectors, strict=True)]
    dps = [g * parameters for g in groups] + [v * d.param_block for *_, v in inner]
    top = y - work.result.origin
    context.nest("PO_LEVEL", counts, dy=dys, dx=dxs, da=das, dp=dps)
    pipe = (
        {"dy": 0, "dx": 0, "da": shape.rc * group, "dp": shape.rc * parameters}
        if wide
        else {"dy": cp[0], "dx": cp[1], "da": (cp[0] * layout.pitch + cp[1] * layout.pixel) * vpw, "dp": 0}
    )
    setting = context.stream.setting
    setting("PO_PIPE", **pipe)
    quant = work.quant_fields()
    setting(
        "PO_QUANT", **quant, transpose=int(blocks > 0), log2_rc=shape.log2_rc, log2_cc=shape.log2_cc,
        cc_valid=ncc,
    )  # fmt: skip
    reads = [("acc", slice(acc, acc + rounds))]
    param = 0
    if work.scalar:
        requant = work.requant
        setting(
            "PO_SCALAR", bias=int(work.bias[0]), multiplier=int(requant.multiplier[0]), shift=8 - int(requant.shift[0])
        )
    else:
        param = block.param_at
        reads.append(("param", slice(param, param + len(block.constant.params) // d.dma_bytes)))
    bh, bw = shape.block
    stop = work.columns.stop if work.columns is not None else layout.width
    words = range(first // vpw, (first + count * group - 1) // vpw + 1)
    where = work.result.rectangle(range(y, min(y + bh, work.rows.stop)), range(x, min(x + bw, stop)), words)
    lanes = counts[0] * nrc * counts[2] * shape.rp
    start = work.result.address(y, x) * vpw + first
    conflicts = write_conflicts(
        counts, [a // vpw for a in das], start // vpw, pipe["da"] // vpw,
        [Axis(dys, top, pipe["dy"], quant["height"]), Axis(dxs, x, pipe["dx"], quant["width"])],
        pipes, context.config,
    )  # fmt: skip
    context.stream.add(
        "DRAIN",
        {
            "y0": top, "x0": x, "a0": work.result.address(y, x) * vpw + first, "param": param, "acc_base": acc,
            "mask": (1 << context.config.vector) - 1 if work.mask is None else work.mask,
        },
        reads=reads, writes=[("act", where)], view=work.result, lanes=lanes, rounds=rounds, scalar=int(work.scalar),
        blocks=lanes * blocks if blocks > 1 else counts[0] * nrc,
        run=d.word if blocks > 1 else counts[2] * shape.rp * rounds,
        passes=pipes if pipe["dp"] else 1, transpose=int(blocks > 0),
        conflicts=conflicts,
    )  # fmt: skip
