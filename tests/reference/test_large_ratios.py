"""Scale ratios of 128 and more: what their runtimes give for every accumulator that they do not overflow with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hwgen.compiler import compile_graph
from hwgen.errors import HwgenError
from hwgen.golden.graph import run
from hwgen.model import load_model
from hwgen.model.graph import Conv, Graph, Requant, Tensor, plain_graph
from hwgen.model.onnx_writer import write_onnx
from hwgen.presets import preset
from tests.random_networks import check_machine
from tests.references import compared
from tests.tflite_builder import TfliteBuilder

RATIOS = (100.0, 127.999, 128.0, 129.3, 200.7, 255.4, 255.6, 256.0, 300.1, 511.9, 513.0, 5000.3, 70000.0)


def values(zero_point: int) -> NDArray[np.int8]:
    """Images of two channels, whose sums are small and of every sign."""
    near = np.clip(np.arange(zero_point - 4, zero_point + 5), -128, 127)
    return np.stack(np.meshgrid(near, near), -1).reshape(-1, 1, 1, 2).astype(np.int8)


def network(kind: str, ratios: tuple[float, ...], zeros: tuple[int, int], folder: Path) -> Path:
    b = TfliteBuilder()
    x = b.tensor((1, 2) if kind == "FULLY_CONNECTED" else (1, 1, 1, 2), scale=0.5, zero_point=zeros[0])
    if kind in ("MEAN", "QUANTIZE"):
        y = b.tensor((1, 1, 1, 2), scale=0.5 / ratios[0], zero_point=zeros[1])
        axes = [b.constant(np.array([1, 2], np.int32))] if kind == "MEAN" else []
        b.op(kind, [x, *axes], y, **({"KeepDims": True} if axes else {}))
    else:
        # One output scale: a ratio a channel. A sum is that of two values, doubled or not, and a bias.
        weight = np.resize(np.array([[1, -1], [2, 1]], np.int8), (len(ratios), 2))
        shape = (len(ratios), 2) if kind == "FULLY_CONNECTED" else (len(ratios), 1, 1, 2)
        scales = np.array(ratios, np.float32)
        stored = b.constant(weight.reshape(shape), scale=scales)
        bias = b.constant(np.resize(np.array([0, 1, -1], np.int32), len(ratios)), scale=scales * np.float32(0.5))
        y = b.tensor((1, *shape[1:-1], len(ratios)), scale=0.5, zero_point=zeros[1])
        options = {} if kind == "FULLY_CONNECTED" else {"StrideH": 1, "StrideW": 1}
        b.op(kind, [x, stored, bias], y, **options)
    return b.save(folder / "m.tflite", [x], [y])


@pytest.mark.parametrize("zeros", [(0, 0), (-128, -128), (5, 127)])
@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED"])
def test_tflite_micro_gives_the_same(kind: str, zeros: tuple[int, int], tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro")
    path = network(kind, RATIOS, zeros, tmp_path)
    graph = load_model(path)
    report = compared(path, graph, values(zeros[0]))
    assert report.values and report.equal and not report.different, report.summary
    check_machine(1, graph, compile_graph(graph, preset("tiny")))


@pytest.mark.parametrize("ratio", [128.0, 200.7, 300.1, 5000.0])
@pytest.mark.parametrize("kind", ["MEAN", "QUANTIZE"])
def test_elementwise(kind: str, ratio: float, tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro")
    path = network(kind, (ratio,), (3, -20), tmp_path)
    graph = load_model(path)
    report = compared(path, graph, values(3))
    assert report.values and report.equal and not report.different, report.summary


@pytest.mark.parametrize(("ratio", "fits"), [(2.0**21 - 1, True), (2.0**23, False), (1e30, False)])
def test_sums_that_overflow_in_the_kernels_are_refused(ratio: float, fits: bool, tmp_path: Path) -> None:
    """The second channel's sums reach 3 * 255 less its bias of one: they are shifted left by 21 at most."""
    path = network("CONV_2D", (1.0, ratio), (127, 0), tmp_path)
    if fits:
        assert load_model(path).ops
        return
    with pytest.raises(HwgenError, match=r"sums, up to 764, times 2\*\*\d+ overflow 32 bits in TFLite's kernels"):
        load_model(path)


def single(ratio: float) -> Graph:
    """A convolution of one weight in ONNX's rounding."""
    tensors = {"a": Tensor("a", (1, 1, 1, 2), 0.5, 3), "b": Tensor("b", (1, 1, 1, 1), 0.5, -20)}
    conv = Conv(name="c", inputs=("a",), output="b", weight=np.array([1, 2], np.int8).reshape(1, 1, 1, 2),
                bias=np.zeros(1, np.int32), weight_scale=np.array([ratio], np.float32),
                requant=Requant(np.array([1 << 30]), np.array([1]), -20, rounding="half_even"))
    return plain_graph("single", "onnx", tensors, [conv], "a", "b")


@pytest.mark.parametrize("ratio", RATIOS)
def test_onnx_runtime_gives_the_same(ratio: float, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    write_onnx(single(ratio), tmp_path / "m.onnx")
    graph = load_model(tmp_path / "m.onnx")
    report = compared(tmp_path / "m.onnx", graph, values(3))
    assert report.values and report.equal and not report.different, report.summary
    assert len(np.unique(run(graph, values(3)).output)) >= 3
