"""Output channels that meet the same inputs share a vector; fully connected layers come as vectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler import Program, compile_graph
from hwgen.compiler.cluster import clustered
from hwgen.isa import Format
from hwgen.model.graph import Conv, Graph, Requant, Tensor, plain_graph
from hwgen.presets import preset
from tests.random_networks import check_machine

SPARSE = preset("base-sparse")


def vectors(weights: NDArray[np.bool_], size: int) -> int:
    return int(np.logical_or.reduceat(weights, np.arange(0, len(weights), size), axis=0).sum())


def fully_connected(weights: NDArray[np.int8]) -> Graph:
    """Return a layer with these weights (outputs, inputs), and one that reads it."""
    rng = np.random.default_rng(1)
    tensors, ops = {"t0": Tensor("t0", (1, 1, 1, weights.shape[1]), 0.05, -3)}, []
    for n, weight in enumerate((weights, rng.integers(-9, 9, (10, len(weights))).astype(np.int8)), 1):
        tensors[f"t{n}"] = Tensor(f"t{n}", (1, 1, 1, len(weight)), 0.05, 5, n)
        ops.append(Conv(
            name=f"fc{n}", inputs=(f"t{n - 1}",), output=f"t{n}", source="FULLY_CONNECTED",
            weight=weight.reshape(len(weight), 1, 1, -1), bias=rng.integers(-99, 99, len(weight)).astype(np.int32),
            requant=Requant(np.full(len(weight), 1 << 30), np.full(len(weight), -7), 5)))  # fmt: skip
    return plain_graph("layers", "synthetic", tensors, tuple(ops), "t0", "t2")


def fetched(program: Program) -> int:
    return sum(e.info["cycles"] for e in program.entries if e.name == "WSTREAM" and e.layer == 0)


def test_channels_alike_share_a_block() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.random((8, 200)) < 0.1
    weights = np.repeat(kinds, 8, axis=0)[rng.permutation(64)]
    order = clustered(weights, 8)
    assert sorted(order) == list(range(64))
    assert vectors(weights[order], 8) == kinds.sum() < vectors(weights, 8) / 3


def test_a_last_block_may_be_smaller() -> None:
    assert sorted(clustered(np.eye(11, 5, dtype=np.bool_), 4)) == list(range(11))


def test_fully_connected_layers_take_a_cycle_for_a_vector() -> None:
    """In streams of vectors, in any order: fewer vectors, fewer cycles, the same results."""
    rng = np.random.default_rng(2)
    weights = (rng.integers(1, 99, (250, 600)) * (rng.random((250, 600)) < 0.02)).astype(np.int8)
    program = compile_graph(fully_connected(weights), SPARSE)
    streams = [e for e in program.entries if e.name == "WSTREAM" and e.layer == 0]
    assert {e.args["format"] for e in streams} == {int(Format.VECTOR)}
    assert all(e.args["dst"] % 32 == 0 for e in streams)
    assert fetched(program) < 1.2 * vectors(weights[clustered(weights != 0, 8)] != 0, 8)
    assert fetched(program) < 0.2 * weights.size / 8
    check_machine(3, program.graph, program)


def test_vectors_are_for_vector_operands() -> None:
    """A layer in pixel mapping has none of their streams, also when they are asked for."""
    graph = fully_connected(np.ones((64, 64), np.int8))
    shape = {n: replace(t, shape=(1, 8, 8, t.shape[3])) for n, t in graph.tensors.items()}
    graph = replace(graph, tensors=shape)
    assert any(e.name == "RUN" and e.args["mode"] == 1 for e in compile_graph(graph, SPARSE, ("pixel",)).entries)
    program = compile_graph(graph, SPARSE, weight_format="vector")
    assert all(e.args["mode"] != 1 for e in program.entries if e.name == "RUN")
    check_machine(3, graph, program)
