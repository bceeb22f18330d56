"""The mapping search: which mapping, lane split, tile and chunk a layer gets, by estimated cycles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import gcd

from hwgen.compiler import weight_store
from hwgen.compiler.context import Tile
from hwgen.compiler.effectual import share, whole
from hwgen.compiler.maps import ROWS
from hwgen.compiler.patch import Choice, Patch, fits, patch_tiles
from hwgen.compiler.pixel import PixelChoice, pixel_fits, pixel_shape, pixel_tiles, set_rounds
from hwgen.compiler.shape import Shape, channel_tiles, lane_splits, make_shape
from hwgen.compiler.windows import windows_per_round
from hwgen.compiler.work import Work
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.isa import COMMAND_BYTES, Mode

RUN_OVERHEAD = 10
FETCH_OVERHEAD = 8
DRAIN_OVERHEAD = 24
_COMMAND_BITS = 8 * COMMAND_BYTES


@dataclass(frozen=True)
class Estimate:
    """Cycles that each unit is busy with a layer, and what is not hidden at its ends."""

    run: int
    fetch: int
    weights: int
    post: int
    dma: int
    head: int
    tail: int
    double: tuple[bool, bool, bool]
    """Whether activations, weights and accumulators are double buffered, so that their units work beside the grid."""

    @property
    def cycles(self) -> float:
        units = (self.fetch, self.weights, self.post)
        serial = self.run + sum(u for u, beside in zip(units, self.double, strict=True) if not beside)
        # What loads from DRAM does so while the layer before computes; its own first fetch is only exposed when it does
        # not.
        return max(max(serial, *units) + 0.6 * self.head, self.dma) + 0.6 * self.tail


def _sizes(total: int) -> list[int]:
    return sorted({-(-total // n) for n in range(1, total + 1)})


def _tiles(work: Work, choice: Choice, groups: int, config: Config) -> Iterator[tuple[int, Shape, int]]:
    for _, count, rc, cc in channel_tiles(groups, choice.log2_rc, choice.log2_cc, config):
        shape = make_shape(config, rc, cc, choice.th, choice.tw, work.height, work.width)
        yield count, shape, -(-work.height // shape.block[0]) * -(-work.width // shape.block[1])


def estimate(work: Work, choice: Choice, config: Config) -> Estimate:
    """Estimate a layer in channel or depthwise mapping."""
    d, depthwise = Derived(config), work.mode is Mode.DEPTHWISE
    kh, kw = work.kernel
    words = 1 if depthwise else -(-work.channels.stop // d.word) - work.channels.start // d.word
    n_chunks = -(-kh // choice.rows) * -(-words // choice.words)
    channels = 1 if depthwise else len(work.channels)
    k = kh * kw * channels
    patch = Patch.of(work, choice.th, choice.tw, choice.rows, min(choice.words, words))
    wmem = -(-kw * choice.rows * min(channels, choice.words * d.word) * config.vector // d.word)
    keep_w, keep_a = n_chunks * wmem <= config.wmem_words, n_chunks * patch.size <= config.amem_words
    walked, stored = share(work, config, whole(work, d.word)), weight_store.share(work, config)
    windows = windows_per_round(work, config, choice.rows, min(choice.words, words), d.word)
    run = fetch = weights = post = dma = 0
    groups = -(-len(work.outputs) // config.vector)
    tail, first = 0, True
    rounds = choice.th * choice.tw
    head = 0
    for count, shape, tiles in _tiles(work, choice, groups, config):
        run += tiles * (int(rounds * max(n_chunks, k * walked, windows)) + n_chunks * RUN_OVERHEAD)
        parts = shape.rp * (min(shape.rc, count) if depthwise else 1)
        f = n_chunks * (parts * patch.size + FETCH_OVERHEAD)
        if first or depthwise or choice.weights_outer or not keep_a:
            fetch += tiles * f
        nbe = min(shape.rc, d.weight_buses)
        w = n_chunks * (-(-count // nbe) * wmem + FETCH_OVERHEAD)
        weights += w if choice.weights_outer and keep_w else tiles * w
        dma += int(n_chunks * -(-count // nbe) * wmem * stored) + count * d.param_block
        lanes = -(-min(count, shape.rc) * shape.rp * shape.cp * max(1, count // shape.rc) // d.pipes)
        tail = lanes * (rounds + 1) + DRAIN_OVERHEAD
        post += tiles * tail
        dma += tiles * (3 * n_chunks + 1) * _COMMAND_BITS // config.axi_bits
        if first:
            head = max(parts * patch.size, -(-count // nbe) * wmem) + 2 * FETCH_OVERHEAD
        first = False
    double = (
        2 * patch.size <= config.amem_words or (keep_a and not choice.weights_outer),
        keep_w or 2 * wmem <= config.wmem_words,
        2 * rounds <= config.acc_vectors,
    )
    return Estimate(run, fetch, weights, post, dma, head, tail, double)


def estimate_pixel(work: Work, choice: PixelChoice, config: Config) -> Estimate:
    """Estimate a layer in pixel mapping."""
    d = Derived(config)
    kh, kw = work.kernel
    words = -(-work.channels.stop // d.word) - work.channels.start // d.word
    n_chunks = -(-kh // choice.rows) * -(-words // choice.words)
    k = kh * kw * len(work.channels)
    vectors = choice.rows * kw * min(choice.words, words) * d.word
    full, rest = divmod(-(-len(work.outputs) // d.word), choice.blocks)
    sets = [
        (first * choice.blocks, n, rc, cc, choice.blocks)
        for first, n, rc, cc in channel_tiles(full, choice.log2_rc, choice.log2_cc, config)
    ]
    sets += [(full * choice.blocks, 1, 0, 0, rest)] if rest else []
    walked, stored = share(work, config, whole(work, d.word)), weight_store.share(work, config)
    windows = windows_per_round(work, config, choice.rows, min(choice.words, words), d.word)
    run = fetch = weights = post = dma = tail = head = 0
    wmem = 0
    for first, count, rc, cc, blocks in sets:
        shape = pixel_shape(work, choice, config, rc, cc)
        tiles = -(-work.height // shape.block[0]) * -(-work.width // shape.block[1])
        rounds = set_rounds(work, first, count, blocks, d.word)
        run += tiles * (int(rounds * max(n_chunks, k * walked, windows)) + n_chunks * RUN_OVERHEAD)
        fetch += tiles * n_chunks * (shape.rp * vectors + FETCH_OVERHEAD + 2 * d.word)
        wmem = max(wmem, -(-rounds * k // (n_chunks * d.word)))
        w = -(-count // min(shape.rc, d.weight_buses)) * -(-rounds * k // d.word) + n_chunks * FETCH_OVERHEAD
        weights += tiles * w if n_chunks * wmem > config.wmem_words else w
        dma += int(w * stored)
        tail = -(-count * shape.rp * shape.cp // d.pipes) * (blocks * d.word + d.word) + DRAIN_OVERHEAD
        post += tiles * tail
        dma += tiles * (3 * n_chunks + 1) * _COMMAND_BITS // config.axi_bits
        head = max(shape.rp * vectors, w // n_chunks)
    double = (
        2 * vectors <= config.amem_words,
        n_chunks == 1 or 2 * wmem <= config.wmem_words,
        2 * choice.blocks * d.word <= config.acc_vectors,
    )
    return Estimate(run, fetch, weights, post, dma, head, tail, double)


def _powers(limit: int) -> list[int]:
    return [*(1 << i for i in range(max(limit - 1, 0).bit_length()) if 1 << i < limit), limit]


def _splits(groups: int, config: Config) -> Iterator[tuple[int, int]]:
    for rc, cc in lane_splits(config):
        if groups > 1 << (rc + cc) >> 1:
            yield rc, cc


def whole_words(work: Work) -> int:
    """Return the least outputs of a row whose inputs begin a whole number of words apart."""
    layout = work.source.layout
    return layout.channels // gcd(layout.channels, work.stride[1] * layout.pixel_values) if layout.tight else 1


def candidates(work: Work, config: Config) -> Iterator[Choice]:
    """Yield the choices worth estimating for channel or depthwise mapping."""
    d, depthwise = Derived(config), work.mode is Mode.DEPTHWISE
    words = 1 if depthwise else -(-work.channels.stop // d.word) - work.channels.start // d.word
    limit = config.acc_vectors // 2
    groups = -(-len(work.outputs) // config.vector)
    per_word = d.vectors_per_word if depthwise else 1
    kw_words = {
        r: -(-work.kernel[1] * r * (1 if depthwise else d.word) * config.vector // d.word)
        for r in range(1, work.kernel[0] + 1)
    }
    # Every patch begins at the same place of a word.
    step = whole_words(work)
    widths = sorted({-(-tw // step) * step for tw in _sizes(work.width)})
    sizes = [(th, tw) for th in _sizes(work.height) for tw in widths if th * tw <= limit]
    # Tiny chunks are not worth a look unless the whole kernel needs more segments than there are.
    short = work.kernel[0] * (1 if depthwise else work.kernel[1]) <= config.segments // 2
    for n in _powers(words):
        for rows in sorted({-(-work.kernel[0] // i) for i in range(1, work.kernel[0] + 1)}, reverse=True):
            if kw_words[rows] * n > config.wmem_words:
                continue
            smaller = short and (rows != work.kernel[0] or n != words)
            for th, tw in sizes:
                patch = Patch.of(work, th, tw, rows, n).size
                if patch > config.amem_words or (
                    smaller and patch * 8 < config.amem_words and kw_words[rows] * n * 8 < config.wmem_words
                ):
                    continue
                for rc, cc in _splits(-(-groups // per_word), config):
                    for outer in (True, False):
                        yield Choice(rc, cc, th, tw, rows, n, outer)


def pixel_candidates(work: Work, config: Config) -> Iterator[PixelChoice]:
    """Yield the choices worth estimating for pixel mapping."""
    d, p = Derived(config), config.vector
    words = -(-work.channels.stop // d.word) - work.channels.start // d.word
    total = -(-len(work.outputs) // d.word)
    shapes = [(1 << i, p >> i) for i in range(p.bit_length()) if work.height > 1 or i == 0]
    for blocks in _powers(min(total, config.acc_vectors // d.word)):
        for n in _powers(words):
            for rows in sorted({-(-work.kernel[0] // i) for i in range(1, work.kernel[0] + 1)}):
                vectors = rows * work.kernel[1] * n * d.word
                weights = min(blocks, len(work.outputs) / d.word) * vectors
                if vectors > config.amem_words or weights > config.wmem_words:
                    continue
                for th, tw in shapes:
                    for rc, cc in _splits(-(-total // blocks), config):
                        yield PixelChoice(rc, cc, th, tw, rows, n, True, blocks)


def choose(work: Work, config: Config, count: int = 1) -> list[tuple[float, Choice]]:
    """Return the ``count`` best (estimated cycles, choice) of ``work`` in its mapping, best first; empty when
    none fits."""
    ranked: Iterable[tuple[float, Choice]]
    if work.mode is Mode.PIXEL:
        ranked = ((estimate_pixel(work, c, config).cycles, c) for c in pixel_candidates(work, config))
    else:
        ranked = ((estimate(work, c, config).cycles, c) for c in candidates(work, config))
    best: list[tuple[float, Choice]] = []
    for cycles, choice in sorted(ranked, key=lambda r: r[0]):
        good = pixel_fits(work, choice, config) if isinstance(choice, PixelChoice) else fits(work, choice, config)
        good = good and _in_reach(work, choice, config)
        if good:
            best.append((cycles, choice))
            if len(best) == count:
                break
    return best


def _in_reach(work: Work, choice: Choice, config: Config) -> bool:
    """True when the rows of a block of outputs, however channels are dealt out, are no more than commands can name."""
    most = ROWS // work.stride[0]
    return choice.th * Derived(config).lanes <= most or all(
        make_shape(config, rc, cc, choice.th, choice.tw, work.height, work.width).block[0] <= most
        for rc, cc in lane_splits(config)
        if rc <= choice.log2_rc and cc <= choice.log2_cc
    )


def tiles(work: Work, choice: Choice, config: Config) -> list[Tile]:
    """Return the tiles of ``work``; its weights stay in the weight buffer when they (or a channel tile's) fit in
    half of it."""
    shared = _tiles_of(work, choice, config, share=True)
    blocks = {id(t.block): t.block for t in shared if t.block}.values()
    d = Derived(config)
    live = [(len(b.constant.weights), len(b.constant.params)) for b in blocks]
    if not choice.weights_outer:
        live = [(sum(w for w, _ in live), sum(p for _, p in live))]
    if all(2 * w <= d.weight_words * d.dma_bytes and 2 * p <= d.param_words * d.dma_bytes for w, p in live):
        return shared
    single = _tiles_of(work, choice, config, share=False)
    for block in {id(t.block): t.block for t in single if t.block}.values():
        if (
            len(block.constant.weights) > d.weight_words * d.dma_bytes
            or len(block.constant.params) > d.param_words * d.dma_bytes
        ):
            return []
    return single


def _tiles_of(work: Work, choice: Choice, config: Config, *, share: bool) -> list[Tile]:
    if isinstance(choice, PixelChoice):
        return list(pixel_tiles(work, choice, config, share=share))
    return list(patch_tiles(work, choice, config, share=share))
