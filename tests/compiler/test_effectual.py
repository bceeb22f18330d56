"""What the compiler expects lanes to walk, against counting position by position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwgen.compiler.density import Density, measure
from hwgen.compiler.effectual import activation_share, lane_cycles, share, whole
from hwgen.compiler.maps import View
from hwgen.compiler.shape import Shape
from hwgen.compiler.work import Chunk, Work
from hwgen.config import Config
from hwgen.isa import Mode
from hwgen.model.graph import Requant
from hwgen.presets import preset

POSITIONS, WORD = 18, 8
DENSITY = Density(values=0.5, pixels=0.75, channels=0.875)


def machine(skip: str) -> Config:
    return preset("base-sparse").replace(skip=skip)


def work(mode: Mode, values: NDArray[np.int8], **options: Any) -> Work:
    """Return a layer with given weights: (groups, positions, P), for the pixel mapping (channels, positions)."""
    view: View = None  # type: ignore[assignment]  # geometry: not looked at
    channels = len(values) * (1 if mode is Mode.PIXEL else WORD)
    return Work(
        layer=0, mode=mode, source=view, result=view, rows=range(4), kernel=(1, 1), stride=(1, 1), dilation=(1, 1),
        pad=(0, 0), zero_point=0, fill=0, requant=Requant(np.ones(1), np.ones(1), 0), bias=np.zeros(channels, np.int64),
        channels=range(POSITIONS), outputs=range(channels), density=DENSITY,
        weights=lambda first, count, chunk: values[first:first + count], **options)


def sparse(shape: tuple[int, ...], seed: int) -> NDArray[np.int8]:
    """Return weights, many zero, in whole vectors and rows too."""
    rng = np.random.default_rng(seed)
    there = rng.random(shape) < 0.4
    there &= rng.random((*shape[:2], *(1 for _ in shape[2:]))) < 0.5
    values = rng.integers(1, 100, shape) * there
    values[0] = 0
    return values.astype(np.int8)


def shape(config: Config, log2_rc: int, log2_cc: int) -> Shape:
    return Shape(config.rows, config.columns, log2_rc, log2_cc, 2, 2, "y", "x")


CHUNK = Chunk(0, 1, 0, 3, POSITIONS)


@pytest.mark.parametrize("skip", ["weight", "both"])
@pytest.mark.parametrize("log2", [(0, 0), (1, 0), (2, 1)])
@pytest.mark.parametrize("mode", [Mode.CHANNEL, Mode.DEPTHWISE])
def test_lanes_of_vectors_walk_those_with_any_weight(mode: Mode, log2: tuple[int, int], skip: str) -> None:
    config, values, rounds = machine(skip), sparse((6, POSITIONS, WORD), 1), 5
    layout = shape(config, *log2)
    count = min(6, layout.rc * layout.cc)
    found = lane_cycles(work(mode, values), config, layout, CHUNK, [(g, 1) for g in range(count)], rounds, POSITIONS)
    acts = 1.0 if skip == "weight" else {Mode.CHANNEL: 0.5, Mode.DEPTHWISE: 0.875}[mode]
    assert found is not None and found.shape == (config.rows, config.columns)
    for r in range(config.rows):
        for c in range(config.columns):
            group = c % layout.cc * layout.rc + r % layout.rc
            expected = 0.0
            if group < count:
                effectual = sum(any(values[group, p, k] != 0 for k in range(WORD)) for p in range(POSITIONS))
                expected = rounds * max(1.0, effectual * acts)
            assert found[r, c] == pytest.approx(expected), (r, c)


@pytest.mark.parametrize("skip", ["weight", "both"])
def test_lanes_of_pixels_walk_every_channel_for_itself(skip: str) -> None:
    """A round is a channel; channels beyond the last one, and those without weights, cost a cycle."""
    config, values = machine(skip), sparse((20, POSITIONS), 2)
    layout, rounds = shape(config, 1, 0), 12  # the second lane has 8 channels, and 4 that are not there
    found = lane_cycles(work(Mode.PIXEL, values), config, layout, CHUNK, [(0, rounds), (rounds, rounds)], rounds,
                        POSITIONS)
    acts = 1.0 if skip == "weight" else DENSITY.pixels
    assert found is not None
    for row in range(config.rows):
        expected = 0.0
        for channel in range(row % 2 * rounds, (row % 2 + 1) * rounds):
            effectual = sum(int(w != 0) for w in values[channel]) if channel < len(values) else 0
            expected += max(1.0, effectual * acts)
        assert found[row] == pytest.approx([expected] * config.columns)


@pytest.mark.parametrize(("mode", "acts"), [(Mode.CHANNEL, 0.5), (Mode.PIXEL, 0.75), (Mode.DEPTHWISE, 0.875)])
def test_where_weights_are_not_looked_at_all_lanes_walk_the_same(mode: Mode, acts: float) -> None:
    values = sparse((8, POSITIONS) if mode is Mode.PIXEL else (8, POSITIONS, WORD), 3)
    config = machine("activation")
    layout = shape(config, 0, 0)
    found = lane_cycles(work(mode, values), config, layout, CHUNK, [(0, 3)], 3, POSITIONS)
    assert found is not None and found == pytest.approx(np.full((config.rows, config.columns), 3 * POSITIONS * acts))
    # Maxima are walked whole, whatever is skipped; weights of one value have no zeros to look for.
    found = lane_cycles(work(mode, values, maximum=True), machine("both"), layout, CHUNK, [(0, 3)], 3, POSITIONS)
    assert found is not None and (found == 3 * POSITIONS).all()
    found = lane_cycles(work(mode, values, scalar=True), machine("weight"), layout, CHUNK, [(0, 3)], 3, POSITIONS)
    assert found is not None and (found == 3 * POSITIONS).all()
    assert lane_cycles(work(mode, values), preset("base"), layout, CHUNK, [(0, 3)], 3, POSITIONS) is None


@pytest.mark.parametrize("mode", list(Mode))
def test_share_is_that_of_all_lanes(mode: Mode) -> None:
    values = sparse((8, POSITIONS) if mode is Mode.PIXEL else (8, POSITIONS, WORD), 4)
    layer = work(mode, values)
    rows = [[np.any(values[g, p] != 0) for p in range(POSITIONS)] for g in range(len(values))]
    expected = sum(map(sum, rows)) / (len(values) * POSITIONS)
    chunk = whole(layer, WORD)
    assert share(layer, machine("weight"), chunk) == pytest.approx(expected)
    layer.dedupe.clear()
    both = machine("both")
    assert share(layer, both, chunk) == pytest.approx(expected * activation_share(layer, both))
    assert share(work(mode, values, maximum=True), both, chunk) == share(layer, preset("base"), chunk) == 1


def test_density_of_maps() -> None:
    rng = np.random.default_rng(5)
    maps = np.where(rng.random((2, 3, 5, 12)) < 0.2, rng.integers(0, 100, (2, 3, 5, 12)), -7).astype(np.int8)
    found = measure(maps, -7, 8)
    flat = maps.reshape(2, 15, 12)
    assert found.values == pytest.approx(sum(v != -7 for v in maps.reshape(-1)) / maps.size)
    pixels = [(flat[n, p:p + 8, c] != -7).any() for n in range(2) for p in (0, 8) for c in range(12)]
    channels = [(flat[n, p, c:c + 8] != -7).any() for n in range(2) for p in range(15) for c in (0, 8)]
    assert found.pixels == pytest.approx(np.mean(pixels)) and found.channels == pytest.approx(np.mean(channels))
