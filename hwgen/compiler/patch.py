"""Channel and depthwise mapping: patches of activations in the lanes, weights as the vector operand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hwgen.compiler.context import Block, Constant, Context, Tile
from hwgen.compiler.pack import pack_groups, pack_params, words_per_group
from hwgen.compiler.shape import Shape, channel_tiles, make_shape
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
    """Input window of one pixel group for one chunk: ``height`` x ``width`` pixels of ``words`` words, ``step`` apart."""

    height: int
    width: int
    words: int
    step: tuple[int, int]

    @classmethod
    def of(cls, work: Work, th: int, tw: int, rows: int, words: int) -> Patch:
        (sy, sx), (dy, dx), kw = work.stride, work.dilation, work.kernel[1]
        height, ystep = (th, sy) if rows == 1 else ((th - 1) * sy + (rows - 1) * dy + 1, 1)
        width, xstep = (tw, sx) if kw == 1 else ((tw - 1) * sx + (kw - 1) * dx + 1, 1)
        return cls(height, width, words, (ystep, xstep))

    @property
    def size(self) -> int:
        return self.height * self.width * self.words


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
    pixel, n, rows = patch.words * d.word, chunk.channels, []
    for ky in range(chunk.rows):
        for kx in range(kw):
            s, v = (ky * dy * patch.width + kx * dx) * pixel, (ky * kw + kx) * n
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
        offset = 0
        for i, chunk in enumerate(self.part):
            patch = Patch.of(work, self.shape.th, self.shape.tw, chunk.rows, chunk.words)
            wmem, offset = context.fetch_weights(
                self.block, chunk, self._wmem_words(chunk, d), self.shape, self.count, offset
            )
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
            step = sx * patch.words * unit
            context.stream.setting(
                "BASE", nx=self.shape.tw, dx=step, dy=sy * patch.width * patch.words * unit - (self.shape.tw - 1) * step
            )
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
            )
        if self.finish:
            self._drain(context)

    def _values(self, chunk: Chunk) -> int:
        return self.work.kernel[1] if self._ones else positions(self.work, chunk)

    @property
    def _ones(self) -> bool:
        return self.work.mode is Mode.DEPTHWISE and (self.work.maximum or self.work.scalar)

    def _wmem_words(self, chunk: Chunk, d: Derived) -> int:
        return -(-self._values(chunk) * d.config.vector // d.word)

    def _fetch_patch(self, context: Context, chunk: Chunk, patch: Patch) -> int:
        """Emit AFETCH unless the patch is there; return its amem word."""
        work, shape, d = self.work, self.shape, context.d
        view, layout = work.source, work.source.layout
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
        (sy, sx), (ys, xs) = work.stride, patch.step
        rp, cp = shape.rp_step, shape.cp_step
        columns = -(-self.count // shape.rc) if depthwise and self.count >= shape.rc else 1
        rc = min(shape.rc, self.count) if depthwise else 1
        counts = [shape.rp, rc, 1, 1, patch.height, patch.width, patch.words]
        dys = [rp[0] * sy, 0, 0, 0, ys, 0, 0]
        dxs = [rp[1] * sx, 0, 0, 0, 0, xs, 0]
        words = [0, 1, 0, 0, 0, 0, 1]
        das = [y * layout.pitch + x * layout.pixel + w for y, x, w in zip(dys, dxs, words, strict=True)]
        context.nest("AF_LEVEL", counts, dy=dys, dx=dxs, da=das)
        set_ = context.stream.setting
        cols = columns if depthwise and shape.cp == 1 else context.config.columns
        set_(
            "AF_MAP",
            height=view.last,
            width=layout.width,
            zero_point=work.zero_point,
            fill=work.fill,
            transpose=0,
            rows_len=1 if depthwise else shape.rc,
            rp_step=shape.rc,
            cols=cols,
        )
        set_(
            "AF_COL",
            log2_cc=shape.log2_cc,
            dy=cp[0] * sy,
            dx=cp[1] * sx,
            da=cp[0] * sy * layout.pitch + cp[1] * sx * layout.pixel,
            cc_da=shape.rc if depthwise else 0,
        )
        y0 = self.y * sy - work.pad[0] + chunk.ky * work.dilation[0]
        x0 = self.x * sx - work.pad[1]
        bh, bw = shape.block
        span_y = range(y0, y0 + (bh - 1) * sy + (chunk.rows - 1) * work.dilation[0] + 1)
        span_x = range(x0, x0 + (bw - 1) * sx + (work.kernel[1] - 1) * work.dilation[1] + 1)
        span_w = range(word, word + (columns * shape.rc if depthwise else patch.words))
        context.stream.add(
            "AFETCH",
            {"y0": y0, "x0": x0, "a0": view.address(y0, x0, word), "dst": at},
            reads=[("act", view.rectangle(span_y, span_x, span_w))],
            writes=[("amem", slice(at, at + patch.size))],
            cycles=shape.rp * rc * patch.size,
        )
        return at

    def _drain(self, context: Context) -> None:
        work, shape, d = self.work, self.shape, context.d
        layout, vpw, pipes = work.result.layout, d.vectors_per_word, d.pipes
        acc, rounds = context.accumulators
        group = vpw if work.mode is Mode.DEPTHWISE else 1
        ncc, nrc = max(1, self.count // shape.rc), min(self.count, shape.rc)
        wide = shape.cc >= pipes
        rp, cp = shape.rp_step, shape.cp_step
        scale = 1 if wide else pipes
        counts = [
            -(-ncc // pipes) if wide else 1,
            nrc,
            shape.cp if wide else -(-shape.cp // pipes),
            shape.rp,
            shape.th,
            shape.tw,
            1,
        ]
        dys = [0, 0, cp[0] * scale, rp[0], 1, 0, 0]
        dxs = [0, 0, cp[1] * scale, rp[1], 0, 1, 0]
        groups = [shape.rc * pipes if wide else 0, 1, 0, 0, 0, 0, 0]
        das = [
            (y * layout.pitch + x * layout.pixel) * vpw + g * group for y, x, g in zip(dys, dxs, groups, strict=True)
        ]
        dps = [g * d.param_block for g in groups]
        context.nest("PO_LEVEL", counts, dy=dys, dx=dxs, da=das, dp=dps)
        set_ = context.stream.setting
        pipe = (
            {"dy": 0, "dx": 0, "da": shape.rc * group, "dp": shape.rc * d.param_block}
            if wide
            else {"dy": cp[0], "dx": cp[1], "da": (cp[0] * layout.pitch + cp[1] * layout.pixel) * vpw, "dp": 0}
        )
        set_("PO_PIPE", **pipe)
        set_("PO_QUANT", **work.quant_fields(), transpose=0, log2_rc=shape.log2_rc, log2_cc=shape.log2_cc, cc_valid=ncc)
        reads = [("acc", slice(acc, acc + rounds))]
        param = 0
        if work.scalar:
            set_(
                "PO_SCALAR",
                bias=int(work.bias[0]),
                multiplier=int(work.requant.multiplier[0]),
                shift=8 - int(work.requant.shift[0]),
            )
        else:
            param = self.block.param_at
            reads.append(("param", slice(param, param + len(self.block.constant.params) // d.dma_bytes)))
        bh, bw = shape.block
        last = work.columns.stop if work.columns is not None else layout.width
        words = range(self.first // vpw, (self.first + (self.count - 1) * group) // vpw + 1)
        where = work.result.rectangle(
            range(self.y, min(self.y + bh, work.rows.stop)), range(self.x, min(self.x + bw, last)), words
        )
        context.stream.add(
            "DRAIN",
            {
                "y0": self.y,
                "x0": self.x,
                "a0": work.result.address(self.y, self.x) * vpw + self.first,
                "param": param,
                "acc_base": acc,
                "mask": (1 << context.config.vector) - 1 if work.mask is None else work.mask,
            },
            reads=reads,
            writes=[("act", where)],
            view=work.result,
            lanes=counts[0] * nrc * counts[2] * shape.rp,
            rounds=rounds,
            scalar=int(work.scalar),
            blocks=counts[0] * nrc,
            run=counts[2] * shape.rp * rounds,
            passes=pipes if pipe["dp"] else 1,
            transpose=0,
        )


def patch_tiles(work: Work, choice: Choice, config: Config, *, share: bool) -> Iterator[Tile]:
    """Yield the tiles of a layer in the order of ``choice``.

    With ``share`` the weights of a channel tile stay in the weight buffer for all its pixel tiles (or for all of the layer when
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
            work.dedupe[key] = Constant(np.concatenate(packed), block)
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
            yield Tile(
                work.layer, PatchTile(work, choice, shape, g0 + first, count, part, i == 0, last, y, x, b).emit, b
            )

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
