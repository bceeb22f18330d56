"""When LOADs are issued: in the order in which what they bring is needed, a few ahead of that.

Tiles are emitted with their weights in front of them, and copies of maps where they are asked for. Here every LOAD
moves to where it should stand: the first tile then waits for its own rows and weights alone, and rows of the next
stripe come while the one before is computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwgen.compiler.stream import Entry, Stream
from hwgen.isa import Module


@dataclass
class _Load:
    """Where a LOAD may stand: behind command ``after``, before command ``need``."""

    index: int
    after: int
    need: int


def prefetch(stream: Stream, ahead: int) -> None:
    """Move the LOADs of a stream.

    Parameters
    ----------
    stream : Stream
    ahead : int
        LOADs that are issued before the first one of them is needed.
    """
    ahead = max(ahead, 1)
    loads = sorted(_loads(stream), key=lambda load: (load.need, load.index))
    behind: dict[int, list[Entry]] = {}
    slot = 0
    for number, load in enumerate(loads):
        # What needs an earlier LOAD comes first, so slots only rise, and none is behind the need of its own.
        slot = max(slot, load.after + 1, loads[number - ahead].need if number >= ahead else 0)
        behind.setdefault(slot, []).append(stream.entries[load.index])
    order = []
    for index, entry in enumerate(stream.entries):
        order += behind.get(index, [])
        if entry.module is not Module.LOAD:
            order.append(entry)
    stream.reorder(order + behind.get(len(stream.entries), []))


def _loads(stream: Stream) -> list[_Load]:
    """Return where each LOAD may stand among the other commands."""
    entries, last = stream.entries, len(stream.entries)
    written = {m: np.full(n, -1, np.int64) for m, n in stream.sizes.items()}
    used = {m: np.full(n, -1, np.int64) for m, n in stream.sizes.items()}
    loads: dict[int, _Load] = {}
    waiting: dict[int, _Load] = {}
    for index, e in enumerate(entries):
        # A LOAD is needed by who reads what it brings, and stays before who overwrites that, or what it reads.
        found = {i for memory, where in e.reads + e.writes for i in np.unique(written[memory][where]).tolist()}
        found |= {i for memory, where in e.writes for i in np.unique(used[memory][where]).tolist()}
        for i in found & waiting.keys() | {i for i in waiting if _overwrites(e, entries[i])}:
            waiting.pop(i).need = index
        if e.module is Module.LOAD:
            loads[index] = waiting[index] = _Load(index, max((i for i in found if i not in loads), default=-1), last)
        for memory, where in e.reads:
            used[memory][where] = index
        for memory, where in e.writes:
            written[memory][where] = index
    return list(loads.values())


def _overwrites(e: Entry, load: Entry) -> bool:
    """True when a command writes what a LOAD reads (both are runs of DRAM words)."""
    return any(
        memory == other and a.start < b.stop and b.start < a.stop
        for memory, a in e.writes
        for other, b in load.reads
        if isinstance(a, slice) and isinstance(b, slice)
    )
