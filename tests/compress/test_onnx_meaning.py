"""ONNX files that the float reader refuses rather than read with another meaning, and old forms that it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from hwgen.compress.execute import run_float
from hwgen.compress.onnx_float import read_onnx_float
from hwgen.compress.onnx_save_float import float_onnx
from hwgen.errors import HwgenError

networks = pytest.importorskip("tests.model.onnx_networks", reason="onnxruntime is not installed")


def refusal(path: Path) -> str:
    with pytest.raises(HwgenError) as error:
        read_onnx_float(path)
    return str(error.value)


@pytest.mark.parametrize("value", [0.0, 0.5, 3.0])
def test_padding_with_other_numbers(value: float, tmp_path: Path) -> None:
    net = networks.Net(np.random.default_rng(1), (1, 3, 6, 5))
    pads, number = net.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64), net.constant(value, np.float32)
    path = tmp_path / "net.onnx"
    onnx.save(net.model(net.conv(net.node("Pad", "x", pads, number), 4, 3, (3, 3))), path)
    if value:
        assert f"pads with {value:g} -> pad with zero" in refusal(path)
        return
    x = np.random.default_rng(2).normal(0, 1, (1, 3, 6, 5)).astype(np.float32)
    found = run_float(read_onnx_float(path), x.transpose(0, 2, 3, 1))
    assert np.allclose(found.transpose(0, 3, 1, 2), networks.run_onnx(path, x), atol=1e-5)


@pytest.mark.parametrize("end", ["input", "output"])
def test_integer_ends(end: str, tmp_path: Path) -> None:
    net = networks.Net(np.random.default_rng(1), (1, 3, 6, 5))
    scale, zero = net.constant(0.1, np.float32), net.constant(3, np.int8)
    start = net.node("DequantizeLinear", "x", scale, zero) if end == "input" else "x"
    last = net.conv(start, 4, 3, (1, 1))
    last = net.node("QuantizeLinear", last, scale, zero) if end == "output" else last
    model = net.model(last)
    getattr(model.graph, end)[0].type.tensor_type.elem_type = TensorProto.INT8
    onnx.save(model, tmp_path / "net.onnx")
    name = getattr(model.graph, end)[0].name
    assert f"{end} '{name}': must be real numbers, not int8" in refusal(tmp_path / "net.onnx")


def test_softmax_of_old_operator_sets_is_written(tmp_path: Path) -> None:
    """Over all axes from ``axis`` on is over one, where there is one."""
    x = np.random.default_rng(3).normal(0, 1, (1, 8)).astype(np.float32)
    net = networks.Net(np.random.default_rng(1), (1, 8))
    model = net.model(net.node("Softmax", net.node("MatMul", "x", net.random(8, 5))))
    model.opset_import[0].version = 11
    onnx.save(model, tmp_path / "net.onnx")
    (tmp_path / "made.onnx").write_bytes(float_onnx(read_onnx_float(tmp_path / "net.onnx")))
    found, expected = (networks.run_onnx(tmp_path / f"{name}.onnx", x) for name in ("made", "net"))
    assert np.allclose(found, expected, atol=1e-6)


def test_dequantised_weights_in_another_shape(tmp_path: Path) -> None:
    net = networks.Net(np.random.default_rng(1), (1, 3, 6, 5))
    values: Any = net.rng.integers(-127, 128, (4, 27))
    real = net.node("DequantizeLinear", net.constant(values, np.int8), net.constant(2.0**-7, np.float32))
    last = net.node("Conv", "x", net.node("Reshape", real, net.constant([4, 3, 3, 3], np.int64)))
    onnx.save(net.model(last), tmp_path / "net.onnx")
    x = np.random.default_rng(2).normal(0, 1, (1, 3, 6, 5)).astype(np.float32)
    found = run_float(read_onnx_float(tmp_path / "net.onnx"), x.transpose(0, 2, 3, 1))
    assert np.allclose(found.transpose(0, 3, 1, 2), networks.run_onnx(tmp_path / "net.onnx", x), atol=1e-5)


def test_constants_in_the_place_of_maps(tmp_path: Path) -> None:
    net = networks.Net(np.random.default_rng(1), (1, 8))
    onnx.save(net.model(net.node("MatMul", net.random(1, 1), "x")), tmp_path / "net.onnx")
    assert "reads a constant where a map has to be -> exchange its inputs" in refusal(tmp_path / "net.onnx")
