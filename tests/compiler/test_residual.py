"""Residual blocks: which branch comes first, and what an addition waits for."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from hwgen.compiler import compile_graph
from hwgen.compiler.context import Context, Tile
from hwgen.compiler.eltwise import Box, Rescale, identity
from hwgen.compiler.maps import Layout, View
from hwgen.compiler.order import branches_first
from hwgen.compiler.residual import beside
from hwgen.model.graph import Add, Conv, Graph, Requant, Tensor, plain_graph
from hwgen.presets import preset
from tests.random_networks import check_machine

BASE = preset("base")


def nothing(context: Context) -> None: ...


def conv(name: str, source: str, kernel: int) -> Conv:
    requant = Requant(np.full(8, 1 << 30), np.full(8, -9), 0)
    return Conv(name=name, inputs=(source,), output=name, source="CONV_2D", bias=np.zeros(8, np.int32),
                weight=np.ones((8, kernel, kernel, 8), np.int8), requant=requant, pad=(0, 0, 0, 0))  # fmt: skip


def block(shortcut_of: str) -> tuple[Graph, list[Conv | Add]]:
    tensors = {n: Tensor(n, (1, 4, 4, 8), 0.1, 0) for n in ("x", "a", "b", "c", "y")}
    add = Add(name="y", inputs=("b", "c"), output="y", source="ADD", multiplier=(1 << 30, 1 << 30), shift=(0, 0),
              requant=identity(0))  # fmt: skip
    ops: list[Conv | Add] = [conv("a", "x", 3), conv("b", "a", 3), conv("c", shortcut_of, 1), add]
    return plain_graph("block", "test", tensors, tuple(ops), "x", "y"), ops


def test_the_smaller_branch_runs_first() -> None:
    graph, ops = block("x")
    assert [op.name for op in branches_first(graph, ops)] == ["a", "c", "b", "y"]


def test_a_branch_stays_behind_what_it_reads() -> None:
    graph, ops = block("b")
    assert branches_first(graph, ops) == ops


def order(sets: list[tuple[int, int]]) -> list[tuple[int, tuple[int, int], tuple[int, int]]]:
    """Return (layer, span, words) of the tiles of a convolution of 16 x 16 pixels of 4 words and of an addition."""
    layout = Layout(16, 16, 32, 4, 64)
    views = [View(n, layout, i * layout.words, 0, 16) for i, n in enumerate("abo")]
    boxes = [Box(v.base, layout.pitch) for v in views]
    work = Rescale(views[2], boxes[0], boxes[2], 1, layout.words, 0, identity(0), boxes[1])
    producer = [replace(Tile(0, nothing, span=(0, layout.words)), words=w) for w in sets]
    return [(t.layer, t.span, t.words) for t in beside(1, work, producer, BASE)]


def test_an_addition_runs_behind_each_set_of_channels() -> None:
    found = order([(0, 2), (2, 4)])
    layers = [layer for layer, _, _ in found]
    second = layers.index(0, 1)
    assert layers[1:second] == [1] * (second - 1)
    assert {words for layer, _, words in found[:second] if layer} == {(0, 2)}
    assert {words for layer, _, words in found[second:] if layer} == {(2, 4)}
    pixels = [span for layer, span, words in found if layer and words == (0, 2)]
    assert pixels[0][0] == 0
    assert all(a[1] <= b[0] <= a[1] + 2 for a, b in pairwise(pixels))


def test_sets_that_take_turns_are_waited_for_together() -> None:
    assert [layer for layer, _, _ in order([(0, 2), (2, 4), (0, 2), (2, 4)])][:4] == [0] * 4


def test_a_sum_in_the_place_of_its_producers_input_waits() -> None:
    """Sum s gets a part of the place of p, which only the convolution before it still reads."""
    rng, tensors = np.random.default_rng(0), {"x": Tensor("x", (1, 16, 16, 8), 0.05, 0)}
    ops: list[Conv | Add] = []

    def tensor(name: str, channels: int) -> None:
        tensors[name] = Tensor(name, (1, 16, 16, channels), 0.05, 0, len(tensors))

    def convolve(source: str, name: str, channels: int, kernel: int = 1) -> None:
        tensor(name, channels)
        shape = (channels, kernel, kernel, tensors[source].shape[3])
        requant = Requant(np.full(channels, 1 << 30), np.full(channels, -8), 0)
        ops.append(Conv(name=name, inputs=(source,), output=name, source="CONV_2D", pad=(kernel // 2,) * 4,
                        weight=rng.integers(-60, 61, shape).astype(np.int8), bias=np.zeros(channels, np.int32),
                        requant=requant))  # fmt: skip

    def add(a: str, b: str, name: str) -> None:
        tensor(name, tensors[a].shape[3])
        ops.append(Add(name=name, inputs=(a, b), output=name, source="ADD", multiplier=(1 << 30, 1 << 30),
                       shift=(0, 0), requant=Requant(np.array([1 << 30]), np.array([-18]), 0)))  # fmt: skip

    convolve("x", "a", 16)
    convolve("a", "p", 64)
    convolve("p", "b", 16, 3)
    add("a", "b", "s")
    convolve("b", "q", 32)
    convolve("q", "r", 16)
    add("r", "s", "v")
    add("v", "a", "y")
    graph = plain_graph("sums", "tflite", tensors, tuple(ops), "x", "y")
    program = compile_graph(graph, BASE.replace(mappings=("channel", "depthwise")))
    p, s = (range(program.chip[n], program.chip[n] + program.layouts[n].words) for n in "ps")
    assert p.start < s.start < p.stop
    check_machine(5, graph, program)
