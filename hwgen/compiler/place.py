"""Which maps stay in the activation buffer, which are striped through DRAM, and at which addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hwgen.compiler.maps import ROWS, Layout, View, banks
from hwgen.compiler.rows import loads, stripe_rows
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.model.graph import Add, Concat, Graph, Op, Reshape

PIECES, FIRST_PIECES = 8, 4
"""Least number of double-buffered stripes, and of those of the network's input alone: there the bus is what all waits
for, and every stripe loads rows again that it shares with the one before."""

SHARES = 8
"""Stripe buffers are tried in all, then 7/8 and so on, of what maps leave free."""


@dataclass(frozen=True)
class Stripe:
    """Rows of an operator's output computed at a time when some of its maps are in DRAM, and the input rows that
    takes."""

    rows: int
    buffers: int
    """1, or 2 when the next stripe loads while this one is computed."""


@dataclass
class Placement:
    """Result of `place`."""

    layouts: dict[str, Layout]
    root: dict[str, str] = field(default_factory=dict)
    """The map whose memory a map shares (`aliases`)."""
    chip: dict[str, int] = field(default_factory=dict)
    """Activation buffer word address of every map that is resident."""
    dram: dict[str, int] = field(default_factory=dict)
    """DRAM word offset (in the map region) of the network's ends and of every map that is not resident."""
    stripes: dict[int, Stripe] = field(default_factory=dict)
    """Operators (by index) that run in stripes."""
    stages: dict[tuple[int, str], int] = field(default_factory=dict)
    """Activation buffer word address of the stripe buffers of (operator, map)."""
    dram_words: int = 0
    reloads: float = 1.0
    """How often the rows of the map that is loaded most often are loaded: stripes share some."""

    def view(self, name: str) -> View:
        layout = self.layouts[name]
        return View(name, layout, self.chip[name], 0, layout.height)


def aliases(graph: Graph, ops: tuple[Op, ...]) -> dict[str, str]:
    """Map every tensor to the one whose memory it shares.

    Reshapes share theirs (`preflight` has refused those that move bytes); an addition overwrites an operand that
    nothing reads afterwards, if possible one that the operator before does not read either: the addition can then run
    between the tiles of that operator.
    """
    root = {name: name for name in graph.tensors}
    uses: dict[str, int] = {}
    for i, op in enumerate(ops):
        if isinstance(op, Reshape):
            root[op.output] = root[op.inputs[0]]
        for name in op.inputs:
            uses[root[name]] = i
    given = {root[name] for name in graph.input_maps}
    uses.update((root[name], len(ops)) for name in graph.output_maps)
    for i, op in enumerate(ops):
        dead = [n for n in op.inputs if uses[root[n]] == i and root[n] not in given]
        if isinstance(op, Add) and dead:
            read = {root[n] for n in ops[i - 1].inputs} if i else set()
            dead.sort(key=lambda n: root[n] in read)
            old, new = root[op.output], root[dead[0]]
            root = {n: new if r == old else r for n, r in root.items()}
            uses[new] = max(uses.get(old, i), i)
    return root


def place(
    graph: Graph, layouts: dict[str, Layout], config: Config, ops: tuple[Op, ...], most: float = np.inf
) -> Placement:
    """Place every map; raises HwgenError when not even one row of stripes fits.

    Everything resident is tried first; while it does not fit, the largest map that is alive at the tightest operator
    moves to DRAM, whose producer and consumers then run in stripes. These load a map's rows ``most`` times at most.
    """
    root = aliases(graph, ops)
    spilled = {root[n] for n in _mapped(graph, ops) if layouts[n].height > ROWS}
    shares: dict[int, int] = {}
    while True:
        try:
            return _fewest_conflicts(
                ops,
                layouts,
                config,
                lambda phase: _try(graph, layouts, config, ops, root, spilled, shares, phase, most),
            )
        except _FullError as full:
            shrink = max(full.stages, key=lambda s: shares.get(s, SHARES), default=None)
            if shrink is not None and shares.get(shrink, SHARES) > 1:
                shares[shrink] = shares.get(shrink, SHARES) - 1
                continue
            candidates = [n for n in full.live if n not in spilled]
            if not candidates:
                name = ops[full.op].name if 0 <= full.op < len(ops) else graph.name
                raise HwgenError(
                    f"the activation buffer of {config.act_kib} KiB cannot hold a single tile", where=name
                ) from None
            spilled.add(max(candidates, key=lambda n: (layouts[n].words, n)))


def _mapped(graph: Graph, ops: tuple[Op, ...]) -> set[str]:
    """Return the maps that the machine has."""
    return {*graph.input_maps, *graph.output_maps, *(n for op in ops for n in (*op.inputs, op.output))}


def _fewest_conflicts(
    ops: tuple[Op, ...], layouts: dict[str, Layout], config: Config, attempt: Callable[[int], Placement]
) -> Placement:
    """Return the placement in which the operands of additions, read in step, want the same bank least often.

    The second operands are shifted by a few words against the first ones.
    """
    best: tuple[int, Placement] | None = None
    failure: _FullError | None = None
    for phase in range(config.banks):
        try:
            placement = attempt(phase)
        except _FullError as error:
            failure = failure or error
            continue
        conflicts = 0
        for op in ops:
            if isinstance(op, Add) and all(n in placement.chip for n in op.inputs):
                words = np.arange(layouts[op.output].words, dtype=np.int64)
                a, b = (banks(words + placement.chip[n], config) for n in op.inputs)
                conflicts += int(np.count_nonzero(a == b))
        if best is None or conflicts < best[0]:
            best = conflicts, placement
        if conflicts == 0:
            break
    if best is None:
        assert failure is not None
        raise failure
    return best[1]


