"""Rebuild every feature map from the writes of the post-processor, the golden machine's or the RTL's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.program import Program
from hwgen.compiler.stream import Entry
from hwgen.derive import Derived
from hwgen.golden.machine_state import PostInfo

EXAMPLES = 10
"""Mismatches that are reported in full."""


@dataclass(frozen=True)
class Vectors:
    """Result vectors of one POST command in writing order: P-byte vector addresses and values, (n,) and (n, P)."""

    address: NDArray[np.int64]
    values: NDArray[np.int8]
    mask: NDArray[np.bool_]
    unknown: NDArray[np.bool_] | None = None
    """Values with unknown bits (an RTL simulation with four states): they equal nothing."""


def of_machine(info: PostInfo) -> Vectors:
    """Return what the golden machine wrote."""
    return Vectors(info.address, info.result, info.mask)


def maps(program: Program, written: Mapping[int, Vectors]) -> dict[str, NDArray[np.int8]]:
    """Return every operator's output map (H, W, C), with the channels of the machine (`Program.arrangement`). Maps that
    only the machine has are left out.

    Parameters
    ----------
    program : Program
    written : mapping
        Command index -> vectors, for every DRAIN and ELTWISE.
    """
    d = Derived(program.config)
    p, vpw = program.config.vector, d.vectors_per_word
    memory = {
        name: np.zeros((program.layouts[name].words * vpw, p), np.int8)
        for name in {tensor_of(e) for e in program.entries if e.view is not None}
    }
    for index, v in written.items():
        entry = program.entries[index]
        assert entry.view is not None
        at = (v.address - entry.view.base * vpw)[:, None]
        memory[tensor_of(entry)][at, np.flatnonzero(v.mask)] = v.values[:, v.mask]
    result = {name: program.layouts[name].unpack(raw.reshape(-1), d.word) for name, raw in memory.items()
              if name in program.graph.tensors}
    for name, source in _aliases(program).items():
        if source in result and name not in result:
            result[name] = result[source].reshape(program.layouts[name].shape)
    return result


def tensor_of(entry: Entry) -> str:
    """Return the tensor that a POST command writes (a stripe's view is called after its tensor and its number)."""
    assert entry.view is not None
    return entry.view.name.split("@")[0]


def _aliases(program: Program) -> dict[str, str]:
    from hwgen.model.graph import Reshape

    return {op.output: op.inputs[0] for op in program.graph.ops if isinstance(op, Reshape)}


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
            f"layer {self.layer}, tile {self.tile}, (y, x, c) = ({self.y}, {self.x}, {self.c}): "
            f"expected {self.expected}, got {self.actual}{acc} (command {self.command}, {self.against})"
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
    real = program.layouts[tensor_of(entry)]
    y, x = divmod(y * view.layout.width + x, real.width) if view.layout.width != real.width else (y, x)
    y, x = (x, y) if real.turned else (y, x)
    return y, x, w * d.word + sub * program.config.vector + lane


def channel(program: Program, entry: Entry, c: int) -> int:
    """Return the network's channel of the machine's channel ``c``."""
    return program.arrangement.channel(tensor_of(entry), c)


def compare_writes(
    program: Program, expected: Mapping[int, PostInfo], actual: Mapping[int, Vectors], limit: int, against: str
) -> tuple[Counter[int], list[Mismatch]]:
    """Compare result vectors command by command; return (differing values per layer, the first ``limit`` of them).

    Values in pad channels do not count: they are undefined. Nor do those that a later command writes anew: a copy of
    whole words may bring the pad channels of its source with it, before the next part of a concatenation comes.
    """
    total: Counter[int] = Counter()
    found: list[Mismatch] = []
    for index, info in expected.items():
        entry = program.entries[index]
        got = actual.get(index)
        assert entry.view is not None
        channels = program.layouts[tensor_of(entry)].channels
        layer = program.layers[entry.layer].name
        if got is None or len(got.address) != len(info.address) or (got.address != info.address).any():
            total[entry.layer] += int(info.mask.sum()) * len(info.address)
            first = int(info.address[0])
            y, x, c = coordinate(program, entry, first, 0)
            found.append(
                Mismatch(
                    layer,
                    tile_name(entry),
                    y,
                    x,
                    channel(program, entry, c),
                    int(info.result[0, 0]),
                    0,
                    None,
                    index,
                    f"{against}: writes to other addresses, {0 if got is None else len(got.address)} vectors "
                    f"instead of {len(info.address)}",
                )
            )
            continue
        different = got.values != info.result
        if got.unknown is not None:
            different |= got.unknown
        different &= info.mask
        if different.any():
            different &= ~_overwritten(program, expected, index)
        for i, lane in zip(*np.nonzero(different), strict=True):
            y, x, c = coordinate(program, entry, int(info.address[i]), int(lane))
            if c >= channels:
                continue
            total[entry.layer] += 1
            if len(found) < limit:
                found.append(
                    Mismatch(
                        layer,
                        tile_name(entry),
                        y,
                        x,
                        channel(program, entry, c),
                        int(info.result[i, lane]),
                        int(got.values[i, lane]),
                        int(info.acc[i, lane]),
                        index,
                        against,
                    )
                )
    return total, found


def _overwritten(program: Program, expected: Mapping[int, PostInfo], index: int) -> NDArray[np.bool_]:
    """The bytes of a command's vectors, (n, P), that a later command for the same map or stripe writes, too."""
    entry, address = program.entries[index], expected[index].address
    assert entry.view is not None
    found = np.zeros((len(address), program.config.vector), bool)
    for later, info in expected.items():
        other = program.entries[later]
        same = other.view is not None and (other.layer, other.view.name) == (entry.layer, entry.view.name)
        if same and later > index:
            found |= np.isin(address, info.address)[:, None] & info.mask
    return found


def split_writes(
    program: Program, expected: Mapping[int, PostInfo], writes: Sequence[tuple[int, int, int, bytes, int]]
) -> dict[int, Vectors]:
    """Assign the RTL's result writes to commands.

    Every pipe writes its vectors in the order of the commands, so the golden machine's count per pipe and command
    says which are whose.

    Parameters
    ----------
    writes : sequence of (pipe, word address, byte mask, word bytes, mask of bytes with unknown bits)
        In the order of the RTL.
    """
    d, p = Derived(program.config), program.config.vector
    queues: list[list[tuple[int, bytes, int]]] = [[] for _ in range(d.pipes)]
    for pipe, word, mask, data, unknown in writes:
        sub = 0
        while d.vectors_per_word > 1 and not mask >> (sub * p) & ((1 << p) - 1):
            sub += 1
        queues[pipe].append((word * d.vectors_per_word + sub, data[sub * p : (sub + 1) * p], unknown >> (sub * p)))
    taken = [0] * d.pipes
    result: dict[int, Vectors] = {}
    for index, info in expected.items():
        pipe_of = info.column % d.pipes
        address = np.full(len(info.address), -1, np.int64)
        values = np.zeros((len(info.address), p), np.int8)
        unknown_values = np.zeros((len(info.address), p), bool)
        for pipe in range(d.pipes):
            where = np.flatnonzero(pipe_of == pipe)
            mine = queues[pipe][taken[pipe] : taken[pipe] + len(where)]
            taken[pipe] += len(where)
            n = len(mine)
            address[where[:n]] = [a for a, _, _ in mine]
            if n:
                values[where[:n]] = np.frombuffer(b"".join(v for _, v, _ in mine), np.int8).reshape(n, p)
                bits = np.array([u for _, _, u in mine], np.int64)
                unknown_values[where[:n]] = (bits[:, None] >> np.arange(p) & 1).astype(bool)
        result[index] = Vectors(address, values, info.mask, unknown_values)
    return result
