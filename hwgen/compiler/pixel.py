"""Pixel mapping: P output pixels per lane as the vector operand, weights streamed, one output channel per round."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.context import Block, Constant, Context, Tile
from hwgen.compiler.drain import emit_drain
from hwgen.compiler.effectual import activation_share, lane_cycles
from hwgen.compiler.fetch import Window, emit_afetch
from hwgen.compiler.pack import pack_groups, pack_params, words_per_group
from hwgen.compiler.patch import Choice, chunks, positions
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
class PixelChoice(Choice):
    """`Choice` with th * tw == P and the channel blocks (of W) that a lane works through."""

    blocks: int


UNEVEN = 0.9
"""Share of positions with an activation below which lanes are given neighbouring rows: one that always has the same
part of every row, say the sky's, would be ahead of the others or behind them for the whole layer."""


def pixel_shape(work: Work, choice: PixelChoice, config: Config, log2_rc: int, log2_cc: int) -> Shape:
    """Return how pixel groups are dealt out to the lanes."""
    tall = activation_share(work, config) < UNEVEN
    return make_shape(config, log2_rc, log2_cc, choice.th, choice.tw, work.height, work.width, tall=tall)


def set_rounds(work: Work, first: int, count: int, blocks: int, word: int) -> int:
    """Return the rounds of ``count`` sets of ``blocks`` words of channels from word ``first`` of the layer's on.

    One round a channel: a single set leaves pad channels out. Their sums are then whatever they were, and multiplied
    by zero.
    """
    return blocks * word if count > 1 else min(blocks * word, len(work.outputs) - first * word)


def vector_words(work: Work, chunk: Chunk, d: Derived) -> int:
    """Words of amem that hold the transposed activations of a chunk (one per position, channels padded)."""
    return chunk.rows * work.kernel[1] * chunk.words * d.word


def pixel_segments(work: Work, chunk: Chunk, d: Derived) -> list[tuple[int, int, int]]:
    """Return the (s_offset, v_start, length) rows of a chunk: one, unless the channels do not fill their words."""
    taps, padded = chunk.rows * work.kernel[1], chunk.words * d.word
    if chunk.channels == padded:
        return [(0, 0, taps * padded)]
    return [(tap * chunk.channels, tap * padded, chunk.channels) for tap in range(taps)]


