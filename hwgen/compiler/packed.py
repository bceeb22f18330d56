"""Which maps are packed in DRAM (`hwgen.golden.packed_map`), and where their blocks have their slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hwgen.compiler.density import Profile
from hwgen.compiler.maps import Layout
from hwgen.compiler.place import Placement
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.golden.packed_map import bitmap_words, slot_words
from hwgen.isa import LONGEST_BLOCK, SLOTS
from hwgen.model.graph import Add, Conv, Graph, Op, Reshape

LEAST_BYTES = 256
"""Of a block: shorter ones are all bursts of a few beats."""

PAYS = 0.9
"""A map is packed when it is expected to take less than this share of its bytes."""

RELU_DENSITY = 0.5
"""Values of a map behind a ReLU that are not zero, when no profile tells."""


@dataclass(frozen=True)
class Packing:
    """How a map lies in DRAM: ``per_row`` blocks of ``block`` DMA words a row, each in its slot.

    ``dram`` is the first activation word of the first slot (in the map region), ``slot`` its entry in the table of
    lengths, ``expected`` the DMA words that a block is expected to take.
    """

    block: int
    per_row: int
    zero_point: int
    expected: int
    dram: int = 0
    slot: int = 0


def choose_packings(
    graph: Graph, ops: Sequence[Op], placement: Placement, config: Config, profile: Profile
) -> dict[str, Packing]:
    """Return the packings of the maps in DRAM that are worth it; the placement's DRAM is laid out anew.

    The ends of the network stay as they are, and so do maps that a reshape reads in another layout, and maps with pad
    bytes, whose values are not defined. All others are only read by LOADs of whole rows.
    """
    if not config.compress_maps:
        return {}
    ends = {placement.dram[n] for n in (*graph.input_maps, *graph.output_maps) if n in placement.dram}
    ends |= {placement.dram[n] for op in ops if isinstance(op, Reshape) for n in (op.output,) if n in placement.dram}
    found: dict[str, Packing] = {}
    slot = 0
    for i, op in enumerate(ops):
        name = op.output
        if (i, name) not in placement.stages or placement.dram[name] in ends:
            continue
        layout, zero = placement.layouts[name], graph.tensors[name].zero_point
        packing = _packing(layout, zero, _density(op, zero, profile), config)
        if packing is None or slot + layout.height * packing.per_row > SLOTS:
            continue
        found[name] = Packing(**vars(packing) | {"slot": slot})
        slot += layout.height * packing.per_row
    return _lay_out(placement, found, config)


def _density(op: Op, zero: int, profile: Profile) -> float:
    if op.output in profile:
        return profile[op.output].values
    return RELU_DENSITY if isinstance(op, Conv | Add) and op.requant.qmin == zero else 1.0


def _packing(layout: Layout, zero: int, density: float, config: Config) -> Packing | None:
    """Cut rows into the fewest equal blocks; None when that cannot be, or does not pay."""
    d = Derived(config)
    row = layout.pitch // d.dma_words
    parts = next((n for n in range(-(-row // LONGEST_BLOCK), row + 1) if row % n == 0), 0)
    block = row // parts
    expected = bitmap_words(block) + max(1, round(density * block))
    padded = layout.channels != layout.pixel * d.word or layout.pitch != layout.width * layout.pixel
    if padded or block * d.dma_bytes < LEAST_BYTES or expected >= PAYS * block:
        return None
    return Packing(block, parts, zero, expected)


def _lay_out(placement: Placement, packings: dict[str, Packing], config: Config) -> dict[str, Packing]:
    """Take the packed maps out of the DRAM of the others and give them their own behind it."""
    plain = {n: at for n, at in placement.dram.items() if n not in packings}
    starts = [*sorted(set(placement.dram.values())), placement.dram_words]
    moved: dict[int, int] = {}
    words = 0
    for at, after in pairwise(starts):
        if at in plain.values():
            moved[at] = words
            words += after - at
    placed = {}
    for name, packing in packings.items():
        placed[name] = Packing(**vars(packing) | {"dram": words})
        blocks = placement.layouts[name].height * packing.per_row
        words += blocks * slot_words(packing.block) * Derived(config).dma_words
    placement.dram = {n: moved[at] for n, at in plain.items()}
    placement.dram_words = words
    return placed
