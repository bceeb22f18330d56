"""Channel and depthwise mapping: patches of activations in the lanes, weights as the vector operand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.context import Block, Constant, Context, Tile
from hwgen.compiler.drain import emit_drain
from hwgen.compiler.effectual import lane_cycles
from hwgen.compiler.fetch import Window, emit_afetch
from hwgen.compiler.pack import pack_groups, pack_params, words_per_group
from hwgen.compiler.shape import Shape, channel_tiles, make_shape
from hwgen.compiler.uneven import relative_activity
from hwgen.compiler.weight_store import store
from hwgen.compiler.windows import round_bases, run_windows
from hwgen.compiler.work import Chunk, Work
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.isa import Mode
from hwgen.model.graph import Requant


@dataclass(frozen=True)
class Choice:
    """What the mapping search decides for a layer."""

    log2_rc: int
    log2_cc: int
    th: int
    tw: int
    rows: int
    """Kernel rows per chunk."""
    words: int
    """Input words per chunk."""
    weights_outer: bool
    """Channel tiles outermost (weights stay, patches are fetched again) or innermost."""


@dataclass(frozen=True)
class Patch:
    """Input window of one pixel group for one chunk: ``height`` x ``width`` pixels of ``words`` words, ``step``
    apart."""

    height: int
    width: int
    words: int
    step: tuple[int, int]

    @classmethod
    def of(cls, work: Work, th: int, tw: int, rows: int, words: int) -> Patch:
        (sy, sx), (dy, dx), kw = work.stride, work.dilation, work.kernel[1]
        height, ystep = (th, sy) if rows == 1 else ((th - 1) * sy + (rows - 1) * dy + 1, 1)
        if values := work.source.layout.pixel_values:
            word = work.source.layout.channels
            across = ((tw - 1) * sx + kw) * values + first_value(work)
            return cls(height, -(-across // word), 1, (ystep, 1))
        width, xstep = (tw, sx) if kw == 1 else ((tw - 1) * sx + (kw - 1) * dx + 1, 1)
        return cls(height, width, words, (ystep, xstep))

    @property
    def size(self) -> int:
        return self.height * self.width * self.words


def first_value(work: Work) -> int:
    """Return which value of a patch's first word is its first pixel (other than 0 where pixels are tight)."""
    layout = work.source.layout
    return -work.pad[1] * layout.pixel_values % layout.channels if layout.tight else 0


def chunks(work: Work, choice: Choice, word: int) -> list[Chunk]:
    """Split the reduction."""
    if work.mode is Mode.DEPTHWISE:
        return [
            Chunk(ky, min(choice.rows, work.kernel[0] - ky), 0, 1, word) for ky in range(0, work.kernel[0], choice.rows)
        ]
    first, last = work.channels.start // word, -(-work.channels.stop // word)
    return [
        Chunk(
            ky,
            min(choice.rows, work.kernel[0] - ky),
            w,
            min(choice.words, last - w),
            min((min(w + choice.words, last)) * word, work.channels.stop) - w * word,
        )
        for w in range(first, last, choice.words)
        for ky in range(0, work.kernel[0], choice.rows)
    ]


def positions(work: Work, chunk: Chunk) -> int:
    """Positions of the reduction in a chunk."""
    taps = chunk.rows * work.kernel[1]
    return taps if work.mode is Mode.DEPTHWISE else taps * chunk.channels


def segments(work: Work, chunk: Chunk, patch: Patch, d: Derived) -> list[tuple[int, int, int]]:
    """Return the (s_offset, v_start, length) rows of a chunk."""
    (dy, dx), kw = work.dilation, work.kernel[1]
    if work.mode is Mode.DEPTHWISE:
        row = dy * patch.width * d.vectors_per_word
        return [(ky * row, 0 if work.maximum or work.scalar else ky * kw, kw) for ky in range(chunk.rows)]
    row, n = patch.width * patch.words * d.word, chunk.channels
    pixel = work.source.layout.pixel_values or patch.words * d.word
    rows: list[tuple[int, int, int]] = []
    for ky in range(chunk.rows):
        for kx in range(kw):
            s, v = ky * dy * row + kx * dx * pixel, (ky * kw + kx) * n
            if rows and rows[-1][0] + rows[-1][2] == s:
                rows[-1] = (rows[-1][0], rows[-1][1], rows[-1][2] + n)
            else:
                rows.append((s, v, n))
    return rows


