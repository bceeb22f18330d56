"""The network that comes with the package: small, accurate on its integers, and ONNX Runtime agrees."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from hwgen.compress.data import load_data
from hwgen.compress.load import load_float_model
from hwgen.compress.pipeline import compress
from hwgen.compress.recipe import load_recipe
from hwgen.compress.shipped import find_recipe
from hwgen.embedded import DATA, FLOAT_MODEL, MODEL, TRAIN, digit_images, embedded_model
from hwgen.golden.graph import GraphResult, run
from hwgen.golden.inputs import quantize_input
from hwgen.model.graph import Add, Conv, Graph, Pool
from tests.model.onnx_networks import run_onnx
from tests.references import compared


@pytest.fixture(scope="module")
def graph() -> Graph:
    return embedded_model()


@pytest.fixture(scope="module")
def result(graph: Graph) -> GraphResult:
    return run(graph, quantize_input(graph, digit_images()[0]), keep=True)


def test_accuracy_of_the_integers(result: GraphResult) -> None:
    _, labels = digit_images()
    assert len(labels) == 360
    assert np.mean(result.output.reshape(360, 10).argmax(1) == labels) >= 0.97


def test_every_operator_agrees_with_onnxruntime(graph: Graph, result: GraphResult) -> None:
    report = compared(MODEL, graph, result.tensors[graph.input])
    assert report.equal and report.maps >= len(graph.ops), report.summary
    assert report.different <= 0.001 * report.values, report.summary


def test_others_can_load_it() -> None:
    onnx.checker.check_model(onnx.load(MODEL), full_check=True)
    images, labels = digit_images()
    scores = run_onnx(MODEL, images)
    assert scores.shape == (360, 1, 1, 10)
    assert np.mean(scores.reshape(360, 10).argmax(1) == labels) >= 0.97


def test_what_it_is_made_of(graph: Graph) -> None:
    convs = [op for op in graph.ops if isinstance(op, Conv)]
    kinds = {(op.depthwise, op.weight.shape[1:3]) for op in convs}
    assert kinds == {(False, (3, 3)), (True, (3, 3)), (False, (1, 1)), (False, (2, 2))}
    assert any(isinstance(op, Add) for op in graph.ops)
    assert any(isinstance(op, Pool) for op in graph.ops)


@pytest.mark.parametrize("path", [FLOAT_MODEL, MODEL, TRAIN, DATA], ids=lambda path: path.name)
def test_size(path: Path) -> None:
    assert path.stat().st_size < 100_000


def test_the_integers_are_what_the_compressor_makes_of_the_float_network() -> None:
    network = load_float_model(FLOAT_MODEL)
    fit, test = load_data(network, TRAIN), load_data(network, DATA)
    made = compress(network, load_recipe(find_recipe("int8")), fit, test)
    assert made.onnx == MODEL.read_bytes()
    before, after = (row.accuracy for row in made.rows)
    assert before is not None and after is not None and after.correct >= before.correct - 2


def test_images_are_those_the_training_held_out() -> None:
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

    images, labels = load_digits(return_X_y=True)
    shown, held_out, shown_labels, held_out_labels = train_test_split(images, labels, test_size=0.2, random_state=1,
                                                                      stratify=labels)
    x, y = digit_images()
    assert np.array_equal(x.reshape(360, 64), held_out)
    assert np.array_equal(y, held_out_labels)
    with np.load(TRAIN) as data:
        assert np.array_equal(data["x"].reshape(1437, 64), shown)
        assert np.array_equal(data["y"], shown_labels)
