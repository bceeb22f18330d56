"""Quantisers behind what only picks values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.model import load_model
from hwgen.model.graph import Concat, Conv, Pool
from tests.model.dialects.judge import exact
from tests.model.passes.qdq import Qdq
from tests.shared_data import shared_file


def _net(seed: int, channels: int = 4) -> tuple[Qdq, str]:
    net = Qdq(np.random.default_rng(seed), (1, channels, 9, 9))
    return net, net.quantised("x", 0.02)


def _conv(net: Qdq, x: str, out: int = 6, per_group: int = 4) -> str:
    return net.node("Conv", x, net.weights(out, per_group, 3, 3), net.random(out), pads=[1] * 4)


def test_file_of_a_user() -> None:
    exact(shared_file("cases", "conv_relu_maxpool_q.onnx"), maps=2)


@pytest.mark.parametrize("order", ["pool relu", "relu pool", "pool relu pool clip", "pool flatten relu",
                                   "pool transpose", "relu global", "pool pool"])
@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_chains(tmp_path: Path, order: str, kind: type) -> None:
    net, x = _net(1)
    y = _conv(net, x)
    for step in order.split():
        y = {"pool": lambda v: net.node("MaxPool", v, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
             "relu": lambda v: net.node("Relu", v), "global": lambda v: net.node("GlobalMaxPool", v),
             "clip": lambda v: net.node("Clip", v, net.constant(0.1), net.constant(1.5)),
             "transpose": lambda v: net.node("Transpose", v, perm=[0, 1, 3, 2]),
             "flatten": lambda v: net.node("Flatten", v)}[step](y)
    graph = exact(net.save(tmp_path / "n.onnx", net.quantised(y, 0.02, 7 if kind is np.int8 else 100, kind)), maps=2)
    convs, pools = (sum(isinstance(op, one) for op in graph.ops) for one in (Conv, Pool))
    assert (convs, pools, len(graph.ops)) == (1, order.count("pool") + order.count("global"), convs + pools)


@pytest.mark.parametrize("value", [None, 0.0])
@pytest.mark.parametrize("clip", [(), (0.1, 0.5)])
def test_padding(tmp_path: Path, value: float | None, clip: tuple[float, ...]) -> None:
    """Zeros of the padding are clipped, too."""
    net, x = _net(7)
    y = net.node("Pad", net.node("Relu", _conv(net, x)), net.integers(0, 0, 1, 2, 0, 0, 0, 1),
                 *(() if value is None else (net.constant(value),)))
    y = net.node("Clip", y, *(net.constant(n) for n in clip)) if clip else y
    exact(net.save(tmp_path / "n.onnx", net.quantised(y, 0.02, -100)), maps=2)


@pytest.mark.parametrize("pick", ["MaxPool", "Pad", "Concat"])
def test_clipped_map(tmp_path: Path, pick: str) -> None:
    """quantize_static leaves a Relu in float where activations are symmetric."""
    net, x = _net(8)
    y = net.node("Relu", net.quantised(_conv(net, x), 0.02))
    y = {"MaxPool": lambda: net.node("MaxPool", y, kernel_shape=[2, 2]),
         "Pad": lambda: net.node("Pad", y, net.integers(0, 0, 1, 1, 0, 0, 1, 1)),
         "Concat": lambda: net.node("Concat", y, y, axis=1)}[pick]()
    exact(net.save(tmp_path / "n.onnx", net.quantised(y, 0.015)), maps=3)


def test_input(tmp_path: Path) -> None:
    """The input itself, before it is quantised."""
    net = Qdq(np.random.default_rng(2), (1, 4, 9, 9))
    y = net.quantised(net.node("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2]), 0.02)
    exact(net.save(tmp_path / "n.onnx", net.quantised(_conv(net, y), 0.05)), maps=2)


def test_branches_share_a_convolution(tmp_path: Path) -> None:
    net, x = _net(3)
    y = net.node("Relu", _conv(net, x))
    pools = [net.quantised(net.node("MaxPool", y, kernel_shape=[k, k], pads=[k // 2] * 4), 0.02, -128) for k in (3, 5)]
    both = net.quantised(net.node("Concat", *pools, axis=1), 0.02, -128)
    graph = exact(net.save(tmp_path / "n.onnx", both), maps=4)
    assert [type(op) for op in graph.ops] == [Conv, Pool, Pool, Concat]


def test_joined_before_they_are_quantised(tmp_path: Path) -> None:
    """A concatenation of results, of which one was quantised already, at another scale."""
    net, x = _net(4)
    done = net.quantised(_conv(net, x, 5), 0.03, 3)
    y = net.node("Concat", _conv(net, x), done, _conv(net, x, 3), axis=1)
    exact(net.save(tmp_path / "n.onnx", net.quantised(net.node("Relu", y), 0.02, -128)), maps=3)


def test_joined_at_several_scales(tmp_path: Path) -> None:
    """A concatenation of quantised maps is no quantised map."""
    net, x = _net(9)
    y = net.node("Concat", net.quantised(_conv(net, x, 5), 0.03, 3), net.quantised(_conv(net, x, 3), 0.02), axis=1)
    y = net.node("MaxPool", y, kernel_shape=[2, 2])
    exact(net.save(tmp_path / "n.onnx", net.quantised(y, 0.025)), maps=4)


def test_two_equal_quantisers(tmp_path: Path) -> None:
    """quantize_static with DedicatedQDQPair."""
    net, x = _net(5)
    y = net.node("MaxPool", _conv(net, x), kernel_shape=[2, 2])
    graph = exact(net.save(tmp_path / "n.onnx", net.quantised(net.node(
        "Add", net.quantised(y, 0.02), net.quantised(y, 0.02)), 0.04)), maps=3)
    assert sum(isinstance(op, Conv) for op in graph.ops) == 1


def test_what_others_read_too_is_left(tmp_path: Path) -> None:
    net, x = _net(6)
    y = net.node("MaxPool", _conv(net, x), kernel_shape=[2, 2])
    z = net.node("Conv", y, net.weights(4, 6, 1, 1))
    path = net.save(tmp_path / "n.onnx", net.quantised(net.node("Add", net.quantised(y, 0.02), net.quantised(z, 0.02)),
                                                       0.04))
    with pytest.raises(HwgenError, match="MaxPool 'maxpool4': reads the result of Conv"):
        load_model(path)
