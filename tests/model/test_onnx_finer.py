"""Real biases of layers whose weights have few bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.model import load_model
from hwgen.model.graph import Conv
from hwgen.model.onnx_finer import finer
from tests.model.dialects.judge import exact
from tests.model.passes.qdq import Qdq


@pytest.mark.parametrize("bias", [False, True])
def test_coarse_accumulators(tmp_path: Path, bias: bool) -> None:
    """A step of the accumulator is 5 of the output; without a bias, weights keep their width."""
    net = Qdq(np.random.default_rng(1), (1, 4, 5, 5))
    weights = net.node("DequantizeLinear", net.constant(net.rng.integers(-3, 4, (6, 4, 1, 1)), np.int8),
                       net.constant(0.25), net.constant(0, np.int8))
    y = net.node("Conv", net.quantised("x", 0.5), weights, *((net.random(6),) if bias else ()))
    graph = exact(net.save(tmp_path / "n.onnx", net.quantised(y, 0.025)), maps=2)
    (conv,) = (op for op in graph.ops if isinstance(op, Conv))
    assert (np.abs(conv.weight).max() > 3) == bias


def test_no_further_than_needed() -> None:
    weight, scale = np.array([[3], [3], [127], [0]], np.int8), np.full(4, 0.5, np.float32)
    found, scales = finer(weight, scale, np.array([1.0, 1.25, 0.3, 0.3]), 1.0, 0.25)
    assert found.tolist() == [[3], [6], [127], [0]] and (found * scales[:, None] == weight * 0.5).all()


def test_weights_of_zero_take_any_scale(tmp_path: Path) -> None:
    """All that is left of such a layer is its bias."""
    net = Qdq(np.random.default_rng(2), (1, 4, 5, 5))
    weights = net.node("DequantizeLinear", net.constant(np.zeros((6, 4, 1, 1)), np.int8), net.constant(1e10),
                       net.constant(0, np.int8))
    bias = net.constant([0.3, -0.7, 0.0, 1e6, -1e12, 1.0])
    exact(net.save(tmp_path / "n.onnx", net.quantised(net.node("Conv", net.quantised("x", 0.5), weights, bias), 0.01)),
          maps=2)


def test_a_bias_that_is_lost_is_refused(tmp_path: Path) -> None:
    net = Qdq(np.random.default_rng(3), (1, 4, 5, 5))
    weights = net.node("DequantizeLinear", net.constant(net.rng.integers(-127, 128, (6, 4, 1, 1)), np.int8),
                       net.constant(1.0), net.constant(0, np.int8))
    path = net.save(tmp_path / "n.onnx", net.quantised(net.node("Conv", net.quantised("x", 0.5), weights,
                                                                net.random(6)), 0.01))
    with pytest.raises(HwgenError, match=r"its bias is lost: .* 50 output steps"):
        load_model(path)
