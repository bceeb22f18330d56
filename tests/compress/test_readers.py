"""Float networks are read as the reference runtimes run them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from hwgen.compress.execute import run_float
from hwgen.compress.graph import BatchNorm, FloatConv, Softmax
from hwgen.compress.load import load_float_model
from hwgen.compress.onnx_float import read_onnx_float
from hwgen.compress.tflite_float import read_tflite_float
from hwgen.embedded import MODEL, digit_images
from hwgen.errors import HwgenError
from hwgen.model.tflite_file import parse_tflite
from tests.shared_data import SHARED, shared_file
from tests.tflite_builder import TfliteBuilder

# TFLite


@pytest.mark.parametrize("network", ["resnet8_float", "mobilenetv1_025_vww_float", "autoencoder_ad_float"])
def test_tflite_micro_computes_the_same(network: str) -> None:
    pytest.importorskip("tflite_micro", reason="tflite-micro is not installed (hwgen[reference])")
    from hwgen.reference.tflite_micro import run

    path = shared_file("models", f"{network}.tflite")
    graph = read_tflite_float(path)
    top = 255 if network.startswith("resnet") else 1
    x = np.random.default_rng(1).uniform(0, top, (3, *graph.shapes[graph.input][1:])).astype(np.float32)
    file = parse_tflite(path)
    (expected,) = run(path, [x.reshape(len(x), *file.tensors[file.inputs[0]].shape)], []).outputs
    expected = expected.reshape(len(x), *graph.shapes[graph.output][1:])
    assert np.allclose(run_float(graph, x, host=True), expected, rtol=1e-5, atol=1e-5)


def test_resnet8_has_its_published_accuracy() -> None:
    graph = read_tflite_float(shared_file("models", "resnet8_float.tflite"))
    with np.load(shared_file("data", "cifar10_test.npz")) as data:
        chosen = data["mlperf_ic01_idx"]
        x, y = data["x"][chosen].astype(np.float32), data["y"][chosen]
    assert (run_float(graph, x).reshape(len(x), 10).argmax(axis=1) == y).mean() == 0.87  # 87.19 % of all 10,000


def test_hybrid_weights_are_dequantised() -> None:
    """DS-CNN stores most weights as int8; TFLite Micro refuses it, the labels do not: 90.1 % of `kws01`."""
    graph = read_tflite_float(shared_file("models", "dscnn_kws_float.tflite"))
    with np.load(SHARED / "data" / "kws01.npz") as data:
        x, y = (data["x"].astype(np.float32).reshape(-1, 49, 10, 1) - 83) * np.float32(0.5847029), data["y"]
    top1 = (run_float(graph, x).reshape(len(x), 12).argmax(axis=1) == y).mean()
    assert top1 == pytest.approx(0.901, abs=0.002)


def test_hybrid_weights_by_hand(tmp_path: Path) -> None:
    file = TfliteBuilder()
    x = file.tensor((1, 3), dtype="float32", scale=None)
    weight = file.constant(np.array([[1, -2, 3], [4, 5, -6]], np.int8), scale=[0.5])
    bias = file.constant(np.array([1, 2], np.float32))
    y = file.op("FULLY_CONNECTED", [x, weight, bias], file.tensor((1, 2), dtype="float32", scale=None),
                FusedActivationFunction=1)
    graph = read_tflite_float(file.save(tmp_path / "a.tflite", [x], [y]))
    (op,) = graph.convs
    assert op.weight.reshape(2, 3).tolist() == [[0.5, -1, 1.5], [2, 2.5, -3]] and (op.lo, op.hi) == (0, np.inf)
    assert run_float(graph, np.ones((1, 1, 1, 3))).reshape(-1).tolist() == [2, 3.5]


def test_activation_alone_goes_into_the_layer_before_it(tmp_path: Path) -> None:
    file = TfliteBuilder()
    x = file.tensor((1, 3), dtype="float32", scale=None)
    weight = file.constant(np.eye(3, dtype=np.float32))
    y = file.op("FULLY_CONNECTED", [x, weight], file.tensor((1, 3), dtype="float32", scale=None))
    y = file.op("RELU6", [y], file.tensor((1, 3), dtype="float32", scale=None))
    graph = load_float_model(file.save(tmp_path / "a.tflite", [x], [y]))
    assert [type(op) for op in graph.ops] == [FloatConv]
    assert run_float(graph, np.array([-1.0, 2.0, 9.0]).reshape(1, 1, 1, 3)).reshape(-1).tolist() == [0, 2, 6]


def test_every_unsupported_operator_is_named(tmp_path: Path) -> None:
    file = TfliteBuilder()
    x = file.tensor((1, 3), dtype="float32", scale=None)
    y = file.op("TANH", [x], file.tensor((1, 3), dtype="float32", scale=None, name="first"))
    y = file.op("LOGISTIC", [y], file.tensor((1, 3), dtype="float32", scale=None, name="second"))
    with pytest.raises(HwgenError) as found:
        read_tflite_float(file.save(tmp_path / "a.tflite", [x], [y]))
    text = str(found.value)
    assert "the network cannot be compressed:" in text
    assert "TANH 'first': unsupported operator -> replace it by RELU" in text and "LOGISTIC 'second'" in text


def test_quantised_networks_and_nan_are_refused(tmp_path: Path) -> None:
    file = TfliteBuilder()
    x = file.tensor((1, 3))
    weight = file.constant(np.eye(3, dtype=np.int8), scale=[0.5])
    y = file.op("FULLY_CONNECTED", [x, weight], file.tensor((1, 3)))
    with pytest.raises(HwgenError, match=r"computes in int8, not in float32"):
        read_tflite_float(file.save(tmp_path / "a.tflite", [x], [y]))
    file = TfliteBuilder()
    x = file.tensor((1, 1), dtype="float32", scale=None)
    weight = file.constant(np.full((1, 1), np.nan, np.float32))
    y = file.op("FULLY_CONNECTED", [x, weight], file.tensor((1, 1), dtype="float32", scale=None, name="bad"))
    with pytest.raises(HwgenError, match=r"'bad'.*its weights must be finite"):
        read_tflite_float(file.save(tmp_path / "a.tflite", [x], [y]))


def test_damaged_files_are_one_error(tmp_path: Path) -> None:
    """Bytes changed and ends cut off at random: read, or refused in one message."""
    rng = np.random.default_rng(4)
    file = TfliteBuilder()

    def made(*shape: int) -> int:
        return file.tensor(shape, dtype="float32", scale=None)

    x = made(1, 6, 6, 3)
    bias = file.constant(np.ones(4, np.float32))
    window = {"Padding": 0, "StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    weight = file.constant(rng.normal(size=(4, 3, 3, 3)).astype(np.float32))
    first = file.op("CONV_2D", [x, weight, bias], made(1, 6, 6, 4), **window, FusedActivationFunction=1)
    weight = file.constant(rng.integers(-9, 9, (1, 3, 3, 4)).astype(np.int8), scale=[0.5])
    y = file.op("DEPTHWISE_CONV_2D", [first, weight, bias], made(1, 6, 6, 4), **window, DepthMultiplier=1)
    y = file.op("ADD", [first, y], made(1, 6, 6, 4))
    y = file.op("MEAN", [y, file.constant(np.array([1, 2], np.int32))], made(1, 4), KeepDims=False)
    content = file.save(tmp_path / "a.tflite", [x], [y]).read_bytes()
    outcomes = set()
    for number in range(400):
        damaged = bytearray(content)
        for _ in range(int(rng.integers(1, 4))):
            damaged[int(rng.integers(len(damaged)))] = int(rng.integers(256))
        (tmp_path / "b.tflite").write_bytes(damaged[: int(rng.integers(len(damaged)))] if number % 10 == 0 else damaged)
        try:
            load_float_model(tmp_path / "b.tflite")
            outcomes.add("read")
        except HwgenError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


# ONNX


@pytest.mark.parametrize("seed", range(4))
def test_onnxruntime_computes_the_same(seed: int, tmp_path: Path) -> None:
    """Everything an exporter writes around layers: NCHW, normalisation, constants added, a MatMul, a softmax."""
    networks = pytest.importorskip("tests.model.onnx_networks", reason="onnxruntime is not installed")
    rng = np.random.default_rng(seed)
    net = networks.Net(rng, (1, 3, 12, 10))
    stem = net.conv("x", 8, 3, (3, 3), strides=[2, 2], pads=[0, 0, 1, 1])
    stats = [net.constant(rng.uniform(0.5, 2, 8)) for _ in range(4)]
    a = net.node("Relu", net.node("BatchNormalization", stem, *stats, epsilon=1e-3))
    b = net.conv(a, 8, 1, (3, 3), group=8, pads=[1, 1, 1, 1])
    b = net.node("Clip", b, net.constant(0.0), net.constant(6.0))
    b = net.conv(b, 8, 8, (1, 1))
    a = net.node("Relu", net.node("Add", a, b))
    a = net.node("Add", a, net.random(1, 8, 1, 1))
    left = net.node("MaxPool", a, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    right = net.node("AveragePool", a, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
                     count_include_pad=seed % 2)
    a = net.node("Concat", left, right, axis=1)
    a = net.node("Pad", a, net.constant([0, 0, 1, 0, 0, 0, 0, 1], np.int64))
    if seed < 2:
        a = net.node("Flatten", a)
        size = 16 * 4 * 4
    else:
        a, size = net.node("Flatten", net.node("GlobalAveragePool", a)), 16
    a = net.node("Add", net.node("MatMul", a, net.random(size, 6)), net.random(6))
    a = net.node("Relu", net.node("Gemm", a, net.random(5, 6), net.random(5), transB=1))
    model = net.model(net.node("Softmax", a, axis=1), batch="n")
    onnx.save(model, tmp_path / "net.onnx")
    graph = load_float_model(tmp_path / "net.onnx")
    assert sum(isinstance(op, BatchNorm) for op in graph.ops) == 1 and isinstance(graph.ops[-1], Softmax)
    x = rng.normal(0, 1, (3, 3, 12, 10)).astype(np.float32)
    expected = networks.run_onnx(tmp_path / "net.onnx", x)
    got = run_float(graph, x.transpose(0, 2, 3, 1), host=True).reshape(3, 5)
    assert np.allclose(got, expected, atol=1e-5)


def test_a_quantised_network_becomes_its_float_self() -> None:
    graph = read_onnx_float(MODEL)
    x, y = digit_images()
    assert graph.shapes[graph.input] == (1, 8, 8, 1)
    assert (run_float(graph, x).reshape(len(x), 10).argmax(axis=1) == y).mean() >= 0.97
    assert {op.name: op.lo for op in graph.convs}["stem"] == 0 and graph.conv("pointwise_1").lo == -np.inf


def test_unsupported_onnx_operators_are_named(tmp_path: Path) -> None:
    networks = pytest.importorskip("tests.model.onnx_networks", reason="onnxruntime is not installed")
    net = networks.Net(np.random.default_rng(1), (1, 3, 4, 4))
    a = net.node("Sigmoid", "x")
    onnx.save(net.model(net.node("Mul", a, a)), tmp_path / "net.onnx")
    with pytest.raises(HwgenError) as found:
        read_onnx_float(tmp_path / "net.onnx")
    assert "Sigmoid 'sigmoid0'" in str(found.value) and "Mul 'mul1'" in str(found.value)


def test_nan_in_onnx_weights(tmp_path: Path) -> None:
    networks = pytest.importorskip("tests.model.onnx_networks", reason="onnxruntime is not installed")
    net = networks.Net(np.random.default_rng(1), (1, 1, 4, 4))
    a = net.node("Conv", "x", net.constant(np.full((1, 1, 1, 1), np.nan)))
    onnx.save(net.model(a), tmp_path / "net.onnx")
    with pytest.raises(HwgenError, match="its weights and bias must be finite"):
        read_onnx_float(tmp_path / "net.onnx")


def test_networks_that_do_not_use_their_input(tmp_path: Path) -> None:
    networks = pytest.importorskip("tests.model.onnx_networks", reason="onnxruntime is not installed")
    for build in (lambda net: net.node("Relu", net.constant([[1.0]])), lambda net: net.node("Identity", "x")):
        net = networks.Net(np.random.default_rng(1), (1, 1, 4, 4))
        onnx.save(net.model(build(net)), tmp_path / "net.onnx")
        with pytest.raises(HwgenError, match="the network computes nothing from its input"):
            read_onnx_float(tmp_path / "net.onnx")


def test_constants_around_convolutions(tmp_path: Path) -> None:
    """A normalised input becomes a layer, which zero padding does not touch; behind a convolution they are its own."""
    networks = pytest.importorskip("tests.model.onnx_networks", reason="onnxruntime is not installed")
    net = networks.Net(np.random.default_rng(1), (1, 3, 8, 7))
    a = net.node("Div", net.node("Sub", "x", net.random(1, 3, 1, 1)), net.constant([[[0.2]], [[-0.3]], [[0.4]]]))
    b = net.node("Mul", net.conv(a, 5, 3, (3, 3), pads=[1] * 4), net.random(5, 1, 1))
    b = net.node("Sub", net.constant(1.5), b)
    onnx.save(net.model(net.node("Relu", b)), tmp_path / "net.onnx")
    graph = read_onnx_float(tmp_path / "net.onnx")
    assert [type(op) for op in graph.ops] == [FloatConv, FloatConv]
    x = net.rng.normal(0, 1, net.shape).astype(np.float32)
    expected = networks.run_onnx(tmp_path / "net.onnx", x).transpose(0, 2, 3, 1)
    assert np.allclose(run_float(graph, x.transpose(0, 2, 3, 1)), expected, rtol=1e-5, atol=1e-5)
