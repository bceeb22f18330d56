"""Average pooling with one rounding for division and rescale: by hand, by ONNX Runtime, and on machines."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hwgen.compiler import compile_graph
from hwgen.errors import HwgenError
from hwgen.golden.fixedpoint import quantize_multiplier
from hwgen.golden.graph import run
from hwgen.model.graph import Graph, Pool, Requant, Tensor, plain_graph
from hwgen.model.onnx_writer import write_onnx
from hwgen.presets import preset
from tests.random_networks import check_machine

SCALES = 0.0500013, 0.0371237
ZEROS = 3, -20
Four = tuple[int, int, int, int]


def requant(count: int) -> Requant:
    multiplier, shift = quantize_multiplier(SCALES[0] / (count * SCALES[1]))
    return Requant(np.array([multiplier]), np.array([shift]), ZEROS[1], rounding="half_even")


def network(pad: Four, counted: Four, kernel: tuple[int, int] = (3, 4), stride: tuple[int, int] = (2, 1),
            counts: range | None = None) -> Graph:
    """An average of 3 channels of 7 x 9 pixels."""
    rows = (7 + pad[0] + pad[1] - kernel[0]) // stride[0] + 1
    columns = (9 + pad[2] + pad[3] - kernel[1]) // stride[1] + 1
    tensors = {"a": Tensor("a", (1, 7, 9, 3), SCALES[0], ZEROS[0]),
               "b": Tensor("b", (1, rows, columns, 3), SCALES[1], ZEROS[1])}
    by_count = {n: requant(n) for n in counts or range(1, kernel[0] * kernel[1] + 1)}
    op = Pool(name="p", inputs=("a",), output="b", kind="average", kernel=kernel, stride=stride, pad=pad,
              by_count=by_count, counted=counted)
    return plain_graph("average", "onnx", tensors, [op], "a", "b")


def textbook(graph: Graph, x: NDArray[np.int8]) -> NDArray[np.int8]:
    """The real mean of the window, rounded once (ties do not occur with these scales)."""
    op = graph.ops[0]
    assert isinstance(op, Pool)
    out = np.zeros(graph.tensors["b"].shape, np.int8)
    top, bottom, left, right = op.counted
    for _, r, c, k in np.ndindex(*out.shape):
        y0, x0 = r * op.stride[0] - op.pad[0], c * op.stride[1] - op.pad[2]
        places = [(i, j) for i in range(y0, y0 + op.kernel[0]) for j in range(x0, x0 + op.kernel[1])]
        total = sum(int(x[0, i, j, k]) - ZEROS[0] for i, j in places if 0 <= i < 7 and 0 <= j < 9)
        count = sum(-top <= i < 7 + bottom and -left <= j < 9 + right for i, j in places)
        real = Fraction(SCALES[0]) * total / count / Fraction(SCALES[1])
        out[0, r, c, k] = min(max(round(real) + ZEROS[1], -128), 127)
    return out


@pytest.mark.parametrize(("pad", "counted"), [
    ((0, 0, 0, 0), (0, 0, 0, 0)), ((1, 2, 3, 0), (0, 0, 0, 0)), ((1, 2, 3, 0), (1, 2, 3, 0)),
    ((2, 2, 1, 2), (1, 0, 1, 1)), ((2, 1, 3, 3), (2, 0, 3, 1))])
def test_mean_is_rounded_once(pad: Four, counted: Four) -> None:
    graph = network(pad, counted)
    x = np.random.default_rng(sum(pad)).integers(-128, 128, (1, 7, 9, 3)).astype(np.int8)
    assert np.array_equal(run(graph, x).output, textbook(graph, x))
    for name in ("tiny", "base"):
        check_machine(sum(pad), graph, compile_graph(graph, preset(name)))
    striped = preset("small").replace(act_kib=1, banks=2)
    check_machine(sum(pad), graph, compile_graph(graph, striped))


@pytest.mark.parametrize(("pad", "counted"), [((1, 1, 2, 2), (0, 0, 0, 0)), ((1, 1, 2, 2), (1, 1, 2, 2)),
                                             ((0, 2, 1, 0), (0, 0, 0, 0))])
def test_onnx_runtime_rounds_so(pad: Four, counted: Four, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    graph = network(pad, counted)
    write_onnx(graph, tmp_path / "average.onnx")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(tmp_path / "average.onnx"), options)
    x = np.random.default_rng(5).integers(-128, 128, (1, 7, 9, 3)).astype(np.int8)
    real = ((x.astype(np.float32) - ZEROS[0]) * np.float32(SCALES[0])).astype(np.float32)
    (y,) = session.run(None, {"x": real})
    assert np.array_equal(run(graph, x).output, np.rint(y / np.float32(SCALES[1])) + ZEROS[1])


def test_what_is_not_stated_is_refused(tmp_path: Path) -> None:
    x = np.zeros((1, 7, 9, 3), np.int8)
    with pytest.raises(HwgenError, match="p: windows of 12 pixels have no multiplier"):
        run(network((1, 1, 0, 0), (0, 0, 0, 0), counts=range(1, 12)), x)
    with pytest.raises(HwgenError, match=r"p: the padding that is counted, \(2, 0, 0, 0\), must be a part of"):
        run(network((1, 1, 0, 0), (2, 0, 0, 0)), x)
    with pytest.raises(HwgenError, match="p: ONNX counts all of the padding of a pooling or none of it"):
        write_onnx(network((1, 1, 1, 1), (1, 0, 1, 1)), tmp_path / "average.onnx")
