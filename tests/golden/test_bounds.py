"""Bounds of accumulators, and what becomes of sums beyond 32 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.golden.bounds import accumulator_range
from hwgen.golden.operators import accumulators
from hwgen.model import load_model
from hwgen.model.graph import Conv, Graph, Requant, Tensor, plain_graph
from hwgen.model.onnx_writer import write_onnx
from tests.references import compared
from tests.tflite_builder import TfliteBuilder

LAST = 2**31 - 1


@pytest.mark.parametrize("values", [(-128, 127), (-5, 90), (3, 100)])
@pytest.mark.parametrize("zero_point", [-128, 0, 17, 127])
def test_bounds_are_reached_and_hold(zero_point: int, values: tuple[int, int]) -> None:
    rng = np.random.default_rng(zero_point + 200)
    weight = rng.integers(-128, 128, (5, 1, 1, 9)).astype(np.int8)
    bias = rng.integers(-1000, 1000, 5).astype(np.int32)
    low, high = accumulator_range(weight, bias, zero_point, values)
    # What is in the map or, at its border, the zero point.
    least, most = min(values[0], zero_point), max(values[1], zero_point)
    for channel in range(5):
        w = weight[channel, 0, 0].astype(int)
        ends = [sum(w * (np.where((w > 0) == up, most, least) - zero_point)) + bias[channel] for up in (False, True)]
        assert (low[channel], high[channel]) == tuple(ends)


def network(bias: list[int], scale: list[float]) -> Graph:
    tensors = {"a": Tensor("a", (1, 1, 1, 2), 1.0, 0), "b": Tensor("b", (1, 1, 1, len(bias)), 2.0**24, 0)}
    conv = Conv(name="c", inputs=("a",), output="b", weight=np.ones((len(bias), 1, 1, 2), np.int8), source="Conv",
                bias=np.array(bias, np.int32), weight_scale=np.array(scale, np.float32),
                requant=Requant(np.array([1 << 30]), np.array([-24]), 0, rounding="half_even"))
    return plain_graph("sums", "onnx", tensors, [conv], "a", "b")


@pytest.mark.parametrize(("bias", "message"), [
    ([0, LAST - 2 * 127], None), ([-LAST + 2 * 128 - 1, 5], None),
    ([0, LAST - 2 * 127 + 1], "the sums of channel 1, up to 2147483648 with its bias 2147483394, do not fit 32 bits"),
    ([-LAST, 0], "Conv 'c': the sums of channel 0, up to -2147483903 with its bias -2147483647, do not fit")])
def test_onnx_sums_beyond_32_bits_are_refused(bias: list[int], message: str | None, tmp_path: Path) -> None:
    write_onnx(network(bias, [1.0, 1.0]), tmp_path / "m.onnx")
    if message is None:
        assert load_model(tmp_path / "m.onnx").ops
        return
    with pytest.raises(HwgenError, match=message):
        load_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED"])
def test_tflite_micro_wraps_as_machines_do(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro")
    b, dense = TfliteBuilder(), kind == "FULLY_CONNECTED"
    x = b.tensor((1, 2) if dense else (1, 1, 1, 2), scale=0.5)
    bias = b.constant(np.array([LAST - 100, -LAST + 100, 7], np.int32), scale=np.float32([0.5] * 3))
    weight = b.constant(np.ones((3, 2) if dense else (3, 1, 1, 2), np.int8), scale=np.float32([1.0] * 3))
    y = b.tensor((1, 3) if dense else (1, 1, 1, 3), scale=0.5 * 2.0**25)
    path = b.save(tmp_path / "m.tflite", [x], [b.op(kind, [x, weight, bias], y,
                                                    **({} if dense else {"StrideH": 1, "StrideW": 1}))])
    graph = load_model(path)
    images = np.random.default_rng(1).integers(-128, 128, (50, 1, 1, 2)).astype(np.int8)
    exact = images.reshape(50, 2).sum(axis=1, dtype=np.int64)[:, None] + graph.ops[0].bias.astype(np.int64)
    acc = accumulators(graph.ops[0], [images], graph.tensors).reshape(50, 3)
    assert (acc != exact).any(axis=0).tolist() == [True, True, False]
    report = compared(path, graph, images)
    assert report.values and report.equal and not report.different, report.summary
