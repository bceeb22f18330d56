"""A float network written as ONNX and read back is the same network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.compress.execute import run_float
from hwgen.compress.load import load_float_model
from hwgen.compress.onnx_save_float import float_onnx
from hwgen.errors import HwgenError
from tests.compress.networks import images, residual


def test_written_and_read(tmp_path: Path) -> None:
    net = residual()
    (tmp_path / "net.onnx").write_bytes(float_onnx(net))
    again = load_float_model(tmp_path / "net.onnx")
    assert [op.name for op in again.convs] == [op.name for op in net.convs]
    for a, b in zip(net.convs, again.convs, strict=True):
        assert np.array_equal(a.weight, b.weight) and np.array_equal(a.bias, b.bias)
    x = images(net).x
    assert np.array_equal(run_float(net, x), run_float(again, x))


def test_refused() -> None:
    net = residual()
    stem = net.conv("stem")
    with pytest.raises(HwgenError, match=r"stem: a clamp to 0\.\.6 cannot be written"):
        float_onnx(net.replace_ops({stem: (replace(stem, hi=6.0),)}))
