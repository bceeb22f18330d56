"""Networks over lines of pixels and wide rows: turned by 90 degrees where that is better, or the only way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.compiler import compile_graph
from hwgen.compiler.files import layout
from hwgen.compiler.turn import turned
from hwgen.model.graph import Concat, Graph, Pad, Reshape, plain_graph
from hwgen.presets import preset
from tests.random_graphs import Builder, random_graph
from tests.random_networks import check_machine, check_rtl
from tests.random_values import Limits

Size = tuple[int, int]
SEED = 5


class Line:
    """Builds a network over a map of ``shape``; with ``tall`` the same one with height and width swapped."""

    def __init__(self, shape: tuple[int, int, int], *, tall: bool) -> None:
        self.b = Builder(np.random.default_rng(3), Limits(macs=1 << 30, values=1 << 22), SEED)
        self.tall = tall
        self.first = self.at = self.b.source((*self.turn(shape[:2]), shape[2]))  # type: ignore[arg-type]

    def turn(self, size: tuple[int, ...]) -> tuple[int, ...]:
        return size[::-1] if self.tall else size

    def conv(self, kernel: Size, out: int, stride: Size = (1, 1), pad: Size = (0, 0), *,
             depthwise: bool = False) -> Line:  # fmt: skip
        channels = self.b.shape(self.at)[2]
        weight = self.b.weight((channels if depthwise else out, *kernel, 1 if depthwise else channels))
        weight = weight.transpose(0, 2, 1, 3) if self.tall else weight
        y, x = self.turn(pad)
        return self.then(self.b.convolve(self.at, weight, channels if depthwise else 1, stride=self.turn(stride),
                                         pad=(y, y, x, x)))  # fmt: skip

    def pool(self, kind: str, kernel: Size, stride: Size, pad: tuple[int, int, int, int] = (0, 0, 0, 0),
             **more: Any) -> Line:  # fmt: skip
        pad = (*pad[2:], *pad[:2]) if self.tall else pad
        return self.then(self.b.pool(self.at, kind, self.turn(kernel), self.turn(stride), pad, **more))  # type: ignore[arg-type]

    def then(self, name: str | None) -> Line:
        assert name is not None
        self.at = name
        return self

    def graph(self) -> Graph:
        return plain_graph("line", "tflite", self.b.tensors, self.b.ops, self.first, self.at)


def one_channel(*, tall: bool, kernel: int = 40) -> Graph:
    return Line((1, 400, 1), tall=tall).conv((1, kernel), 8).graph()


def sound(*, tall: bool) -> Graph:
    line = Line((1, 4000, 1), tall=tall).conv((1, 80), 32, (1, 4)).pool("max", (1, 4), (1, 4))
    return line.conv((1, 3), 32, pad=(0, 1)).pool("average", (1, 245), (1, 1), rescale=True).graph()


def sequence(*, tall: bool) -> Graph:
    line = Line((1, 600, 4), tall=tall).conv((1, 100), 12, (1, 2)).conv((1, 9), 12, (1, 2), (0, 4), depthwise=True)
    return line.pool("max", (1, 126), (1, 1)).graph()


def long(*, tall: bool) -> Graph:
    return Line((1, 16000, 1), tall=tall).conv((1, 80), 16, (1, 16)).pool("max", (1, 4), (1, 4)).conv((1, 3), 8).graph()


def wide(*, tall: bool) -> Graph:
    line = Line((4, 16000, 1), tall=tall).conv((3, 9), 8, (1, 4), (1, 4)).pool("max", (2, 4), (2, 4), (0, 0, 1, 1))
    return line.conv((2, 3), 5, (1, 2)).graph()


NETWORKS = {"one_channel": one_channel, "sound": sound, "sequence": sequence, "long": long, "wide": wide}


@pytest.mark.parametrize(
    ("name", "config"),
    [("one_channel", "tiny"), ("one_channel", "base"), ("sequence", "base"),
     *(pytest.param(n, c, marks=pytest.mark.slow) for n in ("sequence", "sound") for c in ("tiny", "large"))],
)
def test_both_ways_take_as_long(name: str, config: str) -> None:
    programs = [compile_graph(NETWORKS[name](tall=tall), preset(config)) for tall in (False, True)]
    first, second = (p.predicted for p in programs)
    assert abs(first - second) <= 0.03 * first
    for tall, program in zip((False, True), programs, strict=True):
        check_machine(SEED, NETWORKS[name](tall=tall), program)


@pytest.mark.slow
@pytest.mark.parametrize("config", ["tiny", "base"])
@pytest.mark.parametrize("name", ["long", "wide"])
def test_rows_beyond_those_that_commands_can_name(name: str, config: str) -> None:
    for tall in (False, True):
        graph = NETWORKS[name](tall=tall)
        check_machine(SEED, graph, compile_graph(graph, preset(config)))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_in_rtl(name: str) -> None:
    graph = NETWORKS[name](tall=False)
    check_rtl(SEED, graph, compile_graph(graph, preset("base")), "verilator")


def test_longer_kernels_do_not_waste_multipliers() -> None:
    """A kernel row of more taps than segments used to be read with its pads: a fifth of the speed."""
    short, longer = (compile_graph(one_channel(tall=False, kernel=k), preset("base")).predicted for k in (32, 40))
    assert longer < short * 40 / 32 * 1.1


def test_turned_maps_lie_as_layout_says() -> None:
    graph = wide(tall=False)
    program = compile_graph(graph, preset("base"))
    held = layout(program)["tensors"][graph.input]
    x = np.arange(4 * 16000, dtype=np.uint8).view(np.int8).reshape(4, 16000, 1)
    image = program.image(x)
    at = held["dram"] + np.arange(4)[:, None] * held["row_bytes"] + np.arange(16000) * held["pixel_bytes"]
    assert np.array_equal(image[at].view(np.int8), x[..., 0])
    assert np.array_equal(program.read_map(graph.input, image), x)


def test_copies_of_long_rows() -> None:
    """Padding, concatenation and rescaling of more words than a command counts."""
    line = Line((2, 5000, 3), tall=False)
    b = line.b
    x = b.requantize(line.at)
    y = b.put(Pad, (x,), (3, 9600, 3), b.zero(x), pad=(0, 1, 4600, 0))
    y = b.put(Concat, (y, y), (3, 9600, 6), b.zero(x), axis=3)
    y = b.put(Concat, (y, y), (6, 9600, 6), b.zero(x), axis=1)
    graph = line.then(y).graph()
    check_machine(SEED, graph, compile_graph(graph, preset("base").replace(act_kib=2048)))


@pytest.mark.parametrize("shape", [(1, 16000, 1), (1, 3001, 20), pytest.param((200, 600, 8), marks=pytest.mark.slow)])
def test_mean_over_more_pixels_than_lanes_hold(shape: tuple[int, int, int]) -> None:
    line = Line(shape, tall=False)
    graph = line.pool("average", shape[:2], (1, 1), rescale=True).graph()
    check_machine(SEED, graph, compile_graph(graph, preset("base").replace(act_kib=1024)))


def test_integers_of_another_zero_point_are_turned_too() -> None:
    line = Line((2, 16000, 1), tall=False).conv((2, 9), 8, (1, 4))
    b = line.b
    size = b.shape(line.at)
    line.then(b.put(Reshape, (line.at,), size, -77)).then(b.put(Pad, (line.at,), (size[0] + 1, size[1], size[2]), -77,
                                                                pad=(1, 0, 0, 0)))  # fmt: skip
    graph = line.then(b.put(Reshape, (line.at,), (size[0] + 1, *size[1:]), 5)).conv((1, 5), 4).graph()
    program = compile_graph(graph, preset("base"))
    assert program.layouts[graph.input].turned
    check_machine(SEED, graph, program)


def test_turning_twice_changes_nothing() -> None:
    for seed in range(20):
        graph = random_graph(seed)
        once = turned(graph, graph.ops)
        if once is None:
            assert any(isinstance(op, Reshape) for op in graph.ops)
            continue
        twice = turned(once, once.ops)
        assert twice is not None and {n: t.shape for n, t in twice.tensors.items()} == {
            n: t.shape for n, t in graph.tensors.items()}  # fmt: skip
