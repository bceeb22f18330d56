"""The machine's own cycles: lanes alone by hand, and on the embedded network beside its cycle model."""

from __future__ import annotations

import numpy as np

from hwgen.compiler import compile_graph
from hwgen.compiler.stream import Entry
from hwgen.embedded import digit_images, embedded_model
from hwgen.golden.inputs import quantize_input
from hwgen.isa import Module
from hwgen.presets import preset
from hwgen.schemes.machine import lanes_alone, run_machine


def test_lanes_wait_for_tokens_and_for_nothing_else() -> None:
    def run(**tokens: set[Module]) -> Entry:
        return Entry("RUN", {}, 0, **tokens)

    fetch = Entry("AFETCH", {}, 0, wait={Module.GRID}, post={Module.GRID})
    entries = [run(post={Module.AFETCH}), run(), fetch, run(wait={Module.AFETCH}), run()]
    walks = [np.array([[5, 2]]), np.array([[1, 1]]), None, np.array([[1, 1]]), np.array([[0, 4]])]
    # Lane 0: 5, 6, 7; lane 1: 2, 3, then the operands that the first job had to free, at 5: 6; a job of its own: 10.
    assert lanes_alone(entries, walks) == [5, 6, 5, 7, 10]


def test_the_embedded_network() -> None:
    graph = embedded_model()
    x = quantize_input(graph, digit_images()[0][:2])
    skipping, dense = (run_machine(graph, preset(name), x) for name in ("base-sparse", "base"))
    program = compile_graph(graph, preset("base"))
    assert [n.cycles for n in dense] == [layer.predicted for layer in program.layers]
    for machine in (skipping, dense):
        assert [n.name for n in machine] == [layer.name for layer in program.layers]
        assert 0 < sum(n.compute for n in machine) < sum(n.cycles for n in machine)
    assert sum(n.compute for n in skipping) < sum(n.compute for n in dense)
    assert sum(n.compute for n in dense) >= sum(layer.macs for layer in program.layers) / 64
