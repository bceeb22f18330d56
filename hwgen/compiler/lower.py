"""Operators to tiles: resident ones in one go, others in stripes through DRAM."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from hwgen.compiler import choose
from hwgen.compiler.context import Context, Tile
from hwgen.compiler.density import Density, Profile
from hwgen.compiler.eltwise import Box, Rescale, command_tiles, identity, rescale_tiles
from hwgen.compiler.maps import ROWS, Layout, View
from hwgen.compiler.packed import Packing
from hwgen.compiler.patch import Choice
from hwgen.compiler.place import Placement, Stripe
from hwgen.compiler.reduce import (
    Site,
    as_column,
    as_rectangle,
    concat_works,
    conv_works,
    pool_works,
    reads_pads,
    single_row,
)
from hwgen.compiler.residual import addition, beside, operands
from hwgen.compiler.rows import input_rows, stripe_rows
from hwgen.compiler.work import Work
from hwgen.config import SMALLEST, Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.isa import Mode
from hwgen.model.graph import Add, Concat, Conv, Graph, Op, Pad, Pool, Requant, Requantize, Reshape

ROWS_PIECE = 128
"""Least DMA words of a copy of rows: shorter ones cost more commands than they let work begin earlier."""

TRIED = 8
"""Choices of each mapping that the cycle model is asked about."""


@dataclass
class Lowering:
    """Lowers the operators of one graph; ``mappings`` restricts the mapping search (tests force one)."""

    graph: Graph
    config: Config
    placement: Placement
    mappings: tuple[str, ...]
    profile: Profile
    packings: dict[str, Packing]
    chooser: Callable[[list[tuple[float, Choice, Work]], Config], tuple[Choice, Work, list[Tile]]]
    form: str = SMALLEST
    """How weights are stored."""
    picked: dict[int, tuple[str, str]] = field(default_factory=dict)
    """(mapping, detail) by operator index."""
    _choices: dict[tuple[int, int], tuple[int, Choice]] = field(default_factory=dict)
    """Which option, and how."""
    _shared: dict[tuple[int, int], dict[object, object]] = field(default_factory=dict)

    def tiles(self, index: int, op: Op) -> list[Tile]:
        """Return the tiles of operator ``index``."""
        if isinstance(op, Reshape):
            self.picked[index] = ("none", "alias")
            return []
        stripe = self.placement.stripes.get(index)
        if stripe is None:
            views = {n: self.placement.view(n) for n in (*op.inputs, op.output)}
            layout = self.placement.layouts[op.output]
            return list(self._operator(index, op, views, range(0, layout.height)))
        return list(self._striped(index, op, stripe))

    def _striped(self, index: int, op: Op, stripe: Stripe) -> Iterator[Tile]:
        place = self.placement
        out = place.layouts[op.output]
        for number, start in enumerate(range(0, out.height, stripe.rows)):
            rows = range(start, min(start + stripe.rows, out.height))
            views, stores = {}, []
            for name in dict.fromkeys((*op.inputs, op.output)):
                layout = place.layouts[name]
                if (index, name) not in place.stages:
                    views[name] = place.view(name)
                    continue
                need = rows if name == op.output else input_rows(op, rows, layout.height)
                most = stripe_rows(op, place.layouts, name, stripe.rows)
                base = place.stages[index, name] + (number % stripe.buffers) * most * layout.pitch
                views[name] = View(f"{name}@{number}", layout, base - need.start * layout.pitch, need.start, need.stop,
                                   need.start if layout.height > ROWS else 0)  # fmt: skip
                if name == op.output:
                    stores.append(self._copy(name, need, base, out=True))
                    continue
                pieces = [need] if name in self.packings else row_pieces(layout, need, self.config)
                for piece in pieces:
                    at = base + (piece.start - need.start) * layout.pitch
                    yield Tile(index, self._copy(name, piece, at, out=False))
            yield from self._operator(index, op, views, rows)
            for store in stores:
                yield Tile(index, store)

    def _copy(self, name: str, rows: range, chip: int, *, out: bool) -> Callable[[Context], None]:
        """Return what copies rows of a map from DRAM to activation word ``chip``, or back."""
        packing = self.packings.get(name)
        if packing is not None:
            return lambda context: context.copy_packed(packing, rows.start, rows.stop, chip, out=out)
        offset, count = self.placement.layouts[name].rows(rows.start, rows.stop)
        return (_copy_out if out else _copy_in)(self.placement.dram[name] + offset, chip, count)

    def _operator(self, index: int, op: Op, views: dict[str, View], rows: range) -> Iterator[Tile]:
        tensors = self.graph.tensors
        source, result = views[op.inputs[0]], views[op.output]
        site = Site(index, source, result, rows, tensors[op.inputs[0]].zero_point, tensors[op.output].zero_point,
                    self.profile.get(op.inputs[0], Density()), self.form)
        if isinstance(op, Conv):
            modes = [m for m in (Mode.CHANNEL, Mode.PIXEL) if m.name.lower() in self.mappings]
            if op.depthwise and op.groups == op.weight.shape[0] and "depthwise" in self.mappings:
                modes = [Mode.DEPTHWISE]
            elif source.layout.tight or (self.form == "vector" and Derived(self.config).leaves_rows):
                # Such maps are read so, and such streams are for vector operands.
                modes = []
            modes = modes or [Mode.CHANNEL]
            column, site = as_column(op, site, self.config)
            options = [conv_works(column, site, m, self.config, pads=pads)
                       for pads in reads_pads(column, site, self.config) for m in modes]  # fmt: skip
            yield from self._reduce(index, op, options)
        elif isinstance(op, Pool):
            yield from self._reduce(index, op, [pool_works(*as_rectangle(op, site, self.config), self.config)])
        elif isinstance(op, Add):
            yield from self._add(index, op, views, rows)
        elif isinstance(op, Requantize):
            yield from self._rescale(index, source, result, rows, site.in_zero, op.requant)
        elif isinstance(op, Concat):
            yield from self._concat(index, op, views, rows)
        elif isinstance(op, Pad):
            yield from self._pad(index, op, source, result, rows)

    def _reduce(self, index: int, op: Op, options: list[list[Work]]) -> Iterator[Tile]:
        """Yield the tiles of a convolution or pooling in the best of its mappings (one list of works each)."""
        for number in range(len(options[0]) if len(options) == 1 else 1):
            key = (index, number)
            if key not in self._choices:
                ranked, option = [], {}
                for at, works in enumerate(options):
                    whole = [single_row(w) for w in works]
                    option[id(whole[number])] = at
                    found = [
                        choose.choose(w, self.config, TRIED)
                        for w in whole[number : number + 1] + (whole[1:] if len(options) > 1 else [])
                    ]
                    if all(found):
                        extra = sum(f[0][0] for f in found[1:])
                        ranked += [(cycles + extra, choice, whole[number]) for cycles, choice in found[0]]
                if not ranked:
                    raise HwgenError(
                        f"config {self.config.name!r} cannot hold a single tile of this layer",
                        where=op.name,
                        remedy="use a larger preset or raise amem_words, wmem_words, weight_kib or acc_vectors",
                    )
                choice, work, _ = self.chooser(sorted(ranked, key=lambda r: r[0]), self.config)
                self._choices[key] = (option[id(work)], choice)
                if number == 0:
                    self.picked[index] = (work.mode.name.lower(), _describe(choice))
            at, choice = self._choices[key]
            if len(options) > 1:
                for n, work in enumerate(options[at]):
                    yield from self._tiles(index, n, single_row(work), choice, op)
            else:
                yield from self._tiles(index, number, single_row(options[0][number]), choice, op)

    def _tiles(self, index: int, number: int, work: Work, choice: Choice, op: Op) -> list[Tile]:
        shared = self._shared.setdefault((index, number), {})
        found = choose.tiles(replace(work, dedupe=shared), choice, self.config)
        if not found:
            raise HwgenError(
                f"the weight buffer of config {self.config.name!r} cannot hold a single tile",
                where=op.name,
                remedy="use a larger preset or raise weight_kib or param_kib",
            )
        return found

    def _rescale(
        self,
        index: int,
        source: View,
        result: View,
        rows: range,
        zero: int,
        requant: Requant,
        out_row: int = 0,
        out_word: int = 0,
    ) -> Iterator[Tile]:
        a, b = source.layout, result.layout
        count = a.width * a.pixel
        yield from rescale_tiles(
            index,
            Rescale(
                result,
                Box(source.address(rows.start, 0), a.pitch),
                Box(result.address(rows.start + out_row, 0, out_word), b.pitch),
                len(rows),
                count,
                zero,
                requant,
            ),
            self.config,
        )
        self.picked.setdefault(index, ("elementwise", "copy"))

    def _add(self, index: int, op: Add, views: dict[str, View], rows: range) -> Iterator[Tile]:
        self.picked[index] = ("elementwise", "add")
        yield from rescale_tiles(index, addition(op, views, rows, self.graph.tensors), self.config)

    def beside(self, index: int, op: Add, producer: list[Tile]) -> list[Tile]:
        """Return the tiles of an addition and of the operator before it, which work side by side."""
        self.picked[index] = ("elementwise", "add")
        views = {n: self.placement.view(n) for n in (*op.inputs, op.output)}
        work = addition(op, views, range(views[op.output].layout.height), self.graph.tensors)
        return [operands(index, op, self.graph.tensors), *beside(index, work, producer, self.config)]

    def _concat(self, index: int, op: Concat, views: dict[str, View], rows: range) -> Iterator[Tile]:
        result, p, vpw = views[op.output], self.config.vector, Derived(self.config).vectors_per_word
        zero, at = self.graph.tensors[op.output].zero_point, 0
        self.picked[index] = ("elementwise", "copy")
        for number, name in enumerate(op.inputs):
            source = views[name]
            a, b = source.layout, result.layout
            if op.axis == 1:
                yield from self._rescale(index, source, result, range(0, a.height), zero, identity(zero), out_row=at)
                at += a.height
            elif op.axis == 2:
                yield from self._rescale(index, source, result, rows, zero, identity(zero), out_word=at * b.pixel)
                at += a.width
            elif at % (p * vpw) or (a.channels % (p * vpw) and number + 1 < len(op.inputs) and b.pixel != a.pixel):
                site = Site(index, source, result, rows, zero, zero)
                for part, work in enumerate(concat_works(site, at, self.config)):
                    best = choose.choose(work, self.config)
                    if not best:
                        raise HwgenError(
                            "cannot hold a single tile of this layer", where=op.name, remedy="use a larger preset"
                        )
                    yield from self._tiles(index, 2 * number + part, work, best[0][1], op)
                at += a.channels
                self.picked[index] = ("channel", "identity convolution (channels not aligned)")
            else:
                for w in range(a.pixel):
                    # One word of every pixel: source and result pixels have different spacing.
                    for y in rows:
                        yield from command_tiles(
                            index,
                            Rescale(
                                result,
                                Box(source.address(y, 0, w), a.pixel),
                                Box(result.address(y, 0, at // (p * vpw) + w), b.pixel),
                                a.width,
                                1,
                                zero,
                                identity(zero),
                            ),
                            self.config,
                        )
                at += a.channels

    def _pad(self, index: int, op: Pad, source: View, result: View, rows: range) -> Iterator[Tile]:
        top, _, left, _ = op.pad
        a, b = source.layout, result.layout
        zero = self.graph.tensors[op.output].zero_point
        fill = replace(identity(zero), multiplier=identity(zero).multiplier * 0)
        inside = range(max(rows.start, top), min(rows.stop, top + a.height))
        for y in rows:
            spans = [(0, b.width)] if y not in inside else [(0, left), (left + a.width, b.width)]
            for x0, x1 in spans:
                if x1 > x0:
                    yield from command_tiles(
                        index,
                        Rescale(
                            result,
                            Box(source.address(source.first, 0), 0),
                            Box(result.address(y, x0), b.pitch),
                            1,
                            (x1 - x0) * b.pixel,
                            0,
                            fill,
                            fixed=True,
                        ),
                        self.config,
                    )
        if inside:
            yield from rescale_tiles(
                index,
                Rescale(
                    result,
                    Box(source.address(inside.start - top, 0), a.pitch),
                    Box(result.address(inside.start, left), b.pitch),
                    len(inside),
                    a.width * a.pixel,
                    zero,
                    identity(zero),
                ),
                self.config,
            )
        self.picked[index] = ("elementwise", "pad")


def _describe(choice: Choice) -> str:
    return (
        f"rc {1 << choice.log2_rc}, cc {1 << choice.log2_cc}, tile {choice.th}x{choice.tw}, chunk {choice.rows} rows x "
        f"{choice.words} words, {'weights' if choice.weights_outer else 'pixels'} outer"
    )


def _copy_in(dram: int, chip: int, count: int) -> Callable[[Context], None]:
    return lambda context: context.copy_in(dram, chip, count)


def _copy_out(dram: int, chip: int, count: int) -> Callable[[Context], None]:
    return lambda context: context.copy_out(dram, chip, count)


def boundary_tiles(index: int, view: View, dram: int, config: Config, *, out: bool) -> list[Tile]:
    """Return the copies of a resident map from or to DRAM, in pieces of rows: work begins on the first one."""
    copy = _copy_out if out else _copy_in
    spans = [view.layout.rows(r.start, r.stop) for r in row_pieces(view.layout, range(view.layout.height), config)]
    return [Tile(index, copy(dram + offset, view.base + offset, count)) for offset, count in spans]


def row_pieces(layout: Layout, rows: range, config: Config) -> Iterator[range]:
    """Cut rows of a map into the shortest pieces that are worth a command."""
    step = max(1, -(-ROWS_PIECE * Derived(config).dma_words // layout.pitch))
    for start in range(rows.start, rows.stop, step):
        yield range(start, min(start + step, rows.stop))
