"""Rebuild every feature map from the writes of the post-processor, the golden machine's or the RTL's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.program import Program
from hwgen.compiler.stream import Entry
from hwgen.derive import Derived
from hwgen.golden.machine_state import PostInfo


@dataclass(frozen=True)
class Vectors:
    """Result vectors of one POST command in writing order: P-byte vector addresses and values, (n,) and (n, P)."""

    address: NDArray[np.int64]
    values: NDArray[np.int8]
    mask: NDArray[np.bool_]


def of_machine(info: PostInfo) -> Vectors:
    """Return what the golden machine wrote."""
    return Vectors(info.address, info.result, info.mask)


def maps(program: Program, written: Mapping[int, Vectors]) -> dict[str, NDArray[np.int8]]:
    """Return every operator's output map (H, W, C).

    Parameters
    ----------
    program : Program
    written : mapping
        Command index -> vectors, for every DRAIN and ELTWISE.
    """
    d = Derived(program.config)
    p, word = program.config.vector, d.word
    act = np.zeros((d.act_words * d.vectors_per_word, p), np.int8)
    dram = np.zeros((max(program.map_words, 1) * d.vectors_per_word, p), np.int8)
    last: dict[str, int] = {}
    for index, entry in enumerate(program.entries):
        if entry.view is not None:
            last[entry.view.name.split("@")[0]] = index
    result: dict[str, NDArray[np.int8]] = {}
    for index, entry in enumerate(program.entries):
        if index in written:
            v = written[index]
            act[v.address[:, None], np.flatnonzero(v.mask)] = v.values[:, v.mask]
        elif entry.name == "STORE":
            to, n = (entry.args["dram"] - program.map_base) // p, entry.args["count"] * d.dma_bytes // p
            start = entry.args["src"] * d.dma_bytes // p
            dram[to : to + n] = act[start : start + n]
        if entry.view is not None:
            name = entry.view.name.split("@")[0]
            if name in program.chip and last[name] == index:
                layout = program.layouts[name]
                raw = act.reshape(-1)[program.chip[name] * word :][: layout.words * word]
                result[name] = layout.unpack(raw, word)
    for name in last:
        if name not in result:
            layout = program.layouts[name]
            result[name] = layout.unpack(dram.reshape(-1)[program.dram[name] * word :][: layout.words * word], word)
    for name, root in _aliases(program).items():
        if root in result and name not in result:
            layout = program.layouts[name]
            result[name] = result[root].reshape(layout.height, layout.width, layout.channels)
    return result


def _aliases(program: Program) -> dict[str, str]:
    from hwgen.model.graph import Reshape

    return {op.output: op.inputs[0] for op in program.graph.device_ops if isinstance(op, Reshape)}


@dataclass(frozen=True)
class Mismatch:
    """One value that differs. ``accumulator`` is the sum before bias and requantisation (golden machine)."""

    layer: str
    tile: str
    y: int
    x: int
    c: int
    expected: int
    actual: int
    accumulator: int | None
    command: int
    against: str

    def __str__(self) -> str:
        acc = "" if self.accumulator is None else f", accumulator {self.accumulator}"
        return (
            f"layer {self.layer}, tile {self.tile}, (y, x, c) = ({self.y}, {self.x}, {self.c}): expected {self.expected}, "
            f"got {self.actual}{acc} (command {self.command}, {self.against})"
        )


def tile_name(entry: Entry) -> str:
    """Name the tile of a POST command by its first output pixel."""
    return (
        f"(y {entry.args['y0']}, x {entry.args['x0']})" if entry.name == "DRAIN" else f"words from {entry.args['out']}"
    )


def coordinate(program: Program, entry: Entry, address: int, lane: int) -> tuple[int, int, int]:
    """Return (y, x, c) of byte ``lane`` of the vector at ``address``."""
    d, view = Derived(program.config), entry.view
    assert view is not None
    word, sub = divmod(address, d.vectors_per_word)
    y, rest = divmod(word - view.base, view.layout.pitch)
    x, w = divmod(rest, view.layout.pixel)
    real = program.layouts[view.name.split("@")[0]]
    y, x = divmod(y * view.layout.width + x, real.width) if view.layout.width != real.width else (y, x)
    return y, x, w * d.word + sub * program.config.vector + lane


def compare_writes(
    program: Program, expected: Mapping[int, PostInfo], actual: Mapping[int, Vectors], limit: int, against: str
) -> tuple[int, list[Mismatch]]:
    """Compare result vectors command by command; return (values that differ, the first ``limit`` of them).

    Values in pad channels do not count: they are undefined.
    """
    total, found = 0, []
    for index, info in expected.items():
        entry = program.entries[index]
        got = actual.get(index)
        assert entry.view is not None
        channels = program.layouts[entry.view.name.split("@")[0]].channels
        layer = program.layers[entry.layer].name
        if got is None or len(got.address) != len(info.address) or (got.address != info.address).any():
            total += info.result.size
            first = int(info.address[0])
            y, x, c = coordinate(program, entry, first, 0)
            found.append(
                Mismatch(
                    layer,
                    tile_name(entry),
                    y,
                    x,
                    c,
                    int(info.result[0, 0]),
                    0,
                    None,
                    index,
                    f"{against}: writes to other addresses, {0 if got is None else len(got.address)} vectors "
                    f"instead of {len(info.address)}",
                )
            )
            continue
        for i, lane in zip(*np.nonzero((got.values != info.result) & info.mask), strict=True):
            y, x, c = coordinate(program, entry, int(info.address[i]), int(lane))
            if c >= channels:
                continue
            total += 1
            if len(found) < limit:
                found.append(
                    Mismatch(
                        layer,
                        tile_name(entry),
                        y,
                        x,
                        c,
                        int(info.result[i, lane]),
                        int(got.values[i, lane]),
                        int(info.acc[i, lane]),
                        index,
                        against,
                    )
                )
    return total, found


def split_writes(
    program: Program, expected: Mapping[int, PostInfo], writes: Sequence[tuple[int, int, int, bytes]]
) -> dict[int, Vectors]:
    """Assign the RTL's result writes to commands.

    Every pipe writes its vectors in the order of the commands, so the golden machine's count per pipe and command
    says which are whose.

    Parameters
    ----------
    writes : sequence of (pipe, word address, byte mask, word bytes)
        In the order of the RTL.
    """
    d, p = Derived(program.config), program.config.vector
    queues: list[list[tuple[int, bytes]]] = [[] for _ in range(d.pipes)]
    for pipe, address, mask, data in writes:
        sub = 0
        while d.vectors_per_word > 1 and not mask >> (sub * p) & ((1 << p) - 1):
            sub += 1
        queues[pipe].append((address * d.vectors_per_word + sub, data[sub * p : (sub + 1) * p]))
    at = [0] * d.pipes
    result = {}
    for index, info in expected.items():
        pipe_of = info.column % d.pipes
        address = np.full(len(info.address), -1, np.int64)
        values = np.zeros((len(info.address), p), np.int8)
        for pipe in range(d.pipes):
            where = np.flatnonzero(pipe_of == pipe)
            mine = queues[pipe][at[pipe] : at[pipe] + len(where)]
            at[pipe] += len(where)
            n = len(mine)
            address[where[:n]] = [a for a, _ in mine]
            if n:
                values[where[:n]] = np.frombuffer(b"".join(v for _, v in mine), np.int8).reshape(n, p)
        result[index] = Vectors(address, values, info.mask)
    return result
