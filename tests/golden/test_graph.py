"""Whole networks: every layer against TFLite Micro's stored outputs, accuracy, inputs and host operators."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.golden.graph import run
from hwgen.golden.host import file_outputs
from hwgen.golden.inputs import quantize_input
from hwgen.model import load_model
from hwgen.model.graph import Graph, Requant, Requantize, Tensor, plain_graph
from hwgen.model.ports import Step
from tests.shared_data import INT8_NETWORKS, shared_file


@pytest.mark.parametrize("name", INT8_NETWORKS)
def test_every_layer_equals_the_stored_outputs(name):
    graph = load_model(shared_file("models", f"{name}.tflite"))
    golden = np.load(shared_file("golden", f"{name}.npz"))
    result = run(graph, quantize_input(graph, golden["input"]), keep=True)
    by_index = {t.view.key: t.name for t in graph.tensors.values() if t.view is not None}
    stored = {int(key[1:]) for key in golden.files if key.startswith("t")}
    compared = stored & set(by_index)
    left_out = {op["op"] for op in json.loads(str(golden["ops"])) if op["outputs"][0] in stored - compared}
    assert left_out <= {"RESHAPE", "SOFTMAX"}
    for index in compared:
        expected, got = golden[f"t{index}"], result.tensors[by_index[index]]
        assert np.array_equal(got.reshape(expected.shape), expected), by_index[index]


@pytest.fixture(scope="module")
def resnet() -> Graph:
    return load_model(shared_file("models", "resnet8_int8.tflite"))


def test_accuracy_and_speed_on_a_stratified_sample(resnet):
    """The full test set gives 87.07 %; 100 images a class bound it within 3.3 points (three deviations)."""
    data = np.load(shared_file("data", "cifar10_test.npz"))
    rng = np.random.default_rng(7)
    chosen = np.concatenate([rng.choice(np.flatnonzero(data["y"] == label), 100, replace=False) for label in range(10)])
    x = quantize_input(resnet, data["x"][chosen])
    start = time.perf_counter()
    output = run(resnet, x).output
    rate = len(x) / (time.perf_counter() - start)
    accuracy = np.mean(output.reshape(len(x), -1).argmax(1) == data["y"][chosen])
    assert abs(accuracy - 0.8707) < 0.033
    assert rate > 50, f"{rate:.0f} images/s (150 are wanted on an idle 2-core machine)"


def test_probabilities(resnet):
    rng = np.random.default_rng(3)
    result = run(resnet, rng.integers(-128, 128, (5, 32, 32, 3)).astype(np.int8))
    (q,) = file_outputs(resnet, result.tensors)
    probabilities = (q.astype(np.int32) + 128) / 256
    assert np.allclose(probabilities.sum(-1), 1, atol=0.02)
    assert np.array_equal(probabilities.argmax(-1).ravel(), result.output.argmax(-1).ravel())


def test_chunks_do_not_show(resnet, monkeypatch):
    x = np.random.default_rng(4).integers(-128, 128, (7, 32, 32, 3)).astype(np.int8)
    whole, seen = run(resnet, x).output, []
    monkeypatch.setattr("hwgen.golden.graph._CHUNK_BYTES", 3 * 16384)
    assert np.array_equal(run(resnet, x, progress=lambda done, total: seen.append((done, total))).output, whole)
    assert seen == [(3, 7), (6, 7), (7, 7)]


def small_graph(scale: float = 1.0, zero_point: int = -128, shape=(1, 2, 3, 1)) -> Graph:
    requant = Requant(np.array([2**30]), np.array([1]), 5)
    tensors = {"x": Tensor("x", shape, scale, zero_point), "y": Tensor("y", shape, 0.5, 5)}
    step = Step(kind="dequantize", name="d", source="DEQUANTIZE", attrs={"scale": 0.5, "zero_point": 5})
    graph = plain_graph("small", "tflite", tensors, [Requantize(name="r", inputs=("x",), output="y", requant=requant)],
                        "x", "y")
    return replace(graph, outputs=(replace(graph.outputs[0], type="float32", steps=(step,)),))


def test_host_dequantizes():
    graph = small_graph()
    (real,) = file_outputs(graph, run(graph, np.full((1, 2, 3, 1), -126, np.int8)).tensors)
    assert real.dtype == np.float32 and np.array_equal(real, np.full((1, 1, 2, 3, 1), 1.0))


def test_run_refuses_other_inputs():
    for x in (np.zeros((1, 2, 3, 1), np.int16), np.zeros((1, 3, 2, 1), np.int8), np.zeros((0, 2, 3, 1), np.int8)):
        with pytest.raises(HwgenError, match=r"small: the input must be an int8 batch \(N, 2, 3, 1\)"):
            run(small_graph(), x)


@pytest.mark.parametrize(("scale", "zero_point", "value", "expected"), [
    (1.0, -128, 200.0, 72), (0.5, 3, 0.25, 4), (0.5, 3, -0.25, 2), (0.5, 3, 1e9, 127), (0.5, 3, -1e9, -128),
    (1.0, 0, 0.49999997, 0)])
def test_real_inputs(scale, zero_point, value, expected):
    q = quantize_input(small_graph(scale, zero_point), np.full((2, 2, 3, 1), value, np.float32))
    assert q.dtype == np.int8 and (q == expected).all()


@pytest.mark.parametrize("scale", [1.0, 1 / 255])
def test_pixels(scale):
    pixels = np.random.default_rng(1).integers(0, 256, (4, 2, 3, 1)).astype(np.uint8)
    assert np.array_equal(quantize_input(small_graph(scale), pixels), pixels.astype(np.int16) - 128)


def test_pixels_of_unclear_meaning_are_refused():
    with pytest.raises(HwgenError, match="8-bit pixels do not say which real values they stand for"):
        quantize_input(small_graph(2 / 255, -1), np.zeros((1, 2, 3, 1), np.uint8))


@pytest.mark.parametrize("shape", [(2, 3, 1), (2, 3), (1, 2, 3), (4, 2, 3), (4, 2, 3, 1)])
def test_input_shapes(shape):
    assert quantize_input(small_graph(), np.zeros(shape, np.int8)).shape == (4 if shape[0] == 4 else 1, 2, 3, 1)


@pytest.mark.parametrize(("x", "message"), [
    (np.zeros((1, 3, 2, 1), np.int8), "the input must have the shape"),
    (np.zeros((0, 2, 3, 1), np.int8), "the input holds no images"),
    (np.zeros((), np.int8), "the input must have the shape"),
    (np.zeros((1, 2, 3, 1), np.int64), "the input must be int8, uint8 or float, not int64"),
    (np.zeros((1, 2, 3, 1), bool), "the input must be int8, uint8 or float, not bool"),
    (np.full((1, 2, 3, 1), np.nan), "the input must be finite"),
    (np.full((1, 2, 3, 1), np.inf), "the input must be finite")])
def test_wrong_inputs(x, message):
    with pytest.raises(HwgenError, match=message):
        quantize_input(small_graph(), x)
