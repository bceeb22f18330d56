"""The rules with most in them against plain loops, on layers of any geometry."""

from __future__ import annotations

from collections import deque

import pytest

from hwgen.schemes import Layer
from hwgen.schemes.eie import FIFO, RUN, eie_cycles
from hwgen.schemes.scnn import ACCUMULATORS, QUEUE, grid, scnn_cycles
from hwgen.schemes.sparten import CHUNK, CLUSTER, sparten_cycles
from tests.schemes.layers import random_layer


def worth_it(layer: Layer) -> bool:
    """Small, with something to multiply, and not all of one pixel and group."""
    return layer.macs <= 60_000 and layer.effectual > 0 and (layer.groups > 1 or layer.output_shape != (1, 1))


SEEDS = [seed for seed in range(90) if worth_it(random_layer(seed))]


def activation(layer: Layer, y: int, x: int, c: int) -> bool:
    inside = 0 <= y < layer.inputs.shape[0] and 0 <= x < layer.inputs.shape[1]
    return bool(inside and layer.inputs[y, x, c])


def window(layer: Layer, y: int, x: int, group: int) -> list[bool]:
    _, kh, kw, depth = layer.weights.shape
    return [
        activation(
            layer,
            y * layer.stride[0] + i * layer.dilation[0] - layer.pad[0],
            x * layer.stride[1] + j * layer.dilation[1] - layer.pad[2],
            group * depth + c,
        )
        for i in range(kh)
        for j in range(kw)
        for c in range(depth)
    ]


def stored(rows: list[int]) -> int:
    """What a PE keeps of a column: entries at these local rows, and a padding zero for every 16 rows of a gap."""
    count, run = 0, 0
    for row in range(max(rows, default=-1) + 1):
        if row in rows:
            count, run = count + 1, 0
        else:
            run += 1
            if run == RUN:
                count, run = count + 1, 0
    return count


