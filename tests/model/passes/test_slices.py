"""Slice, Gather, Split and channel shuffles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.compress.execute import run_float
from hwgen.compress.onnx_float import read_onnx_float
from hwgen.errors import HwgenError
from hwgen.model import load_model
from tests.model.dialects.judge import exact
from tests.model.onnx_networks import run_onnx
from tests.model.passes.qdq import Qdq

SHAPE = (1, 6, 9, 8)


def _net(seed: int) -> tuple[Qdq, str]:
    net = Qdq(np.random.default_rng(seed), SHAPE)
    return net, net.quantised(net.node("Conv", net.quantised("x", 0.02, 5), net.weights(6, 6, 3, 3), pads=[1] * 4),
                              0.03, -3)


def _exact(net: Qdq, y: str, path: Path, *, maps: int = 3, opset: int = 17) -> None:
    exact(net.save(path / "n.onnx", net.quantised(y, 0.03, -3), opset=opset), maps=maps)


@pytest.mark.parametrize(("start", "end", "step", "axis"), [
    (0, 3, 1, 1), (3, 6, 1, 1), (1, 100, 2, -3), (-1, -100, -1, 1), (5, -(2**63), -2, 1), (2, 7, 1, 2), (0, -1, 1, 2),
    (1, 2**63 - 1, 1, 3), (1, 8, 3, 2), (0, 9, 2, 2), (3, 4, 1, 3)])
def test_slices(tmp_path: Path, start: int, end: int, step: int, axis: int) -> None:
    net, x = _net(1)
    y = net.node("Slice", x, *(net.integers(n) for n in (start, end, axis, step)))
    _exact(net, y, tmp_path)


def test_several_axes(tmp_path: Path) -> None:
    net, x = _net(2)
    y = net.node("Slice", x, net.integers(0, 1, 2, 0), net.integers(1, 5, 9, -1))
    _exact(net, y, tmp_path)


def test_attributes_of_an_old_operator_set(tmp_path: Path) -> None:
    net = Qdq(np.random.default_rng(3), SHAPE)
    s, z = net.constant(0.02), net.constant(0, np.int8)
    y = net.node("Slice", net.node("DequantizeLinear", net.node("QuantizeLinear", "x", s, z), s, z), net.integers(1),
                 net.integers(3), net.integers(1))
    y = net.several("Split", 2, y, axis=1, split=[1, 1])[1]
    q = net.node("QuantizeLinear", y, s, z)
    exact(net.save(tmp_path / "n.onnx", net.node("DequantizeLinear", q, s, z), opset=11), maps=2)


@pytest.mark.parametrize(("indices", "axis"), [([3, 0, 0, -1], 1), ([2], 2), ([1, 3, 5], 3), (4, 1), (-1, 2)])
def test_gathers(tmp_path: Path, indices: object, axis: int) -> None:
    net, x = _net(4)
    y = net.node("Gather", x, net.constant(indices, np.int64), axis=axis)
    _exact(net, y, tmp_path)


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize("sizes", [None, (1, 3, 2)])
def test_splits(tmp_path: Path, opset: int, sizes: tuple[int, ...] | None) -> None:
    net, x = _net(5)
    inputs = (x,) if sizes is None else (x, net.integers(*sizes))
    attrs = {"num_outputs": 3} if opset == 18 and sizes is None else {}
    parts = net.several("Split", 3, *inputs, axis=1, **attrs)
    y = net.node("Concat", *(net.quantised(part, 0.03, -3) for part in parts[::-1]), axis=1)
    _exact(net, y, tmp_path, maps=6, opset=opset)


def test_uneven_last_part(tmp_path: Path) -> None:
    net, x = _net(6)
    parts = net.several("Split", 3, x, axis=3, num_outputs=3)
    _exact(net, net.node("Concat", parts[2], parts[0], axis=3), tmp_path, opset=18)


def test_integers_and_what_is_not_quantised(tmp_path: Path) -> None:
    """Between QuantizeLinear and DequantizeLinear, and before QuantizeLinear."""
    net = Qdq(np.random.default_rng(7), SHAPE)
    s, z = net.constant(0.02), net.constant(100, np.uint8)
    q = net.node("Slice", net.node("QuantizeLinear", "x", s, z), net.integers(1), net.integers(4), net.integers(1))
    y = net.node("Conv", net.node("DequantizeLinear", q, s, z), net.weights(5, 3, 3, 3))
    y = net.node("Relu", net.node("Slice", y, net.integers(0), net.integers(2), net.integers(1)))
    exact(net.save(tmp_path / "n.onnx", net.quantised(y, 0.03, -128)), maps=2)


@pytest.mark.parametrize("between", [False, True])
def test_channel_shuffle(tmp_path: Path, between: bool) -> None:
    """As torch exports it, and with a quantiser behind each step."""
    net, x = _net(8)
    put = (lambda v: net.quantised(v, 0.03, -3)) if between else (lambda v: v)
    y = put(net.node("Reshape", x, net.integers(1, 2, 3, 9, 8)))
    y = put(net.node("Transpose", y, perm=[0, 2, 1, 3, 4]))
    y = net.node("Reshape", y, net.integers(1, -1, 9, 8))
    z = net.quantised(net.node("Conv", net.quantised(y, 0.03, -3), net.weights(4, 6, 1, 1)), 0.02)
    exact(net.save(tmp_path / "n.onnx", z), maps=4)


@pytest.mark.parametrize(("what", "message"), [
    ("nothing", "picks nothing"), ("outside", "its places must be constants within the map"),
    ("backwards", "only channels, and rows or columns in equal steps"), ("pixels", "a pixel shuffle has no form"),
    ("computed", "its places must be constants")])
def test_refused(tmp_path: Path, what: str, message: str) -> None:
    net, x = _net(9)
    if what == "pixels":
        y = net.node("Reshape", x, net.integers(1, 6, 9, 4, 2))
        y = net.node("Reshape", net.node("Transpose", y, perm=[0, 1, 3, 2, 4]), net.integers(1, 6, 9, 8))
    elif what == "outside":
        y = net.node("Gather", x, net.constant(6, np.int64), axis=1)
    elif what == "computed":
        places = net.node("Cast", net.node("ArgMax", net.node("Flatten", x), axis=1, keepdims=0), to=7)
        y = net.node("Gather", x, places, axis=1)
    else:
        numbers = {"nothing": (3, 3, 1, 1), "backwards": (5, 1, 2, -1)}[what]
        y = net.node("Slice", x, *(net.integers(n) for n in numbers))
    with pytest.raises(HwgenError, match=message if what != "computed" else "Cast|ArgMax"):
        load_model(net.save(tmp_path / "n.onnx", net.quantised(y, 0.03, -3)))


def test_float_networks(tmp_path: Path) -> None:
    net = Qdq(np.random.default_rng(10), SHAPE)
    a, b = net.several("Split", 2, net.conv("x", 6, 6, (3, 3)), axis=1)
    y = net.node("Concat", net.node("Relu", b), a, axis=1)
    y = net.node("Reshape", net.node("Transpose", net.node("Reshape", y, net.integers(1, 3, 2, 7, 6)),
                                     perm=[0, 2, 1, 3, 4]), net.integers(1, 6, 7, 6))
    path = net.save(tmp_path / "n.onnx", net.node("Slice", y, net.integers(1), net.integers(6), net.integers(2)))
    graph = read_onnx_float(path)
    x = net.rng.normal(0, 1, SHAPE).astype(np.float32)
    expected = run_onnx(path, x).transpose(0, 2, 3, 1)
    assert np.allclose(run_float(graph, x.transpose(0, 2, 3, 1)), expected, rtol=1e-5, atol=1e-5)
