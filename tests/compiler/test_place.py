"""Stripes: the buffer that is reserved holds what every one of them loads."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.compiler.maps import Layout
from hwgen.compiler.rows import input_rows, stripe_rows
from hwgen.presets import preset
from tests.random_graphs import Builder
from tests.random_values import Limits


@pytest.mark.parametrize(("rows", "needed"), [(1, 5), (4, 11), (5, 12), (9, 19)])
def test_rows_of_a_stripe(rows: int, needed: int) -> None:
    b = Builder(np.random.default_rng(1), Limits(macs=1 << 24, values=1 << 20), 5)
    x = b.source((20, 6, 8))
    b.convolve(x, b.weight((8, 5, 1, 8)), 1, stride=(2, 1), pad=(2, 2, 0, 0))
    (op,) = b.ops
    layouts = {n: Layout.of(t.shape, preset("base")) for n, t in b.tensors.items()}
    height = layouts[op.output].height
    loads = [len(input_rows(op, range(r, min(r + rows, height)), 20)) for r in range(0, height, rows)]
    assert max(loads) == stripe_rows(op, layouts, x, rows) == needed
    assert stripe_rows(op, layouts, op.output, rows) == rows
