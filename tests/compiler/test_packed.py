"""Which maps are packed in DRAM, and that programs that pack are right: golden machine and RTL."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hwgen.compiler import compile_graph
from hwgen.compiler import packed as module
from hwgen.compiler.program import Program
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.golden.packed_map import slot_words
from hwgen.model.graph import Graph
from hwgen.presets import preset
from hwgen.verify.machine import machine_writes, predict
from tests.packed_graph import ACT_KIB, packed_graph
from tests.random_graphs import random_input
from tests.random_networks import check_machine, check_rtl

SMALL = preset("small").replace(name="packed", act_kib=ACT_KIB, compress_maps=True)
CONFIGS = {
    "axi64": SMALL,
    "axi32": SMALL.replace(axi_bits=32),
    "axi128": SMALL.replace(axi_bits=128),
    "vector16": SMALL.replace(vector=16, post_width=16, act_kib=6),
    "skip": SMALL.replace(skip="both"),
}


def _maps(graph: Graph, name: str, density: float) -> NDArray[np.int8]:
    """Return a map of which so many values are not its zero point."""
    tensor = graph.tensors[name]
    keep = np.random.default_rng(1).random(tensor.shape) < density
    return np.where(keep, np.where(tensor.zero_point == 1, 2, 1), tensor.zero_point).astype(np.int8)


def stored(program: Program) -> dict[int, str]:
    """Return by layer how its result is stored."""
    return {e.layer: e.name for e in program.entries if e.name.startswith("STORE")}


def test_maps_behind_a_relu_are_packed() -> None:
    """Not the map without zeros, and not the ends of the network."""
    graph, names = packed_graph()
    program = compile_graph(graph, SMALL)
    layers = {op.output: i for i, op in enumerate(graph.ops)}
    assert stored(program) == {layers[names["relu"]]: "STORE_PACKED", layers[names["dense"]]: "STORE",
                               layers[names["sum"]]: "STORE_PACKED", layers[names["mean"]]: "STORE"}
    assert {names["relu"], names["sum"]}.isdisjoint(program.dram), "only packed ones are there"
    plain = compile_graph(graph, SMALL.replace(compress_maps=False))
    assert {e.name for e in plain.entries if e.name.startswith(("LOAD", "STORE"))} == {"LOAD", "STORE"}


def test_profile_decides() -> None:
    graph, names = packed_graph()
    dense = {name: _maps(graph, name, 0.95) for name in graph.tensors}
    assert "STORE_PACKED" not in stored(compile_graph(graph, SMALL, samples=dense)).values()
    sparse = dense | {names["dense"]: _maps(graph, names["dense"], 0.4)}
    layer = next(i for i, op in enumerate(graph.ops) if op.output == names["dense"])
    assert [k for k, v in stored(compile_graph(graph, SMALL, samples=sparse)).items() if v == "STORE_PACKED"] == [layer]


@pytest.mark.parametrize("name", CONFIGS)
def test_machine(name: str) -> None:
    graph, _ = packed_graph()
    program = compile_graph(graph, CONFIGS[name])
    assert "STORE_PACKED" in stored(program).values()
    check_machine(5, graph, program)


def test_rows_are_cut_in_equal_blocks() -> None:
    """A row of 300 words is two blocks of 150; one of 263 (prime) would be of single words, one of 20 is too short."""
    graph, _ = packed_graph(6, 300, 8)
    program = compile_graph(graph, SMALL.replace(act_kib=24))
    assert {e.args["block"] for e in program.entries if e.name == "STORE_PACKED"} == {150}
    check_machine(5, graph, program)
    for width in (263, 20):
        graph, _ = packed_graph(6 if width > 100 else 40, width, 8)
        program = compile_graph(graph, SMALL.replace(act_kib=20 if width > 100 else 8))
        assert "STORE" in stored(program).values()
        assert "STORE_PACKED" not in stored(program).values()


def test_pad_bytes_are_not_packed() -> None:
    """Their values are not defined, so neither would be how long a block is."""
    graph, _ = packed_graph(channels=12)
    assert set(stored(compile_graph(graph, SMALL)).values()) == {"STORE"}


def test_slots_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, _ = packed_graph()
    monkeypatch.setattr(module, "SLOTS", 20)
    assert sorted(stored(compile_graph(graph, SMALL)).values()).count("STORE_PACKED") == 1


@pytest.mark.parametrize("name", CONFIGS)
def test_slots_are_apart(name: str) -> None:
    """Blocks of different maps share neither DRAM nor entries of the table, nor DRAM with plain maps."""
    graph, _ = packed_graph()
    program = compile_graph(graph, CONFIGS[name])
    width = Derived(program.config).dma_bytes
    owner: dict[int, int] = {}
    entry: dict[int, int] = {}
    regions = [range(*(np.array([0, size]) + at)) for at, size in map(program.map_region, program.dram)]
    for e in program.entries:
        if e.name == "STORE_PACKED":
            step = slot_words(e.args["block"]) * width
            for i in range(e.args["blocks"]):
                at = e.args["dram"] + i * step
                assert program.map_base <= at <= at + step <= program.command_base
                assert not any(at < r.stop and r.start < at + step for r in regions)
                for word in range(at, at + step, width):
                    assert owner.setdefault(word, e.layer) == e.layer
                assert entry.setdefault(e.args["slot"] + i, at) == at
    assert owner


def test_prediction_uses_real_lengths() -> None:
    graph, _ = packed_graph()
    program = compile_graph(graph, SMALL)
    x = random_input(graph, 5)
    _, done = machine_writes(program, program.image(x[0]))
    predict(program, done)
    for e, work in zip(program.entries, done.work, strict=True):
        assert e.moved == work.moved
        if e.name.endswith("_PACKED"):
            assert sum(e.moved) == work.items and len(e.moved) == e.args["blocks"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFIGS)
def test_rtl(name: str) -> None:
    """Value by value, at the latency and with the stalls of the seed."""
    graph, _ = packed_graph()
    config: Config = CONFIGS[name]
    program = compile_graph(graph, config)
    for seed in (3, 4, 5):
        check_rtl(seed, graph, program, "verilator")
