"""A float network written as ONNX and read back is the same network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.compress.execute import run_float
from hwgen.compress.graph import Activation, FloatPool
from hwgen.compress.load import load_float_model
from hwgen.compress.onnx_save_float import float_onnx
from hwgen.errors import HwgenError
from hwgen.model.graph import Concat, Pad
from tests.compress.networks import conv, graph, images, norm, residual
from tests.model.onnx_networks import run_onnx


def test_written_and_read(tmp_path: Path) -> None:
    net = residual()
    (tmp_path / "net.onnx").write_bytes(float_onnx(net))
    again = load_float_model(tmp_path / "net.onnx")
    assert [op.name for op in again.convs] == [op.name for op in net.convs]
    for a, b in zip(net.convs, again.convs, strict=True):
        assert np.array_equal(a.weight, b.weight) and np.array_equal(a.bias, b.bias)
    x = images(net).x
    assert np.array_equal(run_float(net, x), run_float(again, x))


def test_clamps_concatenation_and_padding(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    net = graph([
        Pad(name="pad", inputs=("x",), output="pad_out", pad=(1, 0, 2, 1)),
        replace(conv(rng, "a", "pad_out", 3, 4, 1), lo=0.0, hi=0.5),
        replace(conv(rng, "b", "pad_out", 3, 2, 1), lo=-0.25),
        Concat(name="concat", inputs=("a_out", "b_out"), output="concat_out", axis=3),
        Activation(name="clamp", inputs=("concat_out",), output="clamp_out", lo=-0.1, hi=0.4),
        FloatPool(name="pool", inputs=("clamp_out",), output="pool_out", kind="max", kernel=(3, 3), stride=(2, 2)),
    ], {"x": (8, 8, 3), "pad_out": (9, 11, 3), "a_out": (9, 11, 4), "b_out": (9, 11, 2), "concat_out": (9, 11, 6),
        "clamp_out": (9, 11, 6), "pool_out": (4, 5, 6)})
    (tmp_path / "net.onnx").write_bytes(float_onnx(net))
    x = images(net).x
    expected = run_float(net, x)
    assert np.allclose(run_float(load_float_model(tmp_path / "net.onnx"), x), expected, atol=1e-6)
    assert np.allclose(run_onnx(tmp_path / "net.onnx", x), expected, atol=1e-5)


def test_refused() -> None:
    net = residual()
    stem = net.conv("stem")
    after = norm(np.random.default_rng(1), "norm", "stem_out", 8)
    with pytest.raises(HwgenError, match="norm: BatchNorm cannot be written"):
        float_onnx(net.replace_ops({stem: (stem, after)}))