@dataclass(frozen=True, eq=False)
class PatchTile:
    """Emits one tile: all chunks of ``count`` channel groups from ``first`` on, at one block of output pixels."""

    work: Work
    choice: Choice
    shape: Shape
    first: int
    """First channel group of the layer, in vectors of P."""
    count: int
    part: tuple[Chunk, ...]
    start: bool
    finish: bool
    y: int
    x: int
    block: Block

    def emit(self, context: Context) -> None:
        work, d = self.work, context.d
        for i, chunk in enumerate(self.part):
            patch = Patch.of(work, self.shape.th, self.shape.tw, chunk.rows, chunk.words)
            words = self._wmem_words(chunk, d)
            wmem = context.fetch_weights(self.block, i, chunk, words, self.shape, self.count)
            amem = self._fetch_patch(context, chunk, patch)
            rounds = self.shape.rounds
            depthwise = work.mode is Mode.DEPTHWISE
            unit = d.vectors_per_word if depthwise else d.word
            sub = self.first % d.vectors_per_word if depthwise else 0
            fresh = self.start and i == 0
            if fresh:
                context.accumulators = (context.acc.place(object(), rounds)[0], rounds)
            acc, _ = context.accumulators
            table = segments(work, chunk, patch, d)
            first, n = context.segment_table(table)
            sy, sx = (work.stride[0] // patch.step[0], work.stride[1] // patch.step[1])
            step = sx * (work.source.layout.pixel_values or patch.words * unit)
            sub += first_value(work)
            down = sy * patch.width * patch.words * unit - (self.shape.tw - 1) * step
            context.stream.setting("BASE", nx=self.shape.tw, dx=step, dy=down, **self.shape.work(self.count))
            bases = round_bases(amem * unit + sub, rounds, self.shape.tw, step, down)
            context.stream.add(
                "RUN",
                {
                    "mode": int(work.mode),
                    "max": int(work.maximum),
                    "accumulate": int(not fresh),
                    "rounds": rounds,
                    "seg_first": first,
                    "seg_count": n,
                    "v_base": wmem * d.vectors_per_word,
                    "s_base": amem * unit + sub,
                    "s_step": work.dilation[1] * d.vectors_per_word if depthwise else 1,
                    "acc_base": acc,
                    "lanes": self.count * self.shape.rp * self.shape.cp,
                },
                reads=[
                    ("wmem", slice(wmem, wmem + self._wmem_words(chunk, d))),
                    ("amem", slice(amem, amem + patch.size)),
                ],
                writes=[("acc", slice(acc, acc + rounds))],
                cycles=rounds * sum(r[2] for r in table),
                windows=run_windows(table, bases, work.mode),
                walk=self._walk(context, chunk, rounds, sum(r[2] for r in table)),
            )
        if self.finish:
            emit_drain(context, work, self.shape, self.block, self.first, self.count, self.y, self.x)

    def _walk(self, context: Context, chunk: Chunk, rounds: int, n: int) -> NDArray[np.float64] | None:
        step = context.d.vectors_per_word if self.work.mode is Mode.DEPTHWISE else 1
        start = self.first - self.work.outputs.start // context.config.vector
        groups = [(start + g * step, 1) for g in range(self.count)]
        near = relative_activity(self.work, context.config, self.shape, chunk, self.y, self.x)
        return lane_cycles(self.work, context.config, self.shape, chunk, groups, rounds, n, near)

    def _values(self, chunk: Chunk) -> int:
        return self.work.kernel[1] if self._ones else positions(self.work, chunk)

    @property
    def _ones(self) -> bool:
        return self.work.mode is Mode.DEPTHWISE and (self.work.maximum or self.work.scalar)

    def _wmem_words(self, chunk: Chunk, d: Derived) -> int:
        return -(-self._values(chunk) * d.config.vector // d.word)

    def _fetch_patch(self, context: Context, chunk: Chunk, patch: Patch) -> int:
        """Emit AFETCH unless the patch is there; return its amem word."""
        work, shape, d, view = self.work, self.shape, context.d, self.work.source
        depthwise = work.mode is Mode.DEPTHWISE
        word = self.first // d.vectors_per_word if depthwise else chunk.word
        key = (
            view,
            work.kernel,
            work.stride,
            work.dilation,
            work.pad,
            work.zero_point,
            work.fill,
            self.y,
            self.x,
            chunk,
            shape,
            word,
            self.count if depthwise else 0,
        )
        at, held = context.amem.place(key, patch.size)
        if held:
            return at
        columns = max(1, self.count // shape.rc)
        window = Window(
            min(shape.rc, self.count) if depthwise else 1,
            [(1, 0, 0, 0)] * 2
            + [(patch.height, patch.step[0], 0, 0), (patch.width, 0, patch.step[1], 0), (patch.words, 0, 0, 1)],
            False,
            columns if depthwise and shape.cp == 1 else context.config.columns,
            shape.rc if depthwise else 0,
        )
        emit_afetch(context, work, shape, chunk, window, self.y, self.x, word, at, patch.size)
        return at


def patch_tiles(work: Work, choice: Choice, config: Config, *, share: bool) -> Iterator[Tile]:
    """Yield the tiles of a layer in the order of ``choice``.

    With ``share`` the weights of a channel tile stay in the weight buffer for all its pixel tiles (or for all of the
    layer when
    pixel tiles are outermost); otherwise every tile loads them again, chunk by chunk.
    """
    d = Derived(config)
    p, vpw = config.vector, d.vectors_per_word
    depthwise = work.mode is Mode.DEPTHWISE
    parts = chunks(work, choice, d.word)
    total = -(-len(work.outputs) // p)
    # With P < W a depthwise tile's lanes must all use the same part of their word.
    lanes = [(sub, vpw, -(-(total - sub) // vpw)) for sub in range(min(vpw, total))] if depthwise else [(0, 1, total)]
    channel = [
        (sub + first * step, count, rc, cc)
        for sub, step, n in lanes
        for first, count, rc, cc in channel_tiles(n, choice.log2_rc, choice.log2_cc, config)
    ]
    step = vpw if depthwise else 1
    ones = depthwise and (work.maximum or work.scalar)

    def constant(first: int, count: int, rc: int, part: tuple[Chunk, ...], params: bool) -> Constant:
        key = (first, count, rc, part, params)
        if key not in work.dedupe:
            picked = [first + i * step for i in range(count)]
            packed = [
                pack_groups(
                    np.ones((count, work.kernel[1] * p), np.int8)
                    if ones
                    else np.stack([work.weights(g, 1, c)[0].reshape(-1) for g in picked]),
                    rc,
                    config,
                )
                for c in part
            ]
            o0 = work.outputs.start
            index = np.array([g * p + i for g in picked for i in range(p)])
            good = index < len(work.outputs)
            at = np.minimum(index, len(work.outputs) - 1) + 0 * o0
            r = work.requant
            blank = np.zeros(0, np.uint8)
            block = (
                blank
                if work.scalar or not params
                else pack_params(
                    np.where(good, work.bias[at], 0),
                    Requant(np.where(good, r.multiplier[at], 0), np.where(good, r.shift[at], 0), r.zero_point),
                    config,
                )
            )
            counts = [words_per_group((work.kernel[1] if ones else positions(work, c)) * p, config) for c in part]
            work.dedupe[key] = Constant(store(packed, counts, work, config), block)
        found = work.dedupe[key]
        assert isinstance(found, Constant)
        return found

    g0 = work.outputs.start // p
    blocks: dict[object, Block] = {}

    def block(first: int, count: int, rc: int, part: tuple[Chunk, ...], params: bool) -> Block:
        data = constant(first, count, rc, part, params)
        if not share:
            return Block(data)
        return blocks.setdefault(data, Block(data))

    def tile(at: tuple[int, int, int, int], y: int, x: int, shape: Shape) -> Iterator[Tile]:
        first, count, log2_rc, _ = at
        pieces = [tuple(parts)] if share else [(c,) for c in parts]
        for i, part in enumerate(pieces):
            last = i == len(pieces) - 1
            b = block(first, count, 1 << log2_rc, part, last)
            piece = PatchTile(work, choice, shape, g0 + first, count, part, i == 0, last, y, x, b)
            words = ((g0 + first) // vpw, (g0 + first + (count - 1) * step) // vpw + 1)
            yield Tile(work.layer, piece.emit, b, work.span(y, x, shape.block), words)

    shapes = {at: make_shape(config, at[2], at[3], choice.th, choice.tw, work.height, work.width) for at in channel}
    columns = work.columns or range(work.result.layout.width)

    def pixels(shape: Shape) -> Iterator[tuple[int, int]]:
        for y in range(work.rows.start, work.rows.stop, shape.block[0]):
            for x in range(columns.start, columns.stop, shape.block[1]):
                yield y, x

    if choice.weights_outer or len({s.block for s in shapes.values()}) > 1:
        for at in channel:
            for y, x in pixels(shapes[at]):
                yield from tile(at, y, x, shapes[at])
    else:
        for y, x in pixels(next(iter(shapes.values()))):
            for at in channel:
                yield from tile(at, y, x, shapes[at])


def fits(work: Work, choice: Choice, config: Config) -> bool:
    """True when every chunk fits in the lane memories and the segment table."""
    d = Derived(config)
    parts = chunks(work, choice, d.word)
    if choice.th * choice.tw > config.acc_vectors or (work.maximum and len(parts) > 1):
        return False
    for chunk in parts:
        patch = Patch.of(work, choice.th, choice.tw, chunk.rows, chunk.words)
        values = positions(work, chunk) * config.vector
        if patch.size > config.amem_words or words_per_group(values, config) > config.wmem_words:
            return False
        if len(segments(work, chunk, patch, d)) > config.segments // 2:
            return False
    return True


__all__ = ["Choice", "Patch", "chunks", "fits", "patch_tiles", "positions", "segments"]
