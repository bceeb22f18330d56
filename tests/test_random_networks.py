"""Random quantised graphs on many machines: golden graph == golden machine == RTL, value by value.

A failure names seed, machine, graph and the first values that differ;
`random_graph(seed, limits(config))` makes it again.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hwgen.compiler import compile_graph
from hwgen.errors import HwgenError
from hwgen.golden import graph as golden
from hwgen.model.graph import Add, Concat, Conv, Pad, Pool, Requantize, Reshape
from hwgen.presets import preset
from tests.large_graph import large_graph
from tests.random_graphs import random_graph, random_input
from tests.random_networks import CONFIGS, SMALL_BUFFERS, check_machine, check_rtl, compiled

FORCED = (("channel",), ("pixel",), ("channel", "depthwise"), ("pixel", "depthwise"))
NIGHTLY = 80
"""Seeds per machine in the nightly run of golden graph and golden machine."""
SKIPPING = tuple(name for name, config in CONFIGS.items() if config.skip != "none")
RTL_CONFIGS = ("small", "cramped", "vector16", "vector4", "axi256", "u8")


def sweep(name: str, seeds: range, mappings: tuple[str, ...] | None = None, simulator: str | None = None) -> None:
    """Run seeds on a machine and report all that fail; only machines with small buffers may refuse one in five."""
    failures, refused = [], []
    for seed in seeds:
        try:
            graph, program = compiled(seed, CONFIGS[name], mappings)
        except HwgenError as error:
            refused.append(f"seed {seed}: {error}")
            continue
        try:
            if simulator is None:
                check_machine(seed, graph, program)
            else:
                check_rtl(seed, graph, program, simulator)
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, f"{len(failures)} of {len(seeds)} graphs\n" + "\n\n".join(failures[:5])
    wrong = [r for r in refused if name not in SMALL_BUFFERS or "cannot hold" not in r]
    assert not wrong, "\n".join(wrong)
    assert len(refused) <= max(1, len(seeds) // 5), "\n".join(refused)


def _forced() -> Iterator[tuple[str, tuple[str, ...]]]:
    for name in ("small", "vector16", "cramped", "large"):
        for mappings in FORCED:
            yield name, mappings


@pytest.mark.parametrize("name", CONFIGS)
def test_machine(name: str) -> None:
    sweep(name, range(4))


@pytest.mark.parametrize("mappings", FORCED)
def test_machine_forced(mappings: tuple[str, ...]) -> None:
    sweep("small", range(10, 12), mappings)


@pytest.mark.nightly
@pytest.mark.parametrize("name", CONFIGS)
def test_machine_many(name: str) -> None:
    sweep(name, range(100, 100 + NIGHTLY))


@pytest.mark.nightly
@pytest.mark.parametrize(("name", "mappings"), _forced())
def test_machine_forced_many(name: str, mappings: tuple[str, ...]) -> None:
    sweep(name, range(1000, 1000 + NIGHTLY // 2), mappings)


@pytest.mark.slow
def test_rtl() -> None:
    sweep("tiny", range(12), simulator="verilator")


@pytest.mark.slow
def test_rtl_skipping() -> None:
    sweep("skip_both", range(12), simulator="verilator")


@pytest.mark.slow
def test_rtl_zero_points() -> None:
    sweep("u8_skip", range(12), simulator="verilator")


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["u8", "u8_skip"])
def test_rtl_zero_points_icarus(name: str) -> None:
    sweep(name, range(5000, 5006), simulator="icarus")


@pytest.mark.nightly
@pytest.mark.parametrize("name", SKIPPING)
def test_rtl_skipping_many(name: str) -> None:
    sweep(name, range(4000, 4100), simulator="verilator")


@pytest.mark.nightly
@pytest.mark.parametrize("name", RTL_CONFIGS)
def test_rtl_many(name: str) -> None:
    sweep(name, range(2000, 2080), simulator="verilator")


@pytest.mark.nightly
@pytest.mark.parametrize("mappings", FORCED)
def test_rtl_forced(mappings: tuple[str, ...]) -> None:
    sweep("small", range(3000, 3025), mappings, simulator="verilator")


def test_every_operator_and_rounding_is_drawn() -> None:
    """What the fast seeds do not reach, nobody would miss."""
    ops = [op for seed in range(150) for op in random_graph(seed).ops]
    assert {type(op) for op in ops} == {Conv, Pool, Add, Concat, Pad, Requantize, Reshape}
    convs = [op for op in ops if isinstance(op, Conv)]
    assert {op.requant.rounding for op in convs} == {"double", "single", "half_even", "half_away"}
    assert {op.axis for op in ops if isinstance(op, Concat)} == {1, 2, 3}
    assert any(op.depthwise for op in convs)
    assert any(op.groups > 1 and op.weight.shape[3] % 8 and not op.depthwise for op in convs)
    assert any(op.dilation[0] > 1 for op in convs) and any(op.stride[0] != op.stride[1] for op in convs)
    assert {op.requant is None for op in ops if isinstance(op, Pool)} == {True, False}


def test_results_are_not_all_clamped() -> None:
    """Random scales that end at the clamp everywhere would hide everything."""
    lively = 0
    for seed in range(60):
        graph = random_graph(seed)
        lively += len(np.unique(golden.run(graph, random_input(graph, seed)).output)) > 3
    assert lively >= 40


def test_same_seed_same_graph() -> None:
    a, b = compiled(7, CONFIGS["small"])[1], compiled(7, CONFIGS["small"])[1]
    assert a.commands == b.commands and np.array_equal(a.constants, b.constants)


@pytest.mark.parametrize("mappings", FORCED)
def test_forced_mapping_is_used(mappings: tuple[str, ...]) -> None:
    """A dense convolution really runs in the mapping asked for."""
    layers = [layer for seed in range(20, 26) for layer in compiled(seed, CONFIGS["small"], mappings)[1].layers]
    assert {layer.mapping for layer in layers if layer.op == "Conv"} == set(mappings)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["base", "tiny"])
def test_striped_through_dram(name: str) -> None:
    """Maps of a 224 x 224 image fit on chip nowhere: they go through DRAM row by row."""
    graph = large_graph()
    program = compile_graph(graph, preset(name))
    assert graph.input not in program.chip and len(program.chip) < len(graph.tensors)
    check_machine(1, graph, program)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["base", "tiny"])
def test_striped_rtl(name: str) -> None:
    graph = large_graph()
    check_rtl(1, graph, compile_graph(graph, preset(name)), "verilator")
