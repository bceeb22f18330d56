"""Every kind of reader's mistake shows in the comparison with the runtime that runs the file itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.golden.graph import run
from hwgen.model import load_model
from hwgen.model.graph import Add, Concat, Conv, Graph, Op, Pad, Pool, Requant, Requantize
from tests.model import onnx_cases
from tests.model.onnx_networks import quantise
from tests.model.tflite_cases import build
from tests.references import compared

TFLITE = ("conv_stride_same", "conv_grouped", "depthwise_multiplier", "concatenation", "concatenation_of_rows",
          "max_pool", "average_pool_same", "mean_rescaled", "pad_kept", "add_swapped", "relu_rescaled", "requantize",
          "flatten_dense", "reshape_kept")
ONNX = ("asymmetric_conv", "groups_and_dilation", "residual", "concat", "pools", "pad_and_mean", "dense", "alone")


def third_of_a_step(op: Conv) -> np.ndarray:
    """What a bias has to change by, in each channel, to move results by a third of a step."""
    real = op.requant.multiplier * np.exp2(op.requant.shift - 31.0)
    return (op.bias + np.ceil(np.broadcast_to(1 / (3 * real), op.bias.shape))).astype(np.int32)


def shifted(requant: Requant) -> Requant:
    return replace(requant, zero_point=requant.zero_point + 1)


def faults(op: Op) -> Iterator[Op]:
    """The operator with one mistake each."""
    if isinstance(op, Conv):
        yield replace(op, bias=third_of_a_step(op))
        turned = np.roll(op.weight, 1, axis=3 if op.weight.shape[3] > 1 else 0), op.weight[:, ::-1, ::-1]
        yield from (replace(op, weight=w) for w in turned if not np.array_equal(w, op.weight))
        if op.pad[0] != op.pad[1]:
            yield replace(op, pad=(op.pad[1], op.pad[0], *op.pad[2:]))
    if isinstance(op, Pool):
        yield replace(op, qmax=0) if op.requant is None else replace(op, requant=shifted(op.requant))
    if isinstance(op, Conv | Add | Requantize):
        yield replace(op, requant=shifted(op.requant))
        yield replace(op, requant=replace(op.requant, qmax=(op.requant.qmin + op.requant.qmax) // 2))
    if isinstance(op, Add):
        yield replace(op, inputs=op.inputs[::-1])
    if isinstance(op, Concat) and len(set(op.inputs)) > 1:
        yield replace(op, inputs=op.inputs[::-1])
    if isinstance(op, Pad):
        top, bottom, left, right = op.pad
        yield replace(op, pad=(left, right, top, bottom))
        yield replace(op, pad=(top + bottom, 0, left, right))


def possible(graph: Graph, fault: Op) -> bool:
    """Whether the fault leaves the shapes that the file has."""
    if isinstance(fault, Concat):
        return len({graph.tensors[name].shape for name in fault.inputs}) == 1
    if isinstance(fault, Pad):
        (_, *inner), (_, *outer) = (graph.tensors[name].shape for name in (fault.inputs[0], fault.output))
        return [inner[0] + sum(fault.pad[:2]), inner[1] + sum(fault.pad[2:])] == outer[:2]
    return True


def check(path: Path, seed: int) -> int:
    graph = load_model(path)
    shape = graph.tensors[graph.input].shape[1:]
    x = np.random.default_rng(seed).integers(-128, 128, (30, *shape), dtype=np.int8)
    assert compared(path, graph, x).equal
    right = run(graph, x, keep=True).tensors
    made = 0
    for op in graph.ops:
        for fault in filter(lambda fault: possible(graph, fault), faults(op)):
            wrong = replace(graph, ops=tuple(fault if o is op else o for o in graph.ops))
            if not np.array_equal(run(wrong, x, keep=True).tensors[op.output], right[op.output]):
                report = compared(path, wrong, x)
                assert not report.equal, f"seed {seed}: {op} not told from {fault}"
                assert graph.tensors[op.output].view is None or repr(op.name) in report.examples[0]
                made += 1
    return made


@pytest.mark.parametrize("name", TFLITE)
def test_faults_in_tflite_operators(name: str, tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed (hwgen[reference])")
    assert check(build(name, tmp_path, 1), 1)


@pytest.mark.parametrize("name", ONNX)
def test_faults_in_onnx_operators(name: str, tmp_path: Path) -> None:
    path, _ = quantise(*getattr(onnx_cases, name)(np.random.default_rng(3)), tmp_path)
    assert check(path, 1)
