"""A compressed network has the ends of the file it was made from: names, shapes, order of axes, what follows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from hwgen.compress.data import make_data
from hwgen.compress.load import load_float_model
from hwgen.compress.onnx_save_float import float_onnx
from hwgen.compress.pipeline import compress
from hwgen.compress.recipe import load_recipe
from hwgen.compress.shipped import find_recipe

networks = pytest.importorskip("tests.model.onnx_networks", reason="onnxruntime is not installed")

SHAPES = {"nchw": (1, 3, 6, 5), "nhwc": (1, 6, 5, 3), "vector": (1, 12)}


def network(form: str, folder: Path) -> Path:
    net = networks.Net(np.random.default_rng(1), SHAPES[form])
    value = "x"
    if form == "vector":
        value = net.node("Gemm", value, net.random(12, 4), net.random(4))
        value = net.node("Softmax", value)
    else:
        value = net.node("Transpose", value, perm=[0, 3, 1, 2]) if form == "nhwc" else value
        value = net.conv(value, 4, 3, (3, 3))
        value = net.node("Transpose", value, perm=[0, 2, 3, 1]) if form == "nhwc" else value
        value = net.node("Softmax", value, axis=3) if form == "nhwc" else value
    onnx.save(net.model(value), folder / "float.onnx")
    return folder / "float.onnx"


@pytest.mark.parametrize("form", SHAPES)
def test_compressed_and_float_files_have_the_ends_of_their_source(form: str, tmp_path: Path) -> None:
    path = network(form, tmp_path)
    graph = load_float_model(path)
    x = np.random.default_rng(2).normal(0, 1, (32, *SHAPES[form][1:])).astype(np.float32)
    data = make_data(graph, x, None)
    made = compress(graph, load_recipe(find_recipe("int8")), data, data)
    expected = networks.run_onnx(path, x[:1])
    for content, off in ((made.onnx, 0.2), (float_onnx(graph), 1e-4)):
        written = tmp_path / "made.onnx"
        written.write_bytes(content)
        value = networks.run_onnx(written, x[:1])
        assert onnx.load(written).graph.input[0].name == "x"
        assert value.shape == expected.shape
        assert np.abs(value - expected).max() <= off * max(1.0, float(np.abs(expected).max()))


def test_square_maps_are_not_turned(tmp_path: Path) -> None:
    """Where both orders fit, the file's counts."""
    net = networks.Net(np.random.default_rng(1), (1, 4, 4, 4))
    onnx.save(net.model(net.conv("x", 4, 4, (1, 1))), tmp_path / "float.onnx")
    x = np.arange(64, dtype=np.float32).reshape(1, 4, 4, 4)
    assert np.array_equal(make_data(load_float_model(tmp_path / "float.onnx"), x, None).x, x.transpose(0, 2, 3, 1))
