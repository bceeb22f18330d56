"""SCNN: every non-zero activation times every non-zero weight of its channel, products scattered to banks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hwgen.schemes.layer import Layer
from hwgen.schemes.scheme import Scheme, effectual_work

PE_MULTIPLIERS = 16
"""F x I = 4 x 4."""

ACCUMULATORS = 384
"""For each multiplier; 6144 in a PE."""

QUEUE = 4
"""Pairs of vectors whose products wait for banks together. Scatter networks have FIFOs (Kim et al., IEEE Access 2022),
the paper states no depth: with 4 the rule gives the paper's speed-ups at its densities (docs/compare.md), with none,
as simulators that count each pair by itself, only two thirds of them."""

NOWHERE = 1 << 20
"""Coordinate of a place in a vector without an operand: it leads outside every map."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class _Grid:
    """PEs and what follows from their number."""

    f: int
    i: int
    rows: int
    columns: int

    @property
    def pes(self) -> int:
        return self.rows * self.columns


def grid(multipliers: int) -> _Grid:
    """Return the machine: PEs of 4 x 4 multipliers (the most square of fewer), as square a grid of them as can be."""
    pes = max(1, multipliers // PE_MULTIPLIERS)
    i = 1 << (min(multipliers, PE_MULTIPLIERS).bit_length() - 1) // 2
    rows = 1 << (pes.bit_length() - 1) // 2
    return _Grid(min(multipliers, PE_MULTIPLIERS) // i, i, rows, pes // rows)


@dataclass(frozen=True)
class _Vectors:
    """Activations of a channel and a phase of the stride, I at a time; shapes (vectors, I), and PEs (vectors,)."""

    y: Ints
    x: Ints
    pe: Ints


def scnn_cycles(layer: Layer, multipliers: int) -> float:
    """Return the cycles of the dataflow PT-IS-CP-sparse on PEs of 4 x 4 multipliers.

    Modelled: each PE holds a tile of the input map; for a group of output channels as large as its accumulators hold
    (6144), and each input channel, all vectors of 4 non-zero activations of its tile meet all vectors of 4 non-zero
    weights, a pair a cycle; each of 32 accumulator banks takes a product a cycle, and what a few pairs bring waits in
    FIFOs (``QUEUE``); products outside the output map cost their place and no bank; PEs wait for each other after each
    group of output channels. A stride is split into its phases. A fully connected layer is a map of one pixel. Not
    modelled: memory, exchange of halos. The bank is (k mod 4) + 4 ((x + 3 y + k / 4) mod 8) of output channel and
    pixel, which the paper leaves open.
    """
    layer = _flat(layer)
    machine = grid(multipliers)
    height, width = layer.output_shape
    tile = -(-height // machine.rows) * -(-width // machine.columns)
    size = max(1, ACCUMULATORS * machine.f * machine.i // tile)
    out, kh, kw, depth = layer.weights.shape
    channels = np.arange(layer.inputs.shape[2]) if layer.channels is None else layer.channels
    per_group = out // layer.groups
    phases = list(product(range(layer.stride[0]), range(layer.stride[1])))
    vectors = {(c, p): _vectors(layer, machine, int(c), p) for c in channels for p in phases}
    tap_y, tap_x = np.arange(kh) * layer.dilation[0], np.arange(kw) * layer.dilation[1]
    total = 0.0
    for first in range(0, out, size):
        time = np.zeros(machine.pes)
        for c in channels:
            group, inner = divmod(int(c), depth)
            low, high = max(first, group * per_group), min(first + size, (group + 1) * per_group, out)
            if low >= high:
                continue
            taps = layer.weights[low:high, :, :, inner].transpose(1, 2, 0)
            for p in phases:
                there = taps & (tap_y % layer.stride[0] == p[0])[:, None, None]
                there &= (tap_x % layer.stride[1] == p[1])[None, :, None]
                y, x, k = np.nonzero(there)
                time += _cycles(vectors[c, p], tap_y[y], tap_x[x], k + low, layer, machine)
        total += time.max()
    return float(total) * layer.inputs.shape[2] / len(channels)


def _flat(layer: Layer) -> Layer:
    """Return a layer of one output pixel as one of one input pixel."""
    if layer.output_shape != (1, 1):
        return layer
    out, kh, kw, depth = layer.weights.shape
    channels = None
    if layer.channels is not None:
        of_position = np.arange(layer.groups)[:, None, None] * depth + np.arange(depth)
        of_position = np.broadcast_to(of_position, (layer.groups, kh * kw, depth)).reshape(-1)
        channels = np.flatnonzero(np.isin(of_position, layer.channels))
    return Layer(
        layer.weights.reshape(out, 1, 1, -1), layer.windows.reshape(1, 1, -1), groups=layer.groups, channels=channels
    )


def _vectors(layer: Layer, machine: _Grid, channel: int, phase: tuple[int, int]) -> _Vectors:
    """Pack the non-zero activations of a channel and phase, PE by PE; coordinates include the padding."""
    height, width, _ = layer.inputs.shape
    y, x = np.nonzero(layer.inputs[:, :, channel])
    keep = ((y + layer.pad[0]) % layer.stride[0] == phase[0]) & ((x + layer.pad[2]) % layer.stride[1] == phase[1])
    y, x = y[keep], x[keep]
    pe = y // -(-height // machine.rows) * machine.columns + x // -(-width // machine.columns)
    order = np.argsort(pe, kind="stable")
    y, x, pe = y[order], x[order], pe[order]
    count = np.bincount(pe, minlength=machine.pes)
    needed = -(-count // machine.i)
    within = np.arange(len(pe)) - np.repeat(np.cumsum(count) - count, count)
    place = (np.cumsum(needed) - needed)[pe] * machine.i + within
    packed = np.full((2, int(needed.sum()) * machine.i), -NOWHERE)
    packed[0, place], packed[1, place] = y + layer.pad[0], x + layer.pad[2]
    y, x = packed.reshape(2, -1, machine.i)
    return _Vectors(y, x, np.repeat(np.arange(machine.pes), needed))


def _cycles(a: _Vectors, tap_y: Ints, tap_x: Ints, k: Ints, layer: Layer, machine: _Grid) -> NDArray[np.float64]:
    """Return the cycles of every PE for one channel and phase, shape (PEs,)."""
    if not len(k) or not len(a.pe):
        return np.zeros(machine.pes)
    short = -len(k) % machine.f
    tap_y, tap_x = (np.pad(t, (0, short), constant_values=NOWHERE).reshape(-1, machine.f) for t in (tap_y, tap_x))
    k = np.pad(k, (0, short)).reshape(-1, machine.f)
    y = a.y[:, None, :, None] - tap_y[None, :, None, :]
    x = a.x[:, None, :, None] - tap_x[None, :, None, :]
    y, x = y // layer.stride[0], x // layer.stride[1]  # exact within a phase
    height, width = layer.output_shape
    valid = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    k = k[None, :, None, :]
    bank = k % machine.f + machine.f * ((x + 3 * y + k // machine.f) % (2 * machine.i))
    banks, cells = 2 * machine.f * machine.i, len(a.pe) * len(tap_y)
    cell = np.arange(cells).reshape(len(a.pe), len(tap_y), 1, 1)
    hits = np.bincount((cell * banks + bank)[valid], minlength=cells * banks).reshape(cells, banks)
    pairs = np.bincount(a.pe, minlength=machine.pes) * len(tap_y)
    # Pairs of a PE follow each other; every QUEUE of them, and the rest of each PE, share the banks' time.
    within = np.arange(cells) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    starts = np.flatnonzero(within % QUEUE == 0)
    worst = np.add.reduceat(hits, starts).max(axis=1)
    cycles = np.maximum(worst, np.diff(starts, append=cells))
    return np.bincount(np.repeat(a.pe, len(tap_y))[starts], cycles, minlength=machine.pes).astype(np.float64)


SCNN = Scheme(
    "scnn",
    "SCNN",
    "SCNN",
    "both",
    "Parashar et al., ISCA 2017",
    "SCNN: An Accelerator for Compressed-sparse Convolutional Neural Networks",
    scnn_cycles,
    effectual_work,
)
