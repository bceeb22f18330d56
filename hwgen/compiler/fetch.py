"""Emission of AFETCH: a window of a map, dealt out to rows and columns of the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hwgen.compiler.contention import Walk
from hwgen.compiler.context import Context
from hwgen.compiler.shape import Shape
from hwgen.compiler.work import Chunk, Work


@dataclass(frozen=True)
class Window:
    """What AFETCH walks: row pixel groups (level 0), row channel groups of one word each (level 1), five inner levels.

    ``inner`` gives (count, y step, x step, word step) of each inner level in pixels of the source.
    """

    channel_groups: int
    inner: Sequence[tuple[int, int, int, int]]
    transpose: bool
    columns: int
    """Columns that fetch."""
    column_words: int
    """Words from one column channel group to the next."""


def emit_afetch(
    context: Context, work: Work, shape: Shape, chunk: Chunk, window: Window, y: int, x: int, word: int, dst: int,
    size: int,
) -> None:  # fmt: skip
    """Emit the settings and the AFETCH that fill ``size`` amem words from ``dst`` for the block of outputs at (y,
    x)."""
    view, layout = work.source, work.source.layout
    (sy, sx), (dy, dx) = work.stride, work.dilation
    rp, cp = shape.rp_step, shape.cp_step
    # Where pixels are tight, columns of the map are words.
    across, values = (layout.channels, layout.pixel_values) if layout.tight else (1, 1)
    levels = [(shape.rp, rp[0] * sy, rp[1] * sx * values // across, 0), (window.channel_groups, 0, 0, 1), *window.inner]
    counts, dys, dxs, words = (tuple(level[i] for level in levels) for i in range(4))
    das = tuple(a * layout.pitch + b * layout.pixel + c for a, b, c in zip(dys, dxs, words, strict=True))
    context.nest("AF_LEVEL", counts, dy=dys, dx=dxs, da=das)
    setting = context.stream.setting
    per_patch = 1 if window.column_words else shape.rc
    drained = setting(
        "AF_MAP", height=view.last - view.origin, width=layout.width, zero_point=work.zero_point, fill=work.fill,
        transpose=int(window.transpose), rows_len=per_patch, rp_step=shape.rc, cols=window.columns,
    )  # fmt: skip
    column = cp[1] * sx * values // across
    step = (cp[0] * sy, column, cp[0] * sy * layout.pitch + column * layout.pixel)
    setting("AF_COL", log2_cc=shape.log2_cc, dy=step[0], dx=step[1], da=step[2], cc_da=window.column_words)
    y0 = y * sy - work.pad[0] + chunk.ky * dy
    x0 = (x * sx - work.pad[1]) * values // across
    a0 = view.address(y0, x0, word)
    top = y0 - view.origin
    starts = tuple(
        (top + p * step[0], x0 + p * step[1], a0 + p * step[2] + (c % shape.cc) * window.column_words)
        for c in range(window.columns)
        for p in [c // shape.cc]
    )
    bh, bw = shape.block
    groups = max(window.channel_groups, 1) if window.column_words else chunk.words
    last = word + (min(shape.cc, window.columns) - 1) * window.column_words + groups
    where = view.rectangle(
        range(y0, y0 + (bh - 1) * sy + (chunk.rows - 1) * dy + 1),
        range(x0, -(-((x + bw - 1) * sx - work.pad[1] + (work.kernel[1] - 1) * dx + 1) * values // across)),
        range(word, last),
    )
    walk = Walk(counts, dys, dxs, das, starts, view.last - view.origin, layout.width)
    context.stream.add(
        "AFETCH",
        {"y0": top, "x0": x0, "a0": a0, "dst": dst},
        reads=[("act", where)],
        writes=[("amem", slice(dst, dst + size))],
        cycles=context.fetch_cycles(walk, drained),
        words=walk.words,
        transpose=int(window.transpose),
    )
