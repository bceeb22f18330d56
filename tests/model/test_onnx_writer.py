"""The trained TFLite networks written as ONNX: every operator survives, and a second trip changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from hwgen.embedded import MODEL, embedded_model
from hwgen.errors import HwgenError
from hwgen.golden.graph import run
from hwgen.model import load_model
from hwgen.model.graph import Conv, Reshape, Tensor, plain_graph
from hwgen.model.onnx_reader import read_onnx
from hwgen.model.onnx_writer import weight_scale, write_onnx
from tests.references import compared
from tests.shared_data import INT8_NETWORKS, shared_file


@pytest.mark.parametrize("name", INT8_NETWORKS)
def test_tflite_network_to_onnx(name: str, tmp_path: Path) -> None:
    source = load_model(shared_file("models", f"{name}.tflite"))
    write_onnx(source, tmp_path / "first.onnx")
    first = read_onnx(tmp_path / "first.onnx")
    assert [type(op) for op in source.ops] == [type(op) for op in first.ops]
    assert source.tensors.keys() == first.tensors.keys()
    for op, other in zip(source.ops, first.ops, strict=True):
        if isinstance(op, Conv):
            assert isinstance(other, Conv)
            assert np.array_equal(op.weight, other.weight)
            assert np.array_equal(op.bias, other.bias)
            assert (op.stride, op.dilation) == (other.stride, other.dilation)
            assert (op.pad, op.groups) == (other.pad, other.groups)
    rng = np.random.default_rng(4)
    x = rng.integers(-128, 128, (1, *first.tensors[first.input].shape[1:])).astype(np.int8)
    tensors = run(first, x, keep=True).tensors
    assert (report := compared(tmp_path / "first.onnx", first, x)).equal, report.summary
    write_onnx(first, tmp_path / "second.onnx")
    again = run(read_onnx(tmp_path / "second.onnx"), x, keep=True).tensors
    assert all(np.array_equal(again[key], value) for key, value in tensors.items())


def test_written_twice_is_the_same_file(tmp_path: Path) -> None:
    write_onnx(embedded_model(), tmp_path / MODEL.name)
    first = (tmp_path / MODEL.name).read_bytes()
    onnx.checker.check_model(onnx.load(tmp_path / MODEL.name), full_check=True)
    write_onnx(read_onnx(tmp_path / MODEL.name), tmp_path / MODEL.name)
    assert (tmp_path / MODEL.name).read_bytes() == first


def test_weight_scales_follow_from_the_multipliers() -> None:
    graph = embedded_model()
    for op in graph.ops:
        if isinstance(op, Conv):
            derived = weight_scale(replace(op, weight_scale=None), graph)
            assert op.weight_scale is not None
            assert np.allclose(derived, op.weight_scale, rtol=3e-7, atol=0)


def test_weights_of_more_than_eight_bits(tmp_path: Path) -> None:
    graph = embedded_model()
    conv = next(op for op in graph.ops if isinstance(op, Conv))
    wide = conv.weight.astype(np.int16)
    wide[2, 0, 0], wide[2, 1, 1] = -200, 200
    changed = replace(conv, weight=wide)  # type: ignore[arg-type]  # 9 bits, as asymmetric weights have
    ops = tuple(changed if op is conv else op for op in graph.ops)
    with pytest.raises(HwgenError, match="must span at most 256 values, not 401"):
        write_onnx(replace(graph, ops=ops), tmp_path / "x.onnx")


def test_integers_of_another_zero_point(tmp_path: Path) -> None:
    tensors = {name: Tensor(name, (1, 2, 2, 3), 0.1, zero_point) for name, zero_point in (("a", 3), ("b", -7))}
    graph = plain_graph("anew", "onnx", tensors, [Reshape(name="r", inputs=("a",), output="b")], "a", "b")
    with pytest.raises(HwgenError, match="r: integers that get another scale or zero point have no form in QDQ"):
        write_onnx(graph, tmp_path / "x.onnx")
