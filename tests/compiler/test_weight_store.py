"""How weights are stored: the smallest form, asked for or not; the same results and the bytes that were promised."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwgen import isa
from hwgen.compiler import compile_graph
from hwgen.compiler.program import Program
from hwgen.compiler.weight_store import CHOICES
from hwgen.config import WEIGHT_FORMATS, Config
from hwgen.errors import HwgenError
from hwgen.golden.machine import Machine
from hwgen.model.graph import Conv, Graph
from hwgen.presets import preset
from hwgen.sparse_layer import Zeros, sparse_layer
from tests.random_networks import check_machine

SPARSE = preset("base-sparse")


def _with_weights(graph: Graph, weight: np.ndarray[tuple[int, ...], np.dtype[np.int8]]) -> Graph:
    return replace(graph, ops=tuple(replace(op, weight=weight) if isinstance(op, Conv) else op for op in graph.ops))


def loaded(program: Program) -> int:
    """Return the bytes of weights that the program loads, those that it loads again counted once."""
    loads = [e.args for e in program.entries if e.name == "LOAD" and e.args["buffer"] == isa.Buffer.WEIGHT]
    return 8 * len({a["dram"] // 8 + n for a in loads for n in range(a["count"])})


@pytest.mark.parametrize("density", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("form", [f for f in CHOICES if f != "nm"])
def test_every_form_gives_the_same_results(form: str, density: float) -> None:
    graph, _ = sparse_layer(Zeros(weights=density))
    program = compile_graph(graph, SPARSE, weight_format=form)
    assert all(e.name != "WFETCH" for e in program.entries)
    check_machine(3, graph, program)
    smallest = compile_graph(graph, SPARSE)
    assert loaded(smallest) <= loaded(program)
    assert loaded(program) == program.weight_bytes


def test_patterns_take_indices() -> None:
    graph, _ = sparse_layer(Zeros(grain="1:4"))
    program = compile_graph(graph, SPARSE, ("pixel",), weight_format="nm")
    assert {e.args["format"] for e in program.entries if e.name == "WSTREAM"} == {int(isa.Format.ONE_OF_FOUR)}
    check_machine(3, graph, program)


def test_few_values_make_a_codebook() -> None:
    graph, _ = sparse_layer(Zeros(weights=0.3))
    values = np.array([-100, -50, 0, 30, 90], np.int8)
    rng = np.random.default_rng(1)
    weight = rng.choice(values, next(op for op in graph.ops if isinstance(op, Conv)).weight.shape).astype(np.int8)
    program = compile_graph(_with_weights(graph, weight), SPARSE)
    books = [e for e in program.entries if e.name == "CODEBOOK"]
    assert len(books) == 1 and books[0].args["log2_entries"] in (2, 3)
    check_machine(3, program.graph, program)
    without = compile_graph(_with_weights(graph, weight), SPARSE.replace(codebook=0))
    assert loaded(program) < 0.6 * loaded(without)


@pytest.mark.parametrize(
    ("config", "form", "text"),
    [
        (preset("base"), "run", "weight format run is not built into this configuration, which has: none"),
        (SPARSE.replace(weight_formats=("packed", "bitmap")), "vector", "which has: packed, bitmap, codebook"),
        (SPARSE.replace(codebook=0), "codebook", "weight format codebook is not built"),
        (SPARSE, "zip", "weight format must be one of smallest, packed"),
        (SPARSE, "nm", "cannot be stored in the format nm"),
    ],
)
def test_what_is_not_built_is_refused_by_name(config: Config, form: str, text: str) -> None:
    graph, _ = sparse_layer(Zeros(weights=0.9))
    with pytest.raises(HwgenError, match=text):
        compile_graph(graph, config, weight_format=form)


def test_a_corrupt_image_is_refused() -> None:
    """With the index of the command."""
    graph, _ = sparse_layer(Zeros(weights=0.2))
    program = compile_graph(graph, SPARSE, weight_format="bitmap")
    image = program.image(np.zeros((16, 16, 64), np.int8))
    index = next(i for i, e in enumerate(program.entries) if e.name == "WSTREAM")
    image[: program.weight_bytes // 4] = 255
    with pytest.raises(HwgenError, match=rf"command {index} \(WSTREAM\).*weight stream|weight stream") as found:
        Machine(SPARSE).run(program.commands, image)
    assert f"command {index} (WSTREAM)" in str(found.value)


def test_dense_machines_store_bytes() -> None:
    graph, _ = sparse_layer(Zeros(weights=0.2))
    program = compile_graph(graph, preset("base"))
    assert {e.name for e in program.entries if e.module is isa.Module.WFETCH} == {"WFETCH"}
    assert WEIGHT_FORMATS[0] == "packed"
