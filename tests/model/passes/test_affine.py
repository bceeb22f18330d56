"""BatchNormalization, and Add, Sub, Mul and Div with constants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from hwgen.errors import HwgenError
from hwgen.golden.inputs import file_inputs, from_maps, to_maps
from hwgen.model import load_model
from hwgen.model.graph import Conv
from tests.model.dialects.judge import exact
from tests.model.passes.qdq import Qdq
from tests.shared_data import shared_file


def _net(seed: int) -> tuple[Qdq, str]:
    net = Qdq(np.random.default_rng(seed), (1, 4, 7, 6))
    return net, net.quantised("x", 0.02, 5)


def _conv(net: Qdq, x: str, low: int = -127, **attrs: object) -> str:
    return net.node("Conv", x, net.weights(6, 4, 3, 3, low=low), net.random(6), pads=[1] * 4, **attrs)


def _factors(net: Qdq, count: int, *, sign: bool = True) -> str:
    signs = net.rng.choice([-1, 1], count) if sign else 1
    return net.constant((net.rng.uniform(0.3, 1.5, count) * signs).reshape(count, 1, 1))


def _norm(net: Qdq, x: str, count: int, gamma: object = None) -> str:
    first = net.random(count, scale=1) if gamma is None else net.constant(gamma)
    return net.node("BatchNormalization", x, first, net.random(count), net.random(count),
                    net.constant(net.rng.uniform(0.2, 2, count)), epsilon=1e-3)


def _kinds(path: Path, maps: int, convs: int) -> None:
    graph = exact(path, maps=maps)
    assert [type(op) for op in graph.ops] == [Conv] * convs


def test_file_of_a_user() -> None:
    exact(shared_file("cases", "batchnorm_left_after_quant_pre_process.onnx"), maps=7)


@pytest.mark.parametrize("seed", range(4))
def test_normalised_convolution(tmp_path: Path, seed: int) -> None:
    net, x = _net(seed)
    y = net.node("Relu", _norm(net, _conv(net, x), 6))
    _kinds(net.save(tmp_path / "n.onnx", net.quantised(y, 0.03, -128)), 2, 1)


@pytest.mark.parametrize("seed", range(4))
def test_normalised_map(tmp_path: Path, seed: int) -> None:
    net, x = _net(seed)
    _kinds(net.save(tmp_path / "n.onnx", net.quantised(_norm(net, x, 4), 0.04, -7)), 2, 1)


def test_dead_channels(tmp_path: Path) -> None:
    """A factor of zero leaves the offset."""
    net, x = _net(1)
    y = _norm(net, _conv(net, x), 6, gamma=np.array([0, 1, -1, 0, 2, 0.5]))
    _kinds(net.save(tmp_path / "n.onnx", net.quantised(y, 0.03)), 2, 1)


def test_vectors(tmp_path: Path) -> None:
    net = Qdq(np.random.default_rng(2), (1, 12))
    y = net.node("Gemm", net.quantised("x", 0.02), net.weights(5, 12), transB=1)
    _kinds(net.save(tmp_path / "n.onnx", net.quantised(net.node("Relu", _norm(net, y, 5)), 0.02, -128)), 2, 1)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "first Sub", "first Mul", "first Add"])
@pytest.mark.parametrize("place", ["conv", "map", "scalar"])
def test_constants(tmp_path: Path, op: str, place: str) -> None:
    net, x = _net(3)
    value = x if place == "map" else _conv(net, x)
    number = net.constant(-0.7) if place == "scalar" else _factors(net, 4 if place == "map" else 6)
    inputs = (number, value) if op.startswith("first") else (value, number)
    _kinds(net.save(tmp_path / "n.onnx", net.quantised(net.node(op.split()[-1], *inputs), 0.03, 3)), 2, 1)


def test_chain_of_everything(tmp_path: Path) -> None:
    net, x = _net(4)
    y = net.node("Mul", _conv(net, x), _factors(net, 6))
    y = net.node("Sub", net.constant(0.5), net.node("Div", y, net.constant(1.5)))
    y = net.node("Clip", net.node("Add", y, net.random(6, 1, 1)), net.constant(-0.4), net.constant(0.9))
    y = net.node("Add", net.node("Mul", y, net.constant(-2.0)), net.constant(0.25))
    _kinds(net.save(tmp_path / "n.onnx", net.quantised(y, 0.02)), 2, 1)


@pytest.mark.parametrize("op", ["Mul", "Add"])
def test_quantised_constants(tmp_path: Path, op: str) -> None:
    """As quantize_static writes them."""
    net, x = _net(5)
    constant = net.node("DequantizeLinear", net.constant(net.rng.integers(-127, 128, (1, 6, 1, 1)), np.int8),
                        net.constant(0.01), net.constant(0, np.int8))
    _kinds(net.save(tmp_path / "n.onnx", net.quantised(net.node(op, _conv(net, x), constant), 0.01)), 2, 1)


def test_behind_an_activation(tmp_path: Path) -> None:
    net, x = _net(6)
    y = net.node("Mul", net.node("Relu", _conv(net, x)), _factors(net, 6, sign=False))
    z = net.quantised(net.node("Mul", net.node("Relu", net.quantised(y, 0.02)), net.constant(3.0)), 0.05, -128)
    _kinds(net.save(tmp_path / "n.onnx", z), 3, 2)


def test_channels_last(tmp_path: Path) -> None:
    net, x = _net(7)
    y = net.node("Transpose", net.quantised(_conv(net, x), 0.02), perm=[0, 2, 3, 1])
    y = net.quantised(net.node("Mul", y, net.random(6, scale=1)), 0.02)
    _kinds(net.save(tmp_path / "n.onnx", y), 3, 2)


@pytest.mark.parametrize("shape", [(), (1, 4, 1, 1), (4, 1, 1), (1, 4, 7, 6), (6,)])
@pytest.mark.parametrize("turned", [False, True])
def test_input(tmp_path: Path, shape: tuple[int, ...], turned: bool) -> None:
    """Normalisation in front of the first quantiser is the host's, number by number as ONNX Runtime computes it."""
    net = Qdq(np.random.default_rng(8), (1, 7, 6, 4) if turned else (1, 4, 7, 6))
    x = net.node("Transpose", "x", perm=[0, 3, 1, 2]) if turned else "x"
    x = net.node("Div", net.node("Sub", x, net.random(*shape)), net.constant(net.rng.uniform(0.2, 0.3, shape)))
    x = net.node("Sub", net.constant(0.5), net.node("Mul", net.node("Add", x, net.constant(0.1)), net.constant(1.7)))
    y = net.quantised(_conv(net, net.quantised(x, 0.05, 3)), 0.05)
    path = net.save(tmp_path / "n.onnx", y, batch="batch")
    graph = exact(path, maps=2, images=8)
    assert [step.kind for step in graph.inputs[0].steps] == ["affine"] * 5 + ["quantize"]
    q = net.rng.integers(-128, 128, (2, 7, 6, 4), np.int8)
    assert np.array_equal(to_maps(graph, from_maps(graph, {graph.input: q}))[graph.input], q)


