"""The command stream under construction: derives every dependency token from what commands read and write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hwgen import isa
from hwgen.compiler.maps import View
from hwgen.isa import Command, Module

Access = tuple[str, slice | NDArray[np.int64]]
"""A memory's name and the elements touched."""


@dataclass
class Entry:
    """One command of the stream with what the cycle model and the reports need to know."""

    name: str
    args: dict[str, int]
    layer: int
    wait: set[Module] = field(default_factory=set)
    post: set[Module] = field(default_factory=set)
    info: dict[str, int] = field(default_factory=dict)
    view: View | None = None
    """The map that a POST command writes."""
    walk: NDArray[np.float64] | None = None
    """Expected cycles of a RUN in each lane (rows, columns), where zeros are skipped."""
    moved: tuple[int, ...] = ()
    """Expected DMA words of each block of a LOAD_PACKED or STORE_PACKED."""
    reads: tuple[Access, ...] = ()
    writes: tuple[Access, ...] = ()

    @property
    def module(self) -> Module:
        return isa.BY_NAME[self.name].module

    def command(self) -> Command:
        return Command(self.name, self.args, tuple(sorted(self.wait)), tuple(sorted(self.post)))


class Stream:
    """An ordered list of commands that is correct when executed one by one, with tokens that keep it correct when
    modules run ahead of each other.

    For every memory element the last writing command and, per module, the last reading command are remembered; a
    new command depends on the latest conflicting command of every *other* module (a module executes in order).

    Parameters
    ----------
    sizes : mapping of str to int
        Elements of every memory.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)
        self.layer = -1
        self._registers: dict[tuple[str, int], dict[str, int]] = {}
        self._clear()

    def _clear(self) -> None:
        self.entries: list[Entry] = []
        self._written = {m: np.full(n, -1, np.int64) for m, n in self.sizes.items()}
        self._read = {m: np.full((len(isa.WORKERS), n), -1, np.int64) for m, n in self.sizes.items()}
        self._module = np.zeros(1024, np.int64)
        self._synced = np.full((len(isa.WORKERS), len(isa.WORKERS)), -1, np.int64)

    def held(self, name: str, key: int = 0) -> dict[str, int]:
        """Return what the registers of a setting hold; nothing before they are set."""
        return self._registers.get((name, key), {})

    def setting(self, name: str, key: int = 0, **args: int) -> bool:
        """Append a command that sets registers, unless they already hold these values; return whether it was needed."""
        needed = self._registers.get((name, key)) != args
        if needed:
            self._registers[name, key] = args
            self.add(name, args)
        return needed

    def add(
        self,
        name: str,
        args: dict[str, int],
        *,
        reads: Iterable[Access] = (),
        writes: Iterable[Access] = (),
        view: View | None = None,
        walk: NDArray[np.float64] | None = None,
        moved: tuple[int, ...] = (),
        **info: int,
    ) -> Entry:
        """Append a command and the tokens that its accesses require."""
        return self._append(
            Entry(
                name,
                args,
                self.layer,
                info=info,
                view=view,
                walk=walk,
                moved=moved,
                reads=tuple(reads),
                writes=tuple(writes),
            )
        )

    def reorder(self, entries: Sequence[Entry]) -> None:
        """Take the commands in another order, which must keep those that conflict in theirs; tokens are derived
        anew."""
        self._clear()
        for entry in entries:
            entry.wait, entry.post = set(), set()
            self._append(entry)

    def _append(self, entry: Entry) -> Entry:
        index, me = len(self.entries), entry.module
        self.entries.append(entry)
        if index == len(self._module):
            self._module = np.concatenate([self._module, np.zeros_like(self._module)])
        self._module[index] = me
        reads, writes = entry.reads, entry.writes
        latest = np.full(len(isa.WORKERS), -1, np.int64)
        for memory, where in reads + writes:
            last = self._written[memory][where]
            for m in isa.WORKERS if last.size else ():
                mine = last[self._module[last] == m]
                if mine.size:
                    latest[m] = max(latest[m], mine.max())
        for memory, where in writes:
            seen = self._read[memory][:, where]
            if seen.size:
                latest = np.maximum(latest, seen.max(axis=1))
        for memory, where in reads:
            self._read[memory][me, where] = index
        for memory, where in writes:
            self._written[memory][where] = index
        for m in isa.WORKERS if me in isa.WORKERS else ():
            if m != me and latest[m] > self._synced[m, me]:
                self._synced[m, me] = latest[m]
                self.entries[latest[m]].post.add(me)
                entry.wait.add(m)
        return entry

    def commands(self) -> list[Command]:
        return [e.command() for e in self.entries]
