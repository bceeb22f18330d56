"""Rearranged graphs compute what the given ones do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwgen.compiler import compile_graph
from hwgen.compiler.arrange import arrange
from hwgen.golden import graph as golden
from hwgen.model.graph import Conv, Graph, Requant, Tensor
from hwgen.presets import preset
from hwgen.sparse_layer import Zeros, sparse_layer
from tests.random_graphs import random_graph, random_inputs
from tests.random_networks import CONFIGS, check_machine, limits

SPARSE = CONFIGS["skip_both"]


def thinned(graph: Graph, seed: int) -> Graph:
    """Return the graph with some filters without weights, and some inputs that filters do not read."""
    rng = np.random.default_rng(seed)

    def thin(op: Conv) -> Conv:
        weight = op.weight * (rng.random((len(op.weight), 1, 1, 1)) < 0.6)
        if op.groups == 1:
            weight = weight * (rng.random((1, 1, 1, op.weight.shape[3])) < 0.8)
        return replace(op, weight=weight.astype(op.weight.dtype))

    return replace(graph, ops=tuple(thin(op) if isinstance(op, Conv) else op for op in graph.ops))


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(seed: int) -> None:
    graph = thinned(random_graph(seed, limits(SPARSE)), seed)
    other, arrangement = arrange(graph, SPARSE)
    x = random_inputs(graph, seed)
    expected, got = (golden.run(g, x, keep=True, workers=1).tensors for g in (graph, other))
    assert all(np.array_equal(got[name], expected[name]) for name in graph.output_maps)
    for name, values in got.items():
        restored, computed = arrangement.restore(name, values)
        assert np.array_equal(restored[..., computed], expected[name][..., computed]), name


@pytest.mark.parametrize("name", [n for n, c in CONFIGS.items() if c.skip != "none"])
def test_machine(name: str) -> None:
    smaller = 0
    for seed in range(200, 206):
        graph = thinned(random_graph(seed, limits(CONFIGS[name])), seed)
        program = compile_graph(graph, CONFIGS[name])
        smaller += bool(program.arrangement.kept)
        check_machine(seed, graph, program)
    assert smaller


def two_layers(first: Conv, graph: Graph, pad: int, zero: int = 5) -> Graph:
    """Return ``first`` with a convolution behind it, whose output is the network's."""
    rng = np.random.default_rng(3)
    size = 14 + 2 * pad
    tensors = {**graph.tensors, "y": replace(graph.tensors["y"], zero_point=zero),
               "z": Tensor("z", (1, size, size, 8), 0.05, 0)}
    last = Conv(
        name="last", inputs=("y",), output="z", source="CONV_2D", pad=(pad,) * 4,
        weight=rng.integers(-50, 50, (8, 3, 3, len(first.weight))).astype(np.int8), bias=np.zeros(8, np.int32),
        requant=Requant(np.full(8, 1 << 30), np.full(8, -9), 0),
    )  # fmt: skip
    return replace(graph, tensors=tensors, ops=(first, last), outputs=(replace(graph.outputs[0], map="z"),))


@pytest.mark.parametrize(("pad", "bias", "left"), [(0, 900_000, 63), (1, 900_000, 64), (1, 0, 63)])
def test_a_dead_filter(pad: int, bias: int, left: int) -> None:
    """It goes, but for one that gives another value than zero to a reader with padding."""
    graph, x = sparse_layer(Zeros())
    (conv,) = graph.ops
    assert isinstance(conv, Conv)
    weight, biases = conv.weight.copy(), conv.bias.copy()
    weight[7], biases[7] = 0, bias
    graph = two_layers(replace(conv, weight=weight, bias=biases), graph, pad)
    other, arrangement = arrange(graph, preset("base-sparse"))
    assert other.tensors["y"].shape[3] == left
    assert np.array_equal(golden.run(other, x).output, golden.run(graph, x).output)
    expected = golden.run(graph, x, keep=True).tensors["y"]
    restored, computed = arrangement.restore("y", golden.run(other, x, keep=True).tensors["y"])
    assert computed.all() and np.array_equal(restored, expected)


def test_no_filter_left() -> None:
    graph, x = sparse_layer(Zeros())
    (conv,) = graph.ops
    assert isinstance(conv, Conv)
    graph = two_layers(replace(conv, weight=np.zeros_like(conv.weight)), graph, 0)
    other, _ = arrange(graph, preset("base-sparse"))
    assert other.tensors["y"].shape[3] == 2
    assert np.array_equal(golden.run(other, x).output, golden.run(graph, x).output)


def test_vectors_of_zeros_stay_together() -> None:
    graph, _ = sparse_layer(Zeros(weights=0.3, grain="vector"))
    (conv,) = graph.ops
    assert isinstance(conv, Conv)
    config = preset("base-sparse").replace(mappings=("channel", "depthwise"))
    assert "y" not in arrange(two_layers(conv, graph, 0), config)[1].kept


def test_dense_machines_change_nothing() -> None:
    graph = thinned(random_graph(1, limits(preset("base"))), 1)
    other, arrangement = arrange(graph, preset("base"))
    assert other is graph and not arrangement.kept


def test_vectors_of_weights_stay_where_channel_mapping_is_better() -> None:
    """Pixel mapping would walk as many weights in any order, but more activations."""
    graph, x = sparse_layer(Zeros(0.5, 0.4, "vector"))
    layer = graph.ops[0]
    assert isinstance(layer, Conv)
    # The first block has fewer weights than the others: the order is not balanced.
    weight = layer.weight.copy()
    weight[:8] *= np.random.default_rng(0).random((1, *weight.shape[1:])) < 0.5
    second = replace(layer, name="second", inputs=("y",), output="z", weight=layer.weight[..., ::-1])
    tensors = graph.tensors | {"z": replace(graph.tensors["y"], name="z")}
    graph = replace(graph, tensors=tensors, ops=(replace(layer, weight=weight), second),
                    outputs=(replace(graph.outputs[0], map="z"),))

    def vectors(of: Graph) -> int:
        convs = [op.weight != 0 for op in of.ops if isinstance(op, Conv)]
        return sum(int(w.reshape(-1, 8, *w.shape[1:]).any(axis=1).sum()) for w in convs)

    samples = golden.run(graph, x, keep=True, workers=1).tensors
    arranged, _ = arrange(graph, preset("base-sparse"), samples)
    assert vectors(arranged) <= 1.01 * vectors(graph)
