"""What the file's own runtime says of it, end to end: none of the tool's reading, layout or arithmetic is in here."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler import compile_graph
from hwgen.config import Config
from hwgen.errors import HwgenError
from hwgen.golden.graph import run
from hwgen.golden.host import file_outputs
from hwgen.model import load_model
from hwgen.model.graph import Graph
from hwgen.model.ports import Port
from hwgen.reference.runtime import RUNTIMES
from hwgen.verify.reference import compare, keys
from tests.fuzz.processes import REFERENCE, Case, Kind, Stage

IMAGES = 3
STEPS = 4
"""By how many steps of its scale an ONNX output may differ: real arithmetic between maps rounds elsewhere next to ties,
and a network of a few layers carries that on. A wrong reading is off by more, or in shape or type."""

Arrays = list[NDArray[Any]]


def case(path: Path, config: Config, seed: int) -> Case:
    """Read a file, run it, compile it, and compare with its runtime."""

    def body(stage: Stage) -> tuple[Kind, str]:
        stage("reading")
        graph = load_model(path)
        stage("running the golden model")
        maps = inputs(graph, seed)
        found = file_outputs(graph, run(graph, maps).tensors)
        stage("compiling")
        with contextlib.suppress(HwgenError):  # too large for this machine; how it is said is another test's
            compile_graph(graph, config)
        stage(REFERENCE)
        refer = _onnx if graph.source == "onnx" else _tflite
        try:
            given = [_of_file(port, maps[port.map]) for port in graph.inputs]
            expected = refer(path, graph, given)
        except _UnknownError as error:
            return "unknown", str(error)
        kind, text = _judged(graph, found, expected)
        if kind == "differs" and graph.source == "onnx" and _coarse(graph):
            # A step of a coarse map is many of the output's: each operator is judged on ONNX Runtime's own values.
            stage("comparing operators")
            runtime = RUNTIMES["onnx"][0]
            report = compare(graph, given, [(runtime, runtime.run(path, given, keys(graph)))])
            return ("equal", "") if report.equal else ("differs", report.summary)
        return kind, text

    return body


def _coarse(graph: Graph) -> bool:
    """True when a map has larger steps than an output."""
    return max(t.scale for t in graph.tensors.values()) > min(graph.tensors[port.map].scale for port in graph.outputs)


def inputs(graph: Graph, seed: int) -> dict[str, NDArray[np.int8]]:
    """Random quantised images of every input's map."""
    rng = np.random.default_rng(seed)
    return {name: rng.integers(-128, 128, (IMAGES, *graph.tensors[name].shape[1:]), dtype=np.int8)
            for name in graph.input_maps}


class _UnknownError(Exception):
    """No reference runs it."""


def _of_file(port: Port, q: NDArray[np.int8]) -> NDArray[Any]:
    """The values of the file's input, (N, *shape), quantised to ``q``: in the middle of steps, far from ties."""
    values = port.view.to_file(q)
    for step in reversed(port.steps):
        if step.kind != "quantize":
            raise _UnknownError(f"an input with a step {step.kind}")
        values = (values.astype(np.float64) - step.attrs["zero_point"]) * np.float64(step.attrs["scale"])
    return values.reshape(len(values), *port.shape).astype(port.type)


def _onnx(path: Path, graph: Graph, given: Arrays) -> Arrays:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [i.name for i in session.get_inputs()]
        runs = [session.run(None, dict(zip(names, images, strict=True))) for images in zip(*given, strict=True)]
    except Exception as error:
        raise _UnknownError(f"ONNX Runtime: {error}") from error
    return [np.stack(values) for values in zip(*runs, strict=True)]


def _tflite(path: Path, graph: Graph, given: Arrays) -> Arrays:
    from tflite_micro import runtime

    if any(op.source == "RELU6" for op in graph.ops):
        raise _UnknownError("TFLite Micro's RELU6 ignores the output's scale")
    try:
        micro = runtime.Interpreter.from_bytes(path.read_bytes(), arena_size=64 << 20)
        runs = []
        for images in zip(*given, strict=True):
            for i, image in enumerate(images):
                micro.set_input(np.ascontiguousarray(image), i)
            micro.invoke()
            runs.append([np.array(micro.get_output(i)) for i in range(len(graph.outputs))])
    except Exception as error:
        raise _UnknownError(f"TFLite Micro: {error}") from error
    return [np.stack(values) for values in zip(*runs, strict=True)]


def _judged(graph: Graph, found: Arrays, expected: Arrays) -> tuple[Kind, str]:
    if len(found) != len(expected):
        return "differs", f"{len(found)} outputs, not {len(expected)}"
    for port, ours, theirs in zip(graph.outputs, found, expected, strict=True):
        if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
            return "differs", f"{port.name}: {ours.dtype} {ours.shape}, not {theirs.dtype} {theirs.shape}"
        difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
        allowed = 0.0
        if graph.source == "onnx":
            allowed = STEPS * (1 if not port.real else graph.tensors[port.map].scale) + 1e-6
        elif port.real:
            allowed = 1e-6 + 1e-5 * float(np.abs(theirs.astype(np.float64)).max(initial=0))
        if not (difference <= allowed).all():
            at = tuple(int(i) for i in np.unravel_index(int(np.nanargmax(difference)), difference.shape))
            return "differs", f"{port.name}{at}: {ours[at]}, not {theirs[at]} (allowed {allowed:g})"
    return "equal", ""
