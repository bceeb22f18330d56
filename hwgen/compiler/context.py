"""State shared by everything that emits commands for one program."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hwgen import isa
from hwgen.compiler.contention import Walk, fetch_cycles
from hwgen.compiler.nest import fold
from hwgen.compiler.packed import Packing
from hwgen.compiler.rings import BlockRing, Ring
from hwgen.compiler.shape import Shape
from hwgen.compiler.stream import Stream
from hwgen.compiler.weight_store import Stored
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.golden.packed_map import slot_words

LOAD_PIECE, FIRST_PIECE = 512, 64
"""DMA words of a weight LOAD, and of the very first one, as long as a burst: nothing can begin before it."""


@dataclass(eq=False)
class Constant:
    """Weights and parameters of one channel tile as they lie in DRAM, weights first, both in whole DMA words."""

    stored: Stored
    params: NDArray[np.uint8]
    dram: int = -1
    """DRAM byte address, set when the image is laid out."""

    @property
    def weights(self) -> NDArray[np.uint8]:
        return self.stored.raw


@dataclass(eq=False)
class Block:
    """One residence of a constant in the weight and parameter buffers, released after the last tile that uses it."""

    constant: Constant
    uses: int = 0
    weight_at: int = -1
    param_at: int = -1


@dataclass(eq=False)
class Tile:
    """A piece of work: ``emit`` appends its commands; ``block`` must be loaded before."""

    layer: int
    emit: Callable[[Context], None]
    block: Block | None = None
    span: tuple[int, int] = (0, 0)
    """Words of the layer's result, counted from its first, among which are all that this tile writes."""
    words: tuple[int, int] = (0, 1 << 16)
    """Words of a pixel among which are all that this tile writes."""