@dataclass(frozen=True, eq=False)
class PixelTile:
    """Emits one tile: all chunks of ``count`` channel sets of ``blocks`` * W channels, at one block of output
    pixels."""

    work: Work
    shape: Shape
    first: int
    """First channel block (of W channels) in the result."""
    count: int
    blocks: int
    part: tuple[Chunk, ...]
    start: bool
    finish: bool
    y: int
    x: int
    block: Block

    def emit(self, context: Context) -> None:
        work, d = self.work, context.d
        held = self.blocks * d.word
        rounds = set_rounds(work, self.first - work.outputs.start // d.word, self.count, self.blocks, d.word)
        for i, chunk in enumerate(self.part):
            n = positions(work, chunk)
            words = -(-rounds * n // d.word)
            wmem = context.fetch_weights(self.block, i, chunk, words, self.shape, self.count)
            amem, size = self._fetch_pixels(context, chunk)
            fresh = self.start and i == 0
            if fresh:
                context.accumulators = (context.acc.place(object(), held)[0], held)
            acc, _ = context.accumulators
            table = pixel_segments(work, chunk, d)
            first, n_segments = context.segment_table(table)
            context.stream.setting("BASE", nx=rounds, dx=n, dy=0, **self.shape.work(self.count))
            context.stream.add(
                "RUN",
                {
                    "mode": int(Mode.PIXEL),
                    "max": 0,
                    "accumulate": int(not fresh),
                    "rounds": rounds,
                    "seg_first": first,
                    "seg_count": n_segments,
                    "v_base": amem,
                    "s_base": wmem * d.word,
                    "s_step": 1,
                    "acc_base": acc,
                    "lanes": self.count * self.shape.rp * self.shape.cp,
                },
                reads=[("wmem", slice(wmem, wmem + words)), ("amem", slice(amem, amem + size))],
                writes=[("acc", slice(acc, acc + rounds))],
                cycles=rounds * n,
                windows=run_windows(table, round_bases(wmem * d.word, rounds, rounds, n, 0), work.mode),
                walk=self._walk(context, chunk, rounds, n),
            )
        if self.finish:
            emit_drain(
                context, work, self.shape, self.block, self.first, self.count, self.y, self.x, self.blocks
            )

    def _walk(self, context: Context, chunk: Chunk, rounds: int, n: int) -> NDArray[np.float64] | None:
        start = self.first - self.work.outputs.start // context.d.word
        groups = [((start + g * self.blocks) * context.d.word, rounds) for g in range(self.count)]
        near = relative_activity(self.work, context.config, self.shape, chunk, self.y, self.x)
        return lane_cycles(self.work, context.config, self.shape, chunk, groups, rounds, n, near)

    def _fetch_pixels(self, context: Context, chunk: Chunk) -> tuple[int, int]:
        work, shape, d = self.work, self.shape, context.d
        view = work.source
        size = vector_words(work, chunk, d)
        key = (
            "pixel",
            view,
            work.kernel,
            work.stride,
            work.dilation,
            work.pad,
            work.zero_point,
            self.y,
            self.x,
            chunk,
            shape,
        )
        at, held = context.amem.place(key, size)
        if held:
            return at, size
        (sy, sx), (dy, dx) = work.stride, work.dilation
        inner = [
            (chunk.rows, dy, 0, 0), (work.kernel[1], 0, dx, 0), (chunk.words, 0, 0, 1), (shape.th, sy, 0, 0),
            (shape.tw, 0, sx, 0),
        ]  # fmt: skip
        window = Window(1, inner, True, context.config.columns, 0)
        emit_afetch(context, work, shape, chunk, window, self.y, self.x, chunk.word, at, size)
        return at, size


def pixel_tiles(work: Work, choice: PixelChoice, config: Config, *, share: bool) -> Iterator[Tile]:
    """Yield the tiles of a layer, pixel blocks innermost (`patch.patch_tiles` explains ``share``)."""
    d = Derived(config)
    parts = tuple(chunks(work, choice, d.word))
    total = -(-len(work.outputs) // d.word)
    full, rest = divmod(total, choice.blocks)
    sets = [
        (first * choice.blocks, count, rc, cc, choice.blocks)
        for first, count, rc, cc in channel_tiles(full, choice.log2_rc, choice.log2_cc, config)
    ]
    if rest:
        sets.append((full * choice.blocks, 1, 0, 0, rest))

    def constant(first: int, count: int, rc: int, blocks: int, part: tuple[Chunk, ...], params: bool) -> Constant:
        key = ("pixel", first, count, rc, blocks, part, params)
        if key not in work.dedupe:
            rounds, start = set_rounds(work, first, count, blocks, d.word), first * d.word
            channels = count * blocks * d.word
            good = np.arange(start, start + channels) < len(work.outputs)
            at = np.minimum(np.arange(start, start + channels), len(work.outputs) - 1)
            packed = []
            for c in part:
                some = work.weights(start, int(good.sum()), c)
                w = np.zeros((count * rounds, positions(work, c)), some.dtype)
                w[: len(some)] = some
                packed.append(pack_groups(w.reshape(count, -1), rc, config))
            r = work.requant
            counts = [words_per_group(rounds * positions(work, c), config) for c in part]
            work.dedupe[key] = Constant(
                store(packed, counts, work, config),
                pack_params(
                    np.where(good, work.bias[at], 0),
                    Requant(np.where(good, r.multiplier[at], 0), np.where(good, r.shift[at], 0), r.zero_point),
                    config,
                )
                if params
                else np.zeros(0, np.uint8),
            )
        found = work.dedupe[key]
        assert isinstance(found, Constant)
        return found

    first_block = work.outputs.start // d.word
    for first, count, log2_rc, log2_cc, blocks in sets:
        shape = pixel_shape(work, choice, config, log2_rc, log2_cc)
        shared: dict[Constant, Block] = {}
        for y in range(work.rows.start, work.rows.stop, shape.block[0]):
            for x in range(0, work.width, shape.block[1]):
                pieces = [parts] if share else [(c,) for c in parts]
                for i, part in enumerate(pieces):
                    last = i == len(pieces) - 1
                    data = constant(first, count, 1 << log2_rc, blocks, part, last)
                    block = shared.setdefault(data, Block(data)) if share else Block(data)
                    piece = PixelTile(work, shape, first_block + first, count, blocks, part, i == 0, last, y, x, block)
                    words = (first_block + first, first_block + first + count * blocks)
                    yield Tile(work.layer, piece.emit, block, work.span(y, x, shape.block), words)


def pixel_fits(work: Work, choice: PixelChoice, config: Config) -> bool:
    """True when every chunk fits in the lane memories and the segment table."""
    d = Derived(config)
    rounds = min(choice.blocks * d.word, len(work.outputs))
    return choice.blocks * d.word <= config.acc_vectors and all(
        vector_words(work, c, d) <= config.amem_words
        and -(-rounds * positions(work, c) // d.word) <= config.wmem_words
        and len(pixel_segments(work, c, d)) <= config.segments // 2
        for c in chunks(work, choice, d.word)
    )