def test_normalised_input(tmp_path: Path) -> None:
    net = Qdq(np.random.default_rng(9), (1, 4, 7, 6))
    y = net.quantised(_conv(net, net.quantised(_norm(net, "x", 4), 0.05, 3)), 0.05)
    exact(net.save(tmp_path / "n.onnx", y), maps=2, images=8)


def test_input_in_two_ways(tmp_path: Path) -> None:
    net, x = _net(10)
    z = net.quantised(net.node("Mul", "x", net.constant(2.0)), 0.02, 5)
    path = net.save(tmp_path / "n.onnx", net.quantised(net.node("Add", x, z), 0.02))
    with pytest.raises(HwgenError, match="the input is quantised in two ways"):
        load_model(path)


@pytest.mark.parametrize(("what", "message"), [
    ("pixels", "its constant differs between pixels"), ("inverse", "divides a constant by a map"),
    ("zero", "divides by zero"), ("maps", "the machine multiplies no two maps"), ("shape", "does not fit"),
    ("average", "reads the result of AveragePool"), ("relu", "follows an activation with factors that differ")])
def test_refused(tmp_path: Path, what: str, message: str) -> None:
    net, x = _net(11)
    y = {"pixels": lambda: net.node("Mul", x, net.random(1, 4, 7, 6)),
         "inverse": lambda: net.node("Div", net.constant(1.0), x),
         "zero": lambda: net.node("Div", x, net.constant(0.0)),
         "maps": lambda: x,
         "shape": lambda: net.node("Mul", x, net.random(2, 4, 7, 6)),
         "average": lambda: net.node("Mul", net.constant(2.0), net.node("AveragePool", x, kernel_shape=[2, 2])),
         "relu": lambda: net.node("Mul", net.node("Clip", _conv(net, x), net.constant(0.0), net.constant(1.0)),
                                  _factors(net, 6))}[what]()
    if what == "maps":
        x = net.quantised(_conv(net, x), 0.1)
        y = net.node("Conv", net.quantised(net.node("Mul", x, x), 0.1), net.weights(2, 6, 1, 1))
    path = net.save(tmp_path / "n.onnx", net.quantised(y, 0.1))
    with pytest.raises(HwgenError, match=message):
        load_model(path)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("turned", [False, True])
