"""Element-by-element work of the post-processor: residual add, rescale, copies, fills."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.context import Context, Tile
from hwgen.compiler.maps import View, banks
from hwgen.compiler.pack import rounding_bits
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.model.graph import Requant

COUNT = (1 << 12) - 1
"""Most iterations of a level of the post-processor's nest."""

IDENTITY = (1 << 30, 1)
"""Multiplier and shift of a requantisation that changes nothing."""


def identity(zero_point: int) -> Requant:
    """Return the requantisation q = acc + zero_point."""
    return Requant(np.array([IDENTITY[0]]), np.array([IDENTITY[1]]), zero_point, rounding="half_away")


@dataclass(frozen=True)
class Box:
    """``rows`` x ``count`` runs of activation words: run r starts at ``base + r * pitch`` and takes ``count`` words."""

    base: int
    pitch: int

    def words(self, rows: int, count: int) -> NDArray[np.int64]:
        return (self.base + np.arange(rows, dtype=np.int64)[:, None] * self.pitch + np.arange(count)).reshape(-1)


@dataclass(frozen=True, eq=False)
class Rescale:
    """result = requant(A - zp_a), or the add rule with B; over ``rows`` x ``count`` words.

    ``fixed`` reads A's first word over and over (fills: the multiplier is 0).
    """

    result: View
    a: Box
    out: Box
    rows: int
    count: int
    zp_a: int
    requant: Requant
    b: Box | None = None
    zp_b: int = 0
    multiplier_b: int = 0
    shift_b: int = 0
    fixed: bool = False

    def channels(self, first: int, last: int, pixel: int) -> Rescale:
        """Return the work, which must be one row of pixels of ``pixel`` words, for words ``first`` .. ``last`` - 1."""

        def picked(box: Box) -> Box:
            return Box(box.base + first, pixel)

        return replace(
            self, a=picked(self.a), out=picked(self.out), b=picked(self.b) if self.b else None,
            rows=self.count // pixel, count=last - first,
        )  # fmt: skip

    def emit(self, context: Context) -> None:
        vpw, stream = context.d.vectors_per_word, context.stream
        # The outer levels are those of lanes: ELTWISE passes over them.
        counts, zero = [1, self.rows, self.count * vpw], [0] * 3
        context.nest("PO_LEVEL", counts, first=4, dy=zero, dx=zero, da=[0, self.out.pitch * vpw, 1], dp=zero)
        source = [0, 0] if self.fixed else [self.a.pitch * vpw, 1]
        for level, ds in ((5, source[0] - (self.count * vpw - 1) * source[1]), (6, source[1])):
            stream.setting("PO_SOURCE", level, level=level, ds=ds)
        stream.setting("PO_SOURCE", 4, level=4, ds=0)
        r = self.requant
        stream.setting(
            "PO_QUANT",
            height=0,
            width=0,
            zero_point=r.zero_point,
            qmin=r.qmin,
            qmax=r.qmax,
            scalar=1,
            transpose=0,
            log2_rc=0,
            log2_cc=0,
            cc_valid=1,
            **rounding_bits(r),
        )
        stream.setting("PO_SCALAR", bias=0, multiplier=int(r.multiplier[0]), shift=8 - int(r.shift[0]))
        b = self.b
        stream.setting(
            "PO_ADD",
            zp_a=self.zp_a,
            zp_b=self.zp_b,
            add=int(b is not None),
            multiplier_b=self.multiplier_b,
            shift_b=self.shift_b,
        )
        reads = [("act", self.a.words(1, 1) if self.fixed else self.a.words(self.rows, self.count))]
        if b is not None:
            reads.append(("act", b.words(self.rows, self.count)))
        conflicts = (
            0
            if b is None
            else int(
                np.count_nonzero(
                    banks(self.a.words(self.rows, self.count), context.config)
                    == banks(b.words(self.rows, self.count), context.config)
                )
            )
            * vpw
        )
        stream.add(
            "ELTWISE",
            {
                "a": self.a.base * vpw,
                "b": (b or self.a).base * vpw,
                "out": self.out.base * vpw,
                "mask": (1 << context.config.vector) - 1,
            },
            reads=reads,
            writes=[("act", self.out.words(self.rows, self.count))],
            view=self.result,
            cycles=self.rows * self.count * vpw,
            add=int(b is not None),
            conflicts=conflicts,
        )


def rescale_tiles(
    layer: int, work: Rescale, config: Config, pieces: int = 8, words: tuple[int, int] | None = None
) -> Iterator[Tile]:
    """Yield ``work``, which is of some ``words`` of pixels, in pieces, so that whatever follows can start before the
    last one."""
    d = Derived(config)
    if work.rows == 1:
        step = max(64, -(-work.count // pieces))
        for at in range(0, work.count, step):
            yield from command_tiles(layer, _part(work, 0, 1, at, min(step, work.count - at)), config, words)
    else:
        rows = max(1, 128 // (work.count * d.vectors_per_word), -(-work.rows // pieces))
        for at in range(0, work.rows, rows):
            part = _part(work, at, min(rows, work.rows - at), 0, work.count)
            yield from command_tiles(layer, part, config, words)


def command_tiles(
    layer: int, work: Rescale, config: Config, words: tuple[int, int] | None = None
) -> Iterator[Tile]:
    """Yield ``work`` in pieces that a command can name: one, but for long rows and many of them."""
    longest = COUNT // Derived(config).vectors_per_word
    for row in range(0, work.rows, COUNT):
        for word in range(0, work.count, longest):
            part = _part(work, row, min(COUNT, work.rows - row), word, min(longest, work.count - word))
            yield _tile(layer, part, words)


def _tile(layer: int, work: Rescale, words: tuple[int, int] | None) -> Tile:
    start = work.out.base - work.result.address(work.result.first, 0)
    tile = Tile(layer, work.emit, span=(start, start + (work.rows - 1) * work.out.pitch + work.count))
    return tile if words is None else replace(tile, words=words)


def _part(work: Rescale, row: int, rows: int, word: int, words: int) -> Rescale:
    def move(box: Box) -> Box:
        return Box(box.base + row * box.pitch + word, box.pitch)

    return replace(
        work,
        a=work.a if work.fixed else move(work.a),
        out=move(work.out),
        b=move(work.b) if work.b else None,
        rows=rows,
        count=words,
    )