def eie(layer: Layer, pes: int) -> int:
    """Cycle by cycle: broadcast one activation, every PE works on what is at the head of its FIFO."""
    height, width = layer.output_shape
    out, *_ = layer.weights.shape
    per_group = out // layer.groups
    columns = []
    for group in range(layer.groups):
        matrix = layer.weights[group * per_group : (group + 1) * per_group].reshape(per_group, -1)
        for position in range(matrix.shape[1]):
            there = [group * per_group + o for o in range(per_group) if matrix[o, position]]
            columns.append([stored([o // pes for o in there if o % pes == pe]) for pe in range(pes)])
    total = 0
    for y in range(height):
        for x in range(width):
            vector = [v for group in range(layer.groups) for v in window(layer, y, x, group)]
            waiting = deque(j for j, v in enumerate(vector) if v)
            fifos: list[deque[int]] = [deque() for _ in range(pes)]
            busy, cycle = [0] * pes, 0
            while waiting or any(fifos) or any(busy):
                # A PE that is free takes its next activation in the cycle in which it leaves the FIFO.
                for pe in range(pes):
                    if not busy[pe] and fifos[pe]:
                        busy[pe] = max(1, columns[fifos[pe].popleft()][pe])
                if waiting and all(len(fifo) < FIFO for fifo in fifos):
                    column = waiting.popleft()
                    for pe in range(pes):
                        if not busy[pe] and not fifos[pe]:
                            busy[pe] = max(1, columns[column][pe])
                        else:
                            fifos[pe].append(column)
                busy = [max(0, b - 1) for b in busy]
                cycle += 1
            total += cycle
    return total


def scnn(layer: Layer, multipliers: int) -> int:
    """Every PE, channel and phase of the stride; products one by one."""
    machine = grid(multipliers)
    oh, ow = layer.output_shape
    h, w, _ = layer.inputs.shape
    out, kh, kw, depth = layer.weights.shape
    (sy, sx), (dy, dx) = layer.stride, layer.dilation
    size = max(1, ACCUMULATORS * machine.f * machine.i // (-(-oh // machine.rows) * -(-ow // machine.columns)))
    tile_y, tile_x = -(-h // machine.rows), -(-w // machine.columns)
    total = 0
    for first in range(0, out, size):
        times = []
        for row in range(machine.rows):
            for column in range(machine.columns):
                time = 0
                for c in range(layer.inputs.shape[2]):
                    for py in range(sy):
                        for px in range(sx):
                            acts = [
                                (y + layer.pad[0], x + layer.pad[2])
                                for y in range(row * tile_y, min(h, (row + 1) * tile_y))
                                for x in range(column * tile_x, min(w, (column + 1) * tile_x))
                                if layer.inputs[y, x, c]
                                and (y + layer.pad[0]) % sy == py
                                and (x + layer.pad[2]) % sx == px
                            ]
                            taps = [
                                (i * dy, j * dx, k)
                                for i in range(kh)
                                for j in range(kw)
                                for k in range(first, min(first + size, out))
                                if k // (out // layer.groups) == c // depth
                                and layer.weights[k, i, j, c % depth]
                                and i * dy % sy == py
                                and j * dx % sx == px
                            ]
                            pairs = [
                                (acts[a : a + machine.i], taps[t : t + machine.f])
                                for a in range(0, len(acts), machine.i)
                                for t in range(0, len(taps), machine.f)
                            ]
                            for start in range(0, len(pairs), QUEUE):
                                some = pairs[start : start + QUEUE]
                                banks: dict[int, int] = {}
                                for few, weights in some:
                                    for y, x in few:
                                        for ty, tx, k in weights:
                                            oy, ox = (y - ty) // sy, (x - tx) // sx
                                            if 0 <= oy < oh and 0 <= ox < ow:
                                                at = (ox + 3 * oy + k // machine.f) % (2 * machine.i)
                                                bank = k % machine.f + machine.f * at
                                                banks[bank] = banks.get(bank, 0) + 1
                                time += max(len(some), *banks.values(), 0)
                times.append(time)
        total += max(times)
    return total


def sparten(layer: Layer, multipliers: int) -> int:
    """Group after group; batches by GB-S, pairs in every chunk by GB-H."""
    units = min(CLUSTER, multipliers)
    free = [0] * (multipliers // units)
    height, width = layer.output_shape
    per_group = len(layer.weights) // layer.groups

    def paired(filters: list[list[bool]]) -> list[list[list[bool]]]:
        order = sorted(range(len(filters)), key=lambda f: -sum(filters[f]))
        if len(order) <= units:
            return [[filters[f]] for f in order]
        pairs = []
        while order:
            pair = [order.pop(0)]
            if order:
                pair.append(order.pop())
            pairs.append([filters[f] for f in pair])
        return pairs

    for y in range(height):
        for x in range(width):
            for group in range(layer.groups):
                vector = window(layer, y, x, group)
                own = layer.weights[group * per_group : (group + 1) * per_group]
                pairs = paired([[bool(v) for v in f.reshape(-1)] for f in own])
                for start in range(0, len(pairs), units):
                    batch = [f for pair in pairs[start : start + units] for f in pair]
                    cost = 0
                    for chunk in range(0, len(vector), CHUNK):
                        part = vector[chunk : chunk + CHUNK]
                        held = paired([f[chunk : chunk + CHUNK] for f in batch])
                        joins = [
                            sum(a and b for f in fs for a, b in zip(part, f, strict=True)) for fs in held
                        ]
                        cost += max(1, *joins)
                    free.sort()
                    free[0] += cost
    return max(free)


@pytest.mark.parametrize("seed", SEEDS[:14])
def test_plain_loops_take_as_many_cycles(seed: int) -> None:
    layer = random_layer(seed)
    for multipliers in (3, 64):
        assert eie_cycles(layer, multipliers) == eie(layer, multipliers)
    for multipliers in (2, 16, 64):
        assert sparten_cycles(layer, multipliers) == sparten(layer, multipliers)
        if layer.output_shape != (1, 1):  # such a layer is one pixel to SCNN, counted in test_rules
            assert scnn_cycles(layer, multipliers) == scnn(layer, multipliers)