def test_pixels(tmp_path: Path, kind: type, turned: bool) -> None:
    """Integers that the network itself makes real numbers of; a Cast of real numbers changes nothing."""
    net = Qdq(np.random.default_rng(12), (1, 7, 6, 4) if turned else (1, 4, 7, 6))
    x = net.node("Transpose", "x", perm=[0, 3, 1, 2]) if turned else "x"
    x = net.node("Div", net.node("Cast", net.node("Cast", x, to=1), to=1), net.constant(255.0))
    x = net.node("Div", net.node("Sub", x, net.random(1, 4, 1, 1)), net.constant(np.full((1, 4, 1, 1), 0.25)))
    y = net.node("Cast", _conv(net, net.quantised(x, 0.03, 3)), to=1)
    path = net.save(tmp_path / "n.onnx", net.quantised(y, 0.05))
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    onnx.save(model, path)
    graph = exact(path, maps=2, images=8)
    (port,) = graph.inputs
    assert (port.type, port.scale, port.zero_point) == (np.dtype(kind).name, 1.0, 0)
    pixels = np.arange(2 * 168).reshape(2, *port.shape[1:]) % 120
    given = [to_maps(graph, file_inputs(graph, {"x": pixels.astype(t)}))[graph.input] for t in (kind, np.float32)]
    assert np.array_equal(*given)
    again = to_maps(graph, file_inputs(graph, {"x": given[0]}))[graph.input].astype(int)
    assert kind is np.int8 or np.abs(again - given[0]).max() <= 1  # of uint8 pixels, int8 are integers of the map


@pytest.mark.parametrize(("to", "message"), [(10, "makes other numbers than float32"), (1, "reads integers, not")])
def test_other_casts(tmp_path: Path, to: int, message: str) -> None:
    net, x = _net(13)
    if to == 1:
        q = net.node("QuantizeLinear", x, net.constant(0.02), net.constant(0, np.int8))
        y = net.node("Conv", net.node("Cast", q, to=1), net.weights(2, 4, 1, 1))
    else:
        y = net.node("Cast", net.node("Cast", x, to=to), to=1)
    with pytest.raises(HwgenError, match=message):
        load_model(net.save(tmp_path / "n.onnx", net.quantised(y, 0.05)))
