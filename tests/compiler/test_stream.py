"""Tokens: every conflict between modules is covered, and none is added twice."""

import numpy as np
import pytest

from hwgen.compiler.stream import Stream
from hwgen.isa import Module

LOAD = {"dram": 0, "buffer": 1, "dst": 0, "count": 4}
WFETCH = {"src": 0, "count": 4, "dst": 0, "groups": 1, "log2_rc": 0, "log2_cc": 0}


def new() -> Stream:
    return Stream({"weight": 16, "wmem": 16})


def test_a_read_waits_for_the_write_before_it() -> None:
    stream = new()
    load = stream.add("LOAD", LOAD, writes=[("weight", slice(0, 4))])
    fetch = stream.add("WFETCH", WFETCH, reads=[("weight", slice(0, 4))], writes=[("wmem", slice(0, 4))])
    assert load.post == {Module.WFETCH}
    assert fetch.wait == {Module.LOAD}


def test_a_write_waits_for_the_reads_before_it() -> None:
    stream = new()
    stream.add("LOAD", LOAD, writes=[("weight", slice(0, 4))])
    fetch = stream.add("WFETCH", WFETCH, reads=[("weight", slice(0, 4))])
    again = stream.add("LOAD", LOAD, writes=[("weight", slice(3, 7))])
    assert fetch.post == {Module.LOAD}
    assert again.wait == {Module.WFETCH}


def test_disjoint_elements_and_the_same_module_need_no_token() -> None:
    stream = new()
    first = stream.add("LOAD", LOAD, writes=[("weight", slice(0, 4))])
    second = stream.add("LOAD", LOAD, writes=[("weight", slice(0, 4))])
    fetch = stream.add("WFETCH", WFETCH, reads=[("weight", slice(8, 12))])
    assert not (first.post or second.post or second.wait or fetch.wait)


def test_one_token_serves_all_earlier_commands_of_a_module() -> None:
    stream = new()
    stream.add("LOAD", LOAD, writes=[("weight", slice(0, 4))])
    last = stream.add("LOAD", LOAD, writes=[("weight", slice(4, 8))])
    one = stream.add("WFETCH", WFETCH, reads=[("weight", slice(4, 8))])
    two = stream.add("WFETCH", WFETCH, reads=[("weight", slice(0, 4))])
    assert last.post == {Module.WFETCH}
    assert one.wait == {Module.LOAD}
    assert not two.wait


def test_settings_are_only_sent_when_they_change() -> None:
    stream = new()
    for dx in (1, 1, 2):
        stream.setting("BASE", nx=1, dx=dx, dy=0)
    assert [e.args["dx"] for e in stream.entries] == [1, 2]


@pytest.mark.parametrize("seed", range(20))
def test_random_streams_never_race(seed: int) -> None:
    """Any order that respects modules and tokens keeps every conflicting pair in stream order."""
    rng = np.random.default_rng(seed)
    stream, accesses = new(), []
    for _ in range(40):
        start, reading = int(rng.integers(0, 12)), bool(rng.integers(0, 2))
        where = [("weight", slice(start, start + 4))]
        name, args = [("LOAD", LOAD), ("WFETCH", WFETCH)][int(rng.integers(0, 2))]
        stream.add(name, args, reads=where if reading else [], writes=[] if reading else where)
        accesses.append((start, reading))
    before = _order(stream)
    for j, (b, b_reads) in enumerate(accesses):
        for i, (a, a_reads) in enumerate(accesses[:j]):
            if abs(a - b) < 4 and not (a_reads and b_reads):
                assert before[j, i], f"seed {seed}: commands {i} and {j} conflict but may run at the same time"


def _order(stream: Stream) -> np.ndarray:
    """Return the matrix "row certainly starts after column is done" of modules in order plus tokens, closed
    transitively."""
    n = len(stream.entries)
    after = np.zeros((n, n), bool)
    last: dict[Module, int] = {}
    posted: dict[tuple[Module, Module], list[int]] = {}
    for j, entry in enumerate(stream.entries):
        sources = [last[entry.module]] if entry.module in last else []
        sources += [posted[m, entry.module].pop(0) for m in entry.wait]
        for i in sources:
            after[j] |= after[i]
            after[j, i] = True
        last[entry.module] = j
        for m in entry.post:
            posted.setdefault((entry.module, m), []).append(j)
    return after
