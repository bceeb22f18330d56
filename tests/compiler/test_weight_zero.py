"""Weights with a zero point: what has one, what is refused, and that every way to the lanes gives the same results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwgen.compiler import compile_graph
from hwgen.compiler.program import Program
from hwgen.compiler.weight_store import CHOICES
from hwgen.compiler.weight_zero import zero_point
from hwgen.config import Config
from hwgen.errors import HwgenError
from hwgen.model.graph import Conv, Graph
from hwgen.presets import preset
from hwgen.sparse_layer import Zeros, sparse_layer
from tests.random_networks import check_machine

TOO_MANY = (
    "weights less their zero points are in [-200, 100], more than 256 values with zero -> quantise the weights of a "
    "layer with one zero point: per tensor, or per channel symmetrically")
SPARSE = preset("base-sparse").replace(weight_bits=9)


def layer(low: int, high: int, density: float = 1.0) -> Graph:
    """Return a convolution whose weights reach from ``low`` to ``high``."""
    graph, _ = sparse_layer(Zeros(weights=density))

    def spread(weight: NDArray[Any]) -> NDArray[np.int16]:
        values = np.random.default_rng(2).integers(low, high + 1, weight.shape, np.int16) * (weight != 0)
        values.reshape(-1)[:2] = low, high
        return values

    return with_weights(graph, spread)


def with_weights(graph: Graph, change: Any) -> Graph:
    return replace(graph, ops=tuple(
        replace(op, weight=change(op.weight)) if isinstance(op, Conv) else op for op in graph.ops))


def zeros(program: Program) -> list[int]:
    return [e.args["zero_point"] for e in program.entries if e.name == "WF_ZERO"]


@pytest.mark.parametrize(("low", "high", "zero"), [
    (-128, 127, 0), (0, 5, 0), (0, 255, -128), (-255, 0, 127), (-127, 128, -1), (-130, 125, 2), (200, 255, -128),
    (-255, -255, 127)])  # fmt: skip
def test_zero_point(low: int, high: int, zero: int) -> None:
    found = zero_point(np.array([low, high], np.int16))
    assert found == zero
    # Zero, of lanes and channels that a layer does not have, is a byte, too.
    assert min(low, 0) + found >= -128 and max(high, 0) + found <= 127


@pytest.mark.parametrize(("low", "high"), [(-128, 128), (-256, -1), (1, 256), (-200, 100)])
def test_too_many_values(low: int, high: int) -> None:
    with pytest.raises(ValueError, match="span more than 256 values"):
        zero_point(np.array([low, high], np.int16))


@pytest.mark.parametrize(("config", "low", "high", "text"), [
    (preset("base"), -127, 128,
     "weights in [-127, 128] do not fit 8 bits -> use --preset base-u8, or set weight_bits = 9 in the configuration"),
    (preset("base").replace(weight_bits=4), -9, 3,
     "weights in [-9, 3] do not fit 4 bits -> set weight_bits = 5 in the configuration, or quantise weights to 4 bits"),
    *((preset(name), -200, 100, TOO_MANY) for name in ("base", "base-u8")),
])  # fmt: skip
def test_refused_with_a_remedy(config: Config, low: int, high: int, text: str) -> None:
    with pytest.raises(HwgenError) as error:
        compile_graph(layer(low, high), config)
    assert text in str(error.value)


@pytest.mark.parametrize("mapping", ["channel", "pixel"])
@pytest.mark.parametrize(("low", "high"), [(0, 255), (-255, 0), (-100, 155)])
def test_dense(low: int, high: int, mapping: str) -> None:
    program = compile_graph(layer(low, high), preset("base-u8"), (mapping,))
    assert zeros(program) == [zero_point(np.array([low, high]))]
    check_machine(3, program.graph, program)


@pytest.mark.parametrize("form", [f for f in CHOICES if f != "nm"])
@pytest.mark.parametrize("density", [0.1, 1.0])
def test_streams(form: str, density: float) -> None:
    """What a stream leaves out is a weight of zero, not a byte of zero."""
    program = compile_graph(layer(-230, 20, density), SPARSE, weight_format=form)
    assert zeros(program) == [102]
    check_machine(3, program.graph, program)


def test_patterns() -> None:
    graph, _ = sparse_layer(Zeros(grain="2:4"))
    graph = with_weights(graph, lambda w: (w != 0) * np.random.default_rng(1).integers(1, 256, w.shape, np.int16))
    program = compile_graph(graph, SPARSE, ("pixel",), weight_format="nm")
    check_machine(3, graph, program)


def test_few_values_make_a_codebook() -> None:
    graph, _ = sparse_layer(Zeros(weights=0.3))
    values = np.array([-200, -150, 0, 30, 50], np.int16)
    graph = with_weights(graph, lambda w: np.random.default_rng(1).choice(values, w.shape))
    program = compile_graph(graph, SPARSE)
    assert [e.args["log2_entries"] for e in program.entries if e.name == "CODEBOOK"] in ([2], [3])
    check_machine(3, graph, program)


def test_weights_of_8_bits_cost_a_command() -> None:
    graph, _ = sparse_layer(Zeros())
    plain, wide = (compile_graph(graph, preset(name)) for name in ("base", "base-u8"))
    assert zeros(wide) == [0]
    assert np.array_equal(plain.constants, wide.constants) and len(wide.entries) == len(plain.entries) + 1