class _FullError(Exception):
    """Raised when the maps do not fit; ``stages`` are the operators whose stripe buffers could be smaller."""

    def __init__(self, op: int, live: list[str], stages: list[int] | None = None) -> None:
        super().__init__()
        self.op, self.live, self.stages = op, live, stages or []


@dataclass
class _Item:
    key: object
    words: int
    start: int
    stop: int
    phase: int = 0
    """Bank of the first word."""
    at: int = -1


def _try(
    graph: Graph,
    layouts: dict[str, Layout],
    config: Config,
    ops: tuple[Op, ...],
    root: dict[str, str],
    spilled: set[str],
    shares: dict[int, int],
    phase: int,
    most: float,
) -> Placement:
    d = Derived(config)
    ends = list(dict.fromkeys((*graph.input_maps, *graph.output_maps)))
    given = {root[n] for n in graph.input_maps}
    life: dict[str, list[int]] = {}
    for i, op in enumerate(ops):
        for name in (*op.inputs, op.output):
            # An input is there when the operator before its first reader begins.
            life.setdefault(root[name], [i - (root[name] in given), i])[1] = i
    # Maps that DMA copies keep its alignment.
    second = {root[op.inputs[1]] for op in ops if isinstance(op, Add)} - {root[n] for n in ends}
    items: list[_Item] = [
        _Item(n, layouts[n].words, a, b, phase if n in second else 0)
        for n, (a, b) in life.items()
        if n not in spilled
    ]
    result = Placement(layouts, root)
    for i, op in enumerate(ops):
        maps = [n for n in dict.fromkeys((*op.inputs, op.output)) if root[n] in spilled]
        if maps and not isinstance(op, Reshape):
            if isinstance(op, Concat) and op.axis == 1:
                raise HwgenError(
                    f"the activation buffer of {config.act_kib} KiB cannot hold a concatenation of rows", where=op.name
                )
            free = d.act_words - sum(item.words for item in items if item.start <= i <= item.stop)
            allowed = free * shares.get(i, SHARES) // SHARES
            stripe = _stripe(op, maps, layouts, allowed, i, first=len(maps) == 1 and maps[0] in graph.input_maps)
            often = loads(op, maps, layouts, stripe[0].rows) if stripe else 0.0
            result.reloads = max(result.reloads, often)
            if stripe is None or often > most:
                raise _FullError(i, [str(n) for n, (a, b) in life.items() if a <= i <= b])
            result.stripes[i] = stripe[0]
            items += stripe[1]
    failed = _pack(items, d.act_words, max(d.dma_words, config.banks))
    if failed is not None:
        where = max(
            range(failed.start, failed.stop + 1), key=lambda t: sum(i.words for i in items if i.start <= t <= i.stop)
        )
        stages = [i.key[0] for i in items if isinstance(i.key, tuple) and failed.start <= i.start <= failed.stop]
        raise _FullError(where, [str(n) for n, (a, b) in life.items() if a <= where <= b], stages)
    for item in items:
        if isinstance(item.key, tuple):
            result.stages[item.key] = item.at
        else:
            result.chip[str(item.key)] = item.at
    for n, r in root.items():
        if r in result.chip:
            result.chip[n] = result.chip[r]
    for n in [*ends, *sorted(spilled)]:
        if root[n] not in result.dram:
            result.dram[root[n]] = result.dram_words
            result.dram_words += -(-layouts[n].words // d.dma_words) * d.dma_words
    for n, r in root.items():
        if r in result.dram:
            result.dram[n] = result.dram[r]
    return result


def _stripe(
    op: Op, maps: list[str], layouts: dict[str, Layout], free: int, at: int, *, first: bool
) -> tuple[Stripe, list[_Item]] | None:
    """Return the largest stripe (two buffers preferred) of operator ``at`` whose buffers fit in ``free`` words;
    ``first`` when only the network's input is striped."""
    out = layouts[op.output]
    heights = {n: -(-out.height // n) for n in range(1, out.height + 1)}
    wanted = [(2, n) for n in heights if n >= min(PIECES, out.height)] + [(1, n) for n in heights]
    if first:
        # Equal ones only: tiles are cut to fit them.
        wanted = [(2, n) for n in heights if FIRST_PIECES <= n < PIECES and out.height % n == 0] + wanted
    for buffers, pieces in wanted:
        rows = heights[pieces]
        lengths = {n: stripe_rows(op, layouts, n, rows) for n in maps}
        need = [((at, n), buffers * layouts[n].pitch * length) for n, length in lengths.items()]
        if sum(w for _, w in need) <= free and max(lengths.values()) <= ROWS:
            return Stripe(rows, buffers), [_Item(k, w, at, at) for k, w in need]
    return None


def _pack(items: list[_Item], capacity: int, align: int) -> _Item | None:
    """First fit, largest first; an item that does not fit moves to the front and all are placed anew, a few times.

    Returns an item that does not fit, or None.
    """
    order = sorted(items, key=lambda i: (-i.words, i.start, str(i.key)))
    for _ in range(len(items)):
        failed = _first_fit(order, capacity, align)
        if failed is None:
            return None
        order.remove(failed)
        order.insert(0, failed)
    return failed if items else None


def _first_fit(order: list[_Item], capacity: int, align: int) -> _Item | None:
    for item in order:
        item.at = -1
    for item in order:
        taken = sorted(
            (o.at, o.at + o.words) for o in order if o.at >= 0 and o.start <= item.stop and item.start <= o.stop
        )
        at = item.phase
        for low, high in taken:
            if at + item.words <= low:
                break
            at = max(at, -(-(high - item.phase) // align) * align + item.phase)
        if at + item.words > capacity:
            return item
        item.at = at
    return None
