"""Residual additions: cut into pieces that run between the tiles of the convolution in front of them."""

from __future__ import annotations

from collections.abc import Mapping

from hwgen.compiler.context import Context, Tile
from hwgen.compiler.eltwise import Box, Rescale, rescale_tiles
from hwgen.compiler.maps import View
from hwgen.config import Config
from hwgen.model.graph import Add, Tensor

PIECES = 8
"""About so many pieces of an addition that is cut by channels."""


def addition(op: Add, views: Mapping[str, View], rows: range, tensors: Mapping[str, Tensor]) -> Rescale:
    """Return the addition of some rows; of maps whose rows follow each other without a gap as one row."""
    a, b, out = (views[n] for n in (*op.inputs, op.output))
    layout = out.layout
    whole = layout.pitch == layout.width * layout.pixel
    count, n = (len(rows) * layout.pitch, 1) if whole else (layout.width * layout.pixel, len(rows))
    boxes = [Box(v.address(rows.start, 0), layout.pitch) for v in (a, b, out)]
    zero_a, zero_b = (tensors[n].zero_point for n in op.inputs)
    return Rescale(
        out, boxes[0], boxes[2], n, count, zero_a, op.requant, boxes[1], zero_b, op.multiplier[1], -op.shift[1]
    )


def operands(index: int, op: Add, tensors: Mapping[str, Tensor]) -> Tile:
    """Return a tile that sets the operands of an addition: ahead of its producer, as POST works on them for a
    while."""
    setting = {
        "zp_a": tensors[op.inputs[0]].zero_point, "zp_b": tensors[op.inputs[1]].zero_point, "add": 1,
        "multiplier_b": op.multiplier[1], "shift_b": -op.shift[1],
    }  # fmt: skip

    def emit(context: Context) -> None:
        context.stream.setting("PO_ADD", **setting)

    return Tile(index - 1, emit)


def beside(index: int, work: Rescale, producer: list[Tile], config: Config) -> list[Tile]:
    """Return the tiles of a convolution and, behind the last one that it has to wait for, each piece of the addition
    ``work`` of its result."""
    sets = _channel_sets(producer)
    # Rows are complete only with the last set of channels: a set at a time, the addition need not wait for that.
    pieces = list(rescale_tiles(index, work, config))
    if len(sets) > 1 and work.rows == 1 and work.result.layout.linear:
        pixel, count = work.result.layout.pixel, -(-PIECES // len(sets))
        pieces = [p for w in sets for p in rescale_tiles(index, work.channels(*w, pixel), config, count, w)]
    behind: list[list[Tile]] = [[] for _ in producer]
    for piece in pieces:
        waits = [i for i, t in enumerate(producer) if _meet(t.span, piece.span) and _meet(t.words, piece.words)]
        behind[waits[-1] if waits else -1].append(piece)
    return [t for tile, more in zip(producer, behind, strict=True) for t in (tile, *more)]


def _meet(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def _channel_sets(producer: list[Tile]) -> list[tuple[int, int]]:
    """Return the words of a pixel that tiles write, set by set; one at most where sets overlap or take turns."""
    sets: list[tuple[int, int]] = []
    for tile in producer:
        if sets and tile.words == sets[-1]:
            continue
        if any(_meet(tile.words, other) for other in sets):
            return []
        sets.append(tile.words)
    return sets
