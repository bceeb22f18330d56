"""Layers at the edge of what a machine can hold, each once beyond it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.compiler import compile_graph
from hwgen.errors import HwgenError
from hwgen.model import load_model
from hwgen.model.graph import Add, Graph, Requant, Reshape, plain_graph
from hwgen.presets import preset
from tests.model.tflite_cases import build
from tests.random_graphs import Builder
from tests.random_networks import check_machine
from tests.random_values import Limits


def builder(*shape: int) -> tuple[Builder, str]:
    b = Builder(np.random.default_rng(3), Limits(macs=1 << 24, values=1 << 20), 5)
    return b, b.source(shape)  # type: ignore[arg-type]


def graph(b: Builder, output: str | None) -> Graph:
    assert output is not None
    return plain_graph("limits", "tflite", b.tensors, tuple(b.ops), next(iter(b.tensors)), output)


def check(g: Graph, name: str) -> None:
    check_machine(5, g, compile_graph(g, preset(name)))


@pytest.mark.parametrize("name", ["tiny", "base"])
@pytest.mark.parametrize("shape", [(1, 40, 60), (1, 49, 12), (4, 34, 20)])
def test_fully_connected_over_a_wide_map(name: str, shape: tuple[int, int, int]) -> None:
    """One kernel row alone takes more segments, or more weights, than there are."""
    b, x = builder(*shape)
    check(graph(b, b.convolve(x, b.weight((9, *shape)), 1)), name)


@pytest.mark.parametrize("groups", [1, 3])
def test_wide_kernel_of_odd_channels(groups: int) -> None:
    b, x = builder(2, 60, 15)
    w = b.weight((6, 2, 36, 15 // groups))
    check(graph(b, b.convolve(x, w, groups, stride=(1, 2), pad=(1, 0, 3, 2))), "base")


@pytest.mark.parametrize(("rows", "columns"), [(36, 2), (118, 2), (200, 1)])
def test_mean_over_a_tall_map(rows: int, columns: int) -> None:
    b, x = builder(rows, columns, 8)
    check(graph(b, b.pool(x, "average", (rows, columns), (1, 1), (0, 0, 0, 0))), "tiny")


def test_maximum_of_as_many_rows_as_segments_and_more() -> None:
    for rows in (32, 33):
        b, x = builder(40, 2, 8)
        check(graph(b, b.pool(x, "max", (rows, 2), (1, 1), (0, 0, 0, 0))), "base")


def test_reshape_of_a_map_in_dram() -> None:
    """The reshape comes between two operators whose maps are too large for the activation buffer."""
    b, x = builder(16, 16, 40)
    y = b.requantize(x)
    z = b.put(Reshape, (y,), (256, 1, 40), b.zero(y))
    g = graph(b, b.requantize(z))
    program = compile_graph(g, preset("small").replace(act_kib=4))
    assert not program.chip
    check_machine(5, g, program)


def test_narrow_accumulators() -> None:
    b, x = builder(20, 20, 8)
    g = graph(b, b.pool(x, "average", (20, 20), (1, 1), (0, 0, 0, 0)))
    reach = 400 * max(128 + b.zero(x), 127 - b.zero(x))
    bits = reach.bit_length() + 1
    check_machine(5, g, compile_graph(g, preset("small").replace(acc_bits=bits)))
    with pytest.raises(HwgenError, match="accumulator bits"):
        compile_graph(g, preset("small").replace(acc_bits=bits - 1))


@pytest.mark.parametrize("used_again", [False, True])
def test_addition_in_place_of_what_its_producer_reads(used_again: bool) -> None:
    """A residual block of one convolution: rows that the convolution still needs must not be overwritten."""
    b, x = builder(24, 9, 8)
    y = b.requantize(x)
    z = b.convolve(y, b.weight((8, 5, 3, 8)), 1, pad=(4, 0, 1, 1))
    assert z is not None
    values = {
        "multiplier": (1 << 30, 1 << 30),
        "shift": (0, 0),
        "requant": Requant(np.array([1 << 30]), np.array([-18]), 0),
    }
    out = b.put(Add, (y, z), (24, 9, 8), 0, **values)
    out = b.put(Add, (out, z), (24, 9, 8), 0, **values) if used_again else out
    g = graph(b, out)
    for config in (preset("small"), preset("tiny"), preset("small").replace(acc_vectors=16)):
        check_machine(5, g, compile_graph(g, config))


@pytest.mark.parametrize("name", ["tiny", "base-sparse"])
@pytest.mark.parametrize("case", ["pad_with_lowest", "pad_with_a_number"])
def test_padding_with_a_number(case: str, name: str, tmp_path: Path) -> None:
    g = load_model(build(case, tmp_path, 1))
    check(g, name)
