"""What becomes of a file: equal to its own runtime, or refused, and with what."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from hwgen.compiler import compile_graph
from hwgen.errors import HwgenError
from hwgen.golden.graph import run
from hwgen.golden.inputs import random_inputs, to_maps
from hwgen.model import load_model
from hwgen.model.graph import Conv, Graph
from hwgen.presets import preset
from hwgen.verify.machine import compare_graph, machine_writes, memory_image
from hwgen.verify.reference import References

IMAGES = 4


def result(path: Path) -> str:
    """``exact``, with the preset if it is not `base`, or each obstacle without its layers and remedy.

    Raises
    ------
    AssertionError
        When a file that is accepted is not equal to its runtime, the compiled network not to the golden graph, or a
        message does not say what to do.
    """
    try:
        graph = load_model(path)
    except HwgenError as error:
        return refusal(error)
    given = random_inputs(graph, IMAGES, 1)
    with References(path, graph, given) as references:
        report = references.compare()
    assert report is not None, "no runtime of this format is installed"
    assert report.equal and not report.left_out, f"{report.summary} {report.left_out}"
    name = "base-u8" if any(isinstance(op, Conv) and op.weight.dtype == np.int16 for op in graph.ops) else "base"
    same_on_machine(graph, name, given)
    return "exact" if name == "base" else f"exact (preset `{name}`)"


def same_on_machine(graph: Graph, name: str, given: list[np.ndarray]) -> None:
    """Compile for a preset, run on the golden machine, compare every map with the golden graph's."""
    maps = to_maps(graph, [values[:1] for values in given])
    program = compile_graph(graph, preset(name))
    seen, _ = machine_writes(program, memory_image(program, maps, 0))
    wrong, examples = compare_graph(program, seen, run(graph, maps, keep=True).tensors, 0)
    assert seen and not wrong, examples


def refusal(error: HwgenError) -> str:
    """The obstacles of a message, without layers' names and remedies; each must have a remedy."""
    lines = [line.removeprefix("  - ") for line in error.what.splitlines()]
    lines = lines[1:] or lines
    assert all(" -> " in line for line in lines) or error.remedy, str(error)
    return "; ".join(_bare(line) for line in lines)


def _bare(line: str) -> str:
    """Operator and reason."""
    reason = line.split(" -> ")[0]
    reason = re.sub(r" '[^']*'(?:, '[^']*')*(?: and \d+ more)?(?=: )", "", reason, count=1)
    return re.sub(r"'[^']*'", "...", reason).replace("|", "\\|")
