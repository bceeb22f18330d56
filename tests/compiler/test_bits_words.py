"""Operand words whose zero bits share a word of block RAM are not written while a RUN reads one of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from hwgen.compiler import compile_graph
from hwgen.compiler.rings import Ring
from hwgen.compiler.stream import Access, Entry, Stream
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.isa import Command
from hwgen.model.graph import Graph
from tests.random_graphs import random_graph
from tests.random_networks import limits
from tests.test_collisions import TIGHT

SEEDS = range(6)


def commands(graph: Graph, config: Config, monkeypatch: pytest.MonkeyPatch, unit: int, ring_unit: int) -> list[Command]:
    """Return the program when what reads or writes one of ``unit`` operand words has to wait as for all of them."""

    def whole(accesses: Iterable[Access]) -> list[Access]:
        return [(memory, slice(where.start // unit * unit, -(-where.stop // unit) * unit))
                if memory in ("wmem", "amem") and isinstance(where, slice) and where.stop > where.start
                else (memory, where) for memory, where in accesses]

    add, place = Stream.add, Ring.place

    def add_whole(self: Stream, *args: Any, reads: Iterable[Access] = (), writes: Iterable[Access] = (),
                  **options: Any) -> Entry:
        return add(self, *args, reads=whole(reads), writes=whole(writes), **options)

    def place_by(self: Ring, *args: Any) -> tuple[int, bool]:
        self.unit = min(self.unit, ring_unit)
        return place(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(Stream, "add", add_whole)
        patched.setattr(Ring, "place", place_by)
        return compile_graph(graph, config).commands


@pytest.mark.parametrize("name", TIGHT)
def test_waiting_for_whole_words_of_bits_changes_no_program(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TIGHT[name]
    unit, changed = Derived(config).bits_words, 0
    for seed in SEEDS:
        graph = random_graph(seed, limits(config))
        assert commands(graph, config, monkeypatch, unit, unit) == commands(graph, config, monkeypatch, 1, unit), seed
        # Rings that begin anywhere would need it.
        changed += commands(graph, config, monkeypatch, unit, 1) != commands(graph, config, monkeypatch, 1, 1)
    assert changed
