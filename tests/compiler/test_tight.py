"""Input maps of few channels: tight pixels, and programs that read them, on the golden machine."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.compiler import build, compile_graph, lower
from hwgen.compiler.maps import Layout
from hwgen.model.graph import Graph, plain_graph
from hwgen.presets import preset
from tests.random_graphs import Builder
from tests.random_networks import check_machine
from tests.random_values import Limits

SEED = 5


def network(shape: tuple[int, int, int], kernel: int, stride: int, pad: tuple[int, int, int, int], outputs: int = 20,
            density: float = 1) -> Graph:  # fmt: skip
    """Return a convolution of the input, and one of its result to an odd number of channels."""
    b = Builder(np.random.default_rng(3), Limits(macs=1 << 24, values=1 << 20), SEED)
    source = last = b.source(shape)
    for window, channels in (({"stride": (stride, stride), "pad": pad}, outputs), ({}, 2 * outputs + 3)):
        size = (channels, kernel, kernel, b.shape(last)[2])
        weight = b.rng.integers(-60, 61, size) * (b.rng.random(size) < density)
        made = b.convolve(last, weight.astype(np.int8), 1, **window)
        assert made is not None
        last = made
    return plain_graph("tight", "tflite", b.tensors, tuple(b.ops), source, last)


@pytest.mark.parametrize("shape", [(3, 5, 1), (4, 7, 3), (2, 8, 4)])
def test_layout(shape: tuple[int, int, int]) -> None:
    layout = Layout.tightly((1, *shape), preset("base-sparse"))
    x = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    raw = layout.pack(x, 8)
    assert layout.shape == shape and raw.size == layout.words * 8
    rows = raw.reshape(shape[0], -1)[:, : shape[1] * shape[2]]
    assert np.array_equal(rows, x.reshape(shape[0], -1))
    assert np.array_equal(layout.unpack(raw, 8), x)


@pytest.mark.parametrize(("shape", "kernel", "stride", "pad"), [
    ((12, 28, 1), 5, 1, (0, 0, 0, 0)),  # rows end within a word
    ((11, 16, 3), 3, 1, (1, 1, 1, 1)),  # patches begin within a word
    ((14, 16, 3), 3, 2, (0, 1, 0, 1)),
    ((9, 32, 2), 4, 1, (1, 2, 1, 2)),
])  # fmt: skip
def test_tight_input(
    shape: tuple[int, int, int], kernel: int, stride: int, pad: tuple[int, int, int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Whether it is faster or not."""
    graph, config = network(shape, kernel, stride, pad), preset("base-sparse")
    layout = Layout.tightly((1, *shape), config)
    monkeypatch.setattr(build, "tight_input", lambda *given: layout)
    program = compile_graph(graph, config)
    assert program.layouts[graph.input].tight == shape[1:]
    check_machine(SEED, graph, program)


def test_tight_where_faster() -> None:
    graph = network((12, 28, 1), 5, 1, (0, 0, 0, 0))
    assert compile_graph(graph, preset("base-sparse")).layouts[graph.input].tight == (28, 1)


def test_input_that_must_be_padded_within_a_word_is_not_tight() -> None:
    graph = network((9, 13, 1), 3, 1, (1, 1, 1, 1))
    program = compile_graph(graph, preset("base-sparse"))
    assert program.layouts[graph.input].tight is None
    check_machine(SEED, graph, program)


def test_dense_machines_have_words_for_every_pixel() -> None:
    graph = network((12, 28, 1), 5, 1, (0, 0, 0, 0))
    assert compile_graph(graph, preset("base")).layouts[graph.input].tight is None


@pytest.mark.parametrize("mapping", ["channel", "pixel"])
def test_pad_channels_are_read_where_that_is_faster(mapping: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or their rounds left out; the result is right in any case."""
    graph = network((12, 28, 1), 5, 1, (0, 0, 0, 0), density=0.1)
    program = compile_graph(graph, preset("base-sparse"), (mapping,))
    check_machine(SEED, graph, program)
    rounds = {e.args["rounds"] for e in program.entries if e.name == "RUN" and e.layer == 1}
    segments = {e.args["seg_count"] for e in program.entries if e.name == "RUN" and e.layer == 1}
    assert mapping == "channel" or max(segments) <= 5, "a kernel row is one segment"
    assert mapping == "channel" or max(rounds) <= 43, "as many rounds as channels"
    monkeypatch.setattr(lower, "reads_pads", lambda *given: [False])
    without = compile_graph(graph, preset("base-sparse"), (mapping,))
    cycles, more = (sum(layer.predicted for layer in p.layers) for p in (program, without))
    assert cycles <= more - (mapping == "pixel")


def test_a_row_of_tight_words_is_no_row_of_pixels() -> None:
    """A signal of 24 words and a kernel of 24 pixels: no column of the whole map, as it would be of untight pixels."""
    config = preset("base-sparse").replace(amem_words=128)
    b = Builder(np.random.default_rng(3), Limits(macs=1 << 24, values=1 << 20), SEED)
    source = b.source((1, 192, 1))
    weight = b.rng.integers(-60, 61, (8, 1, 24, 1)) * (b.rng.random((8, 1, 24, 1)) < 0.1)
    made = b.convolve(source, weight.astype(np.int8), 1, stride=(1, 1), pad=(0, 0, 0, 0))
    assert made is not None
    graph = plain_graph("signal", "tflite", b.tensors, tuple(b.ops), source, made)
    program = compile_graph(graph, config)
    assert program.layouts[graph.input].tight == (192, 1)
    check_machine(SEED, graph, program)
