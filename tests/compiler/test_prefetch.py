"""LOADs are moved to where they are needed, and never past what they conflict with."""

import numpy as np
import pytest

from hwgen.compiler.prefetch import prefetch
from hwgen.compiler.stream import Stream

LOAD = {"dram": 0, "buffer": 1, "dst": 0, "count": 4}
STORE = {"dram": 0, "src": 0, "count": 4}
WFETCH = {"src": 0, "count": 4, "dst": 0, "groups": 1, "log2_rc": 0, "log2_cc": 0}


def new() -> Stream:
    return Stream({"weight": 16, "dram": 16})


def load(stream: Stream, at: int, dram: int = 0) -> None:
    read, write = slice(dram, dram + 4), slice(at, at + 4)
    stream.add("LOAD", LOAD | {"dst": at}, reads=[("dram", read)], writes=[("weight", write)])


def fetch(stream: Stream, at: int) -> None:
    stream.add("WFETCH", WFETCH | {"src": at}, reads=[("weight", slice(at, at + 4))])


def names(stream: Stream) -> list[str]:
    return [f"{e.name[0]}{e.args.get('dst' if e.name == 'LOAD' else 'src')}" for e in stream.entries]


def test_what_is_needed_first_is_loaded_first() -> None:
    stream = new()
    for at in (0, 4, 8):
        load(stream, at)
    for at in (8, 0, 4):
        fetch(stream, at)
    prefetch(stream, 2)
    assert names(stream) == ["L8", "L0", "L4", "W8", "W0", "W4"]


def test_a_load_comes_as_soon_as_its_place_is_free() -> None:
    stream = new()
    for at in (0, 4, 8, 0):
        load(stream, at)
        fetch(stream, at)
    prefetch(stream, 3)
    assert names(stream) == ["L0", "L4", "L8", "W0", "L0", "W4", "W8", "W0"]


def test_only_so_many_loads_are_ahead() -> None:
    stream = new()
    for at in (0, 4, 8, 12):
        load(stream, at)
    for at in (0, 4, 8, 12):
        fetch(stream, at)
    prefetch(stream, 1)
    assert names(stream) == ["L0", "L4", "W0", "L8", "W4", "L12", "W8", "W12"]


@pytest.mark.parametrize("seed", range(30))
def test_random_streams_keep_the_order_of_conflicts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stream = new()
    for _ in range(40):
        at, dram = int(rng.integers(0, 12)), int(rng.integers(0, 12))
        kind = int(rng.integers(0, 3))
        if kind == 0:
            load(stream, at, dram)
        elif kind == 1:
            fetch(stream, at)
        else:
            read, write = slice(at, at + 4), slice(dram, dram + 4)
            stream.add("STORE", STORE, reads=[("weight", read)], writes=[("dram", write)])
    before = list(stream.entries)
    prefetch(stream, int(rng.integers(1, 6)))
    place = {id(e): i for i, e in enumerate(stream.entries)}
    assert len(place) == len(before)
    for j, b in enumerate(before):
        for a in before[:j]:
            if _conflict(a, b):
                assert place[id(a)] < place[id(b)]


def _conflict(a, b) -> bool:  # type: ignore[no-untyped-def]
    pairs = [(x, y) for x in a.writes for y in b.reads + b.writes] + [(x, y) for x in a.reads for y in b.writes]
    return any(m == n and p.start < q.stop and q.start < p.stop for (m, p), (n, q) in pairs)