@dataclass
class Context:
    """Stream, memories and image under construction."""

    config: Config
    image: Image
    exact: bool = True
    """Simulate every AFETCH's bank conflicts; otherwise the first one of a kind stands for all (mapping search)."""
    stream: Stream = field(init=False)
    d: Derived = field(init=False)

    def __post_init__(self) -> None:
        c, self.d = self.config, Derived(self.config)
        self.stream = Stream(
            {
                "act": self.d.act_words,
                "weight": self.d.weight_words,
                "param": self.d.param_words,
                "wmem": c.wmem_words,
                "amem": c.amem_words,
                "acc": c.acc_vectors,
                "dram": self.image.map_words,
            }
        )
        unit = self.d.bits_words
        self.wmem, self.amem = Ring(c.wmem_words, unit), Ring(c.amem_words, unit)
        self.acc = Ring(c.acc_vectors)
        self._tables: list[tuple[tuple[int, int, int], ...]] = [(), ()]
        self._half = 0
        self._book = b""
        self._stretch: dict[object, float] = {}
        self._lags: tuple[int, ...] = ()
        self._piece = FIRST_PIECE
        self.accumulators = (0, 0)
        """First vector and number of vectors of the tile that is being computed."""
        self._weight, self._param = BlockRing(self.d.weight_words), BlockRing(self.d.param_words)

    def load(self, block: Block, *, force: bool = False) -> bool:
        """Emit the LOADs of a block if its space is free; with ``force`` it must be."""
        d = self.d
        constant = block.constant
        weights, params = len(constant.weights) // d.dma_bytes, len(constant.params) // d.dma_bytes
        weight_at = self._weight.reserve(block, weights)
        param_at = None if weight_at is None else self._param.reserve(block, params)
        if weight_at is None or param_at is None:
            self._weight.release(block)
            if force:
                raise HwgenError(
                    "the weights and parameters of one tile do not fit in the buffers",
                    where=f"operator {self.stream.layer}",
                    remedy="use a larger preset or raise weight_kib or param_kib",
                )
            return False
        block.weight_at, block.param_at = weight_at, param_at
        for buffer, memory, at, count, dram in (
            (isa.Buffer.PARAM, "param", param_at, params, constant.dram + len(constant.weights)),
            (isa.Buffer.WEIGHT, "weight", weight_at, weights, constant.dram),
        ):
            # In pieces, so that the first WFETCH need not wait for the last word.
            for start, n in self._pieces(count, buffer is isa.Buffer.WEIGHT):
                self.stream.add(
                    "LOAD",
                    {"dram": dram + start * d.dma_bytes, "buffer": int(buffer), "dst": at + start, "count": n},
                    writes=[(memory, slice(at + start, at + start + n))],
                )
        return True

    def _pieces(self, count: int, weights: bool) -> Iterator[tuple[int, int]]:
        """Yield start and DMA words of the LOADs of ``count`` words; of the first weights they grow from small ones."""
        start = 0
        while start < count:
            n = min(self._piece if weights else LOAD_PIECE, count - start)
            yield start, n
            start += n
            if weights:
                self._piece = min(2 * self._piece, LOAD_PIECE)

    def release(self, block: Block) -> None:
        self._weight.release(block)
        self._param.release(block)

    def nest(self, name: str, counts: Sequence[int], first: int = 0, **strides: Sequence[int]) -> None:
        """Set the levels of a nest (``AF_LEVEL`` or ``PO_LEVEL``) from ``first`` on from natural strides."""
        folded = {k: fold(counts, v) for k, v in strides.items()}
        for level, count in enumerate(counts):
            # A level of one iteration never advances: what it would add does not matter.
            if count > 1 or self.stream.held(name, first + level).get("count") != 1:
                values = {k: v[level] for k, v in folded.items()}
                self.stream.setting(name, first + level, level=first + level, count=count, **values)

    def fetch_weights(self, block: Block, number: int, key: object, words: int, shape: Shape, count: int) -> int:
        """Emit the fetch of part ``number`` of a block, ``count`` lane groups of ``words`` wmem words, unless the lanes
        still hold them; return their wmem word."""
        nbe = min(shape.rc, self.d.weight_buses)
        groups = count // shape.rc * (shape.rc // nbe) if count >= shape.rc else -(-count // nbe)
        stored = block.constant.stored
        part = stored.parts[number]
        at, held = self.wmem.place((block.constant, key), words, part.unit)
        if held:
            return at
        if self.d.weight_zero:
            self.stream.setting("WF_ZERO", zero_point=stored.zero_point)
        src = block.weight_at + stored.book_words + sum(p.words for p in stored.parts[:number])
        if part.stream.get("codebook") and self._book != stored.book:
            self._book = stored.book
            book = slice(block.weight_at, block.weight_at + stored.book_words)
            self.stream.add(
                "CODEBOOK",
                {"src": block.weight_at, "log2_entries": len(stored.book).bit_length() - 1},
                reads=[("weight", book)],
            )
        self.stream.add(
            "WSTREAM" if part.stream else "WFETCH",
            {
                "src": src,
                "count": words,
                "dst": at,
                "groups": groups,
                "log2_rc": shape.log2_rc,
                "log2_cc": shape.log2_cc,
                **part.stream,
            },
            reads=[("weight", slice(src, src + part.words))],
            writes=[("wmem", slice(at, at + -(-words // part.unit) * part.unit))],
            cycles=part.cycles,
        )
        return at

    def fetch_cycles(self, walk: Walk, drained: bool) -> int:
        """Return the cycles an AFETCH takes on the buses; ``drained`` when all engines had come to rest before it."""
        if self.exact:
            self._lags = () if drained else self._lags
            cycles, self._lags = fetch_cycles(walk, self.config, self._lags)
            return cycles
        kind = (walk.counts, walk.dy, walk.dx, len(walk.starts))
        if kind not in self._stretch:
            _, lags = fetch_cycles(walk, self.config, ())
            self._stretch[kind] = fetch_cycles(walk, self.config, lags)[0] / walk.words
        return round(walk.words * self._stretch[kind])

    def copy_in(self, dram_word: int, act_word: int, count: int) -> None:
        """Emit a LOAD of ``count`` activation words (multiples of the DMA word)."""
        nb = self.d.dma_words
        self.stream.add(
            "LOAD",
            {
                "dram": self.image.map_base + dram_word * self.d.word,
                "buffer": int(isa.Buffer.ACT),
                "dst": act_word // nb,
                "count": count // nb,
            },
            reads=[("dram", slice(dram_word, dram_word + count))],
            writes=[("act", slice(act_word, act_word + count))],
        )

    def copy_out(self, dram_word: int, act_word: int, count: int) -> None:
        """Emit a STORE of ``count`` activation words."""
        nb = self.d.dma_words
        self.stream.add(
            "STORE",
            {"dram": self.image.map_base + dram_word * self.d.word, "src": act_word // nb, "count": count // nb},
            reads=[("act", slice(act_word, act_word + count))],
            writes=[("dram", slice(dram_word, dram_word + count))],
        )

    def copy_packed(self, packing: Packing, first: int, last: int, act_word: int, *, out: bool) -> None:
        """Emit a LOAD_PACKED, or with ``out`` a STORE_PACKED, of rows ``first`` .. ``last`` - 1 of a map."""
        d, per_row, step = self.d, packing.per_row, slot_words(packing.block) * self.d.dma_words
        blocks, dram = (last - first) * per_row, packing.dram + first * per_row * step
        chip = [("act", slice(act_word, act_word + blocks * packing.block * d.dma_words))]
        slots = [("dram", slice(dram, dram + blocks * step))]
        self.stream.add(
            "STORE_PACKED" if out else "LOAD_PACKED",
            {
                "dram": self.image.map_base + dram * d.word,
                "src" if out else "dst": act_word // d.dma_words,
                "blocks": blocks,
                "block": packing.block,
                "zero_point": packing.zero_point,
                "slot": packing.slot + first * per_row,
            },
            reads=chip if out else slots,
            writes=slots if out else chip,
            moved=(packing.expected,) * blocks,
        )

    def segment_table(self, rows: Sequence[tuple[int, int, int]]) -> tuple[int, int]:
        """Make the segment table hold ``rows`` of (s_offset, v_start, length); return (first, count).

        The table is used in halves: a half is rewritten only when the latest RUN, which may still walk, uses the other.
        """
        half = self.config.segments // 2
        if len(rows) > half:
            raise ValueError(f"{len(rows)} segments do not fit in half a table of {self.config.segments}")
        if tuple(rows) not in self._tables:
            self._half ^= 1
            self._tables[self._half] = tuple(rows)
            for i, (s_offset, v_start, length) in enumerate(rows):
                self.stream.add(
                    "SEGMENT",
                    {
                        "index": self._half * half + i,
                        "s_offset": s_offset & 0xFFFF,
                        "v_start": v_start,
                        "length": length,
                    },
                )
        else:
            self._half = self._tables.index(tuple(rows))
        return self._half * half, len(rows)


@dataclass
class Image:
    """DRAM layout: constants (weights and parameters) from address 0, then maps, then commands."""

    map_base: int = 0
    map_words: int = 1


def emit(context: Context, tiles: list[Tile], lookahead: int) -> None:
    """Emit tiles in order, loading the blocks of coming tiles up to ``lookahead`` tiles ahead where they fit."""
    pending: deque[tuple[int, Block]] = deque()
    seen: set[int] = set()
    for i, tile in enumerate(tiles):
        if tile.block is not None:
            tile.block.uses += 1
            if id(tile.block) not in seen:
                seen.add(id(tile.block))
                pending.append((i, tile.block))
    first = pending[0][0] if pending else 0
    for i, tile in enumerate(tiles):
        # The input comes before all weights but those of the first tile, which go behind its first piece: for a layer
        # by itself. `prefetch` brings the LOADs of a program in the order in which they are needed.
        while pending and pending[0][0] <= (i + lookahead if i >= first else first if i else 0):
            context.stream.layer = tiles[pending[0][0]].layer
            if not context.load(pending[0][1], force=pending[0][0] == i):
                break
            pending.popleft()
        context.stream.layer = tile.layer
        tile.emit(context)
        if tile.block is not None:
            tile.block.uses -= 1
            if tile.block.uses == 0:
                context.release(tile.block)
