"""Windows that lanes look at, against cutting segments position by position; lanes amid zeros and others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwgen.compiler.density import Density
from hwgen.compiler.maps import Layout, View
from hwgen.compiler.shape import make_shape
from hwgen.compiler.uneven import relative_activity
from hwgen.compiler.windows import round_bases, run_windows
from hwgen.compiler.work import Chunk
from hwgen.derive import SKIP_WINDOW
from hwgen.isa import Mode
from hwgen.presets import preset
from tests.compiler.test_effectual import work


@pytest.mark.parametrize("mode", [Mode.CHANNEL, Mode.PIXEL, Mode.DEPTHWISE])
def test_windows(mode: Mode) -> None:
    table = [(0, 0, 40), (17, 40, 1), (100, 41, 64), (333, 105, 33)]
    bases = round_bases(72, 10, 4, 8, 50)
    expected = 0
    for base in bases:
        for offset, _, length in table:
            first = 0 if mode is Mode.DEPTHWISE else base + offset
            expected += len({(first + i) // SKIP_WINDOW for i in range(length)})
    assert run_windows(table, bases, mode) == expected


def test_bases() -> None:
    assert round_bases(3, 5, 2, 10, 100).tolist() == [3, 13, 113, 123, 223]


def test_lanes_amid_zeros() -> None:
    config = preset("base-sparse")
    where = np.zeros((8, 8))
    where[2:4] = 0.5
    view = View("x", Layout(8, 8, 8, 1, 8), 0, 0, 8)
    layer = replace(work(Mode.CHANNEL, np.ones((1, 18, 8), np.int8)), source=view, result=view, rows=range(8),
                    density=Density(0.125, 0.5, 0.5, where))  # fmt: skip
    shape = make_shape(config, 0, 0, 1, 8, 8, 8)
    found = relative_activity(layer, config, shape, Chunk(0, 1, 0, 1, 8), 0, 0)
    assert found is not None
    assert sorted(found.reshape(-1).tolist()) == [0] * 6 + [4, 4], "of a mean of 1/8, two rows have a half"
    assert relative_activity(layer, preset("base"), shape, Chunk(0, 1, 0, 1, 8), 0, 0) is None
    assert relative_activity(replace(layer, maximum=True), config, shape, Chunk(0, 1, 0, 1, 8), 0, 0) is None
