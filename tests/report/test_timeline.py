"""The timeline: it is the trace of the RTL, and needs no network."""

from __future__ import annotations

import dataclasses
import re

import pytest

from hwgen.compiler import compile_graph
from hwgen.embedded import embedded_model
from hwgen.isa import Module
from hwgen.presets import preset
from hwgen.sim.run_result import CommandTrace, RunResult
from hwgen.verify.timeline import Span, timeline


def run(trace: list[CommandTrace]) -> RunResult:
    blank = {field.name: None for field in dataclasses.fields(RunResult)}
    return RunResult(**{**blank, "trace": trace})


def test_a_span_is_the_time_as_the_oldest_command_of_its_unit() -> None:
    program = compile_graph(embedded_model(), preset("tiny"))
    loads = [i for i, entry in enumerate(program.entries) if entry.name == "LOAD"][:2]
    last = len(program.entries) - 2
    found = timeline(program, run([
        CommandTrace(Module.LOAD, loads[0], 40, 100),
        CommandTrace(Module.STORE, last, 90, 95),
        CommandTrace(Module.LOAD, loads[1], 42, 130),
    ]))  # fmt: skip
    assert found == [
        Span(Module.LOAD, 0, loads[0], "LOAD", 40, 40, 100),
        Span(Module.STORE, program.entries[last].layer, last, program.entries[last].name, 90, 90, 95),
        Span(Module.LOAD, program.entries[loads[1]].layer, loads[1], "LOAD", 42, 100, 130),
    ]


def test_one_file_without_network_and_names_are_text() -> None:
    pytest.importorskip("bokeh", reason="Bokeh is not installed (hwgen[report])")
    from hwgen.report.timeline import timeline as drawn

    spans = [Span(Module.GRID, 1, 7, "RUN", 5, 10, 40), Span(Module.STORE, 0, 3, "STORE", 0, 0, 9)]
    text = drawn(spans, [("</script><b>", 10), ("plain", 30)])
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", text)
    assert "</script><b>" not in text
    assert "fetch activations" in text and "10 to 40 (30)" in text
