"""The placements of a network's maps that are worth trying, and what to do when there is none."""

from __future__ import annotations

from hwgen.compiler.maps import Layout
from hwgen.compiler.place import Placement, place
from hwgen.config import Config
from hwgen.errors import HwgenError
from hwgen.model.graph import Graph, Op
from hwgen.presets import PRESETS

RELOADS = 2.0
"""How often the rows of a map may be loaded, on average, before it is tried to give stripes more room."""

LARGEST = 4096
"""KiB that an activation buffer can have."""


def places(graph: Graph, layouts: dict[str, Layout], config: Config, ops: tuple[Op, ...]) -> list[Placement]:
    """Return at least one placement.

    Maps on chip may leave stripes so little room that they load most rows again and again: then there is a second one,
    with more maps in DRAM.

    Raises
    ------
    HwgenError
        When not even stripes of one row fit; the remedy names a buffer, or a preset, that holds them.
    """
    try:
        first = place(graph, layouts, config, ops)
    except HwgenError as error:
        raise HwgenError(error.what, where=error.where, remedy=_remedy(graph, config, ops)) from None
    if first.reloads <= RELOADS:
        return [first]
    try:
        return [first, place(graph, layouts, config, ops, RELOADS)]
    except HwgenError:
        return [first]


def _remedy(graph: Graph, config: Config, ops: tuple[Op, ...]) -> str:
    kib = next((k for k in _larger(config.act_kib) if _fits(graph, config.replace(act_kib=k), ops)), None)
    if kib is None:
        return f"split the layer or use a smaller input: no buffer of {LARGEST} KiB or less holds it"
    named = next((c.name for c in PRESETS.values() if _covers(c, config) and _fits(graph, c, ops)), None)
    return f"set act_kib = {kib} in the configuration" + (f", or use --preset {named}" if named else "")


def _larger(kib: int) -> list[int]:
    """Return sizes to try, in quarters of powers of two."""
    steps = (quarter << power for power in range(LARGEST.bit_length() - 2) for quarter in (4, 5, 6, 7))
    return [step for step in steps if kib < step <= LARGEST]


def _fits(graph: Graph, config: Config, ops: tuple[Op, ...]) -> bool:
    layouts = {n: Layout.of(t.shape, config) for n, t in graph.tensors.items()}
    try:
        place(graph, layouts, config, ops)
    except HwgenError:
        return False
    return True


def _covers(preset: Config, config: Config) -> bool:
    """True when a preset has all that a configuration has, and no lanes of another kind."""
    sizes = ("act_kib", "act_bits", "weight_bits", "acc_bits")
    more = all(getattr(preset, key) >= getattr(config, key) for key in sizes)
    return more and preset.skip == config.skip and {*config.mappings, *config.operators} <= {
        *preset.mappings, *preset.operators}  # fmt: skip
