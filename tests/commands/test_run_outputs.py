"""``hwgen run -o`` gives what the file's own runtime gives: names, order, types, layouts and values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from hwgen.golden.inputs import random_inputs
from hwgen.model import load_model
from hwgen.model.tflite_file import parse_tflite
from hwgen.model.tflite_kernels import litert_alone
from hwgen.reference.runtime import LITERT, ONNX_RUNTIME, TFLITE_MICRO, RefusalError, Runtime
from tests.model.onnx_networks import Net, quantise
from tests.model.tflite_cases import conv
from tests.shared_data import shared_file
from tests.test_cli import call, refused
from tests.tflite_builder import TfliteBuilder

IMAGES = 3
Outputs = dict[str, NDArray[np.generic]]


def ran(path: Path, folder: Path) -> tuple[Outputs, list[NDArray[np.generic]]]:
    """What the command writes for random inputs given by name, and those inputs, each with the file's batch."""
    graph = load_model(path)
    given = random_inputs(graph, IMAGES, 5)
    np.savez(folder / "in.npz", **{port.name: x for port, x in zip(graph.inputs, given, strict=True)})
    result = call("run", path, "--inputs", folder / "in.npz", "-o", folder / "out.npz")
    assert result.exit_code == 0, result.output
    with np.load(folder / "out.npz") as file:
        return {name: file[name] for name in file.files}, given


def same(found: Outputs, names: list[str], expected: tuple[NDArray[np.generic], ...], steps: int = 0) -> None:
    """The file's outputs, in its order; behind them ``y`` and ``real``, unless an output is called so."""
    own = [name for name in found if name not in ("y", "real") or name in names]
    assert own == names
    for name, values in zip(names, expected, strict=True):
        batch = values[:, 0] if values.shape[1] == 1 else values
        assert found[name].dtype == values.dtype and found[name].shape == batch.shape, name
        allowed = steps + (1e-6 * np.abs(batch).max() if values.dtype.kind == "f" else 0)  # the host's logarithms
        assert np.abs(found[name].astype(np.float64) - batch).max() <= allowed, name


def tflite_names(path: Path) -> list[str]:
    """By LiteRT, which alone tells them."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason="LiteRT is not installed").Interpreter
    return [str(detail["name"]) for detail in interpreter(str(path)).get_output_details()]


def tflite_outputs(path: Path, given: list[NDArray[np.generic]]) -> tuple[NDArray[np.generic], ...]:
    """By TFLite Micro, or LiteRT where that does not run the file, or (dilation) wrongly."""
    runtimes: list[Runtime] = [LITERT] if litert_alone(parse_tflite(path)) else [TFLITE_MICRO, LITERT]
    for runtime in runtimes:
        if runtime.installed is not None:
            try:
                return runtime.run(path, given, []).outputs
            except RefusalError:
                continue
    pytest.skip("no runtime that is installed runs it (hwgen[reference])")


NETWORKS = ("keras_kws_cnn", "keras_tcn_dil", "lenet300", "mcunet_vww", "mobilenet_v1_0.25_128_quant",
            "tm_mbnet96_0.25_q")


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_that_people_have(name: str, tmp_path: Path) -> None:
    path = shared_file("networks", f"{name}.tflite")
    found, given = ran(path, tmp_path)
    same(found, tflite_names(path), tflite_outputs(path, given))


def test_several_outputs_of_tflite(tmp_path: Path) -> None:
    """In another order than they are computed in, one real and one not, one with the converter's joined name."""
    b, rng = TfliteBuilder(), np.random.default_rng(1)
    x = b.tensor((1, 6, 5, 3), name="entry:0")
    first = conv(b, rng, x, (4, 3, 3, 3), b.tensor((1, 4, 3, 4), scale=0.3, name="model/a;model/b"))
    second = conv(b, rng, first, (2, 1, 1, 4), b.tensor((1, 4, 3, 2), scale=0.5, zero_point=9, name="inner"))
    real = b.op("DEQUANTIZE", [second], b.tensor((1, 4, 3, 2), scale=None, dtype="float32", name="real end"))
    path = b.save(tmp_path / "m.tflite", [x], [real, first])
    found, given = ran(path, tmp_path)
    assert tflite_names(path) == ["real end", "model/a;model/b"]
    same(found, tflite_names(path), tflite_outputs(path, given))


def test_outputs_of_onnx_stay_nchw(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (hwgen[reference])")
    net = Net(np.random.default_rng(3), (1, 3, 7, 6))
    path, _ = quantise(net, net.node("Relu", net.conv("x", 5, 3, (3, 3))), tmp_path)
    found, given = ran(path, tmp_path)
    (expected,) = ONNX_RUNTIME.run(path, given, []).outputs
    assert expected.shape == (IMAGES, 1, 5, 5, 4)
    same(found, ["y"], (expected,), 1)


def test_several_outputs_of_onnx(tmp_path: Path) -> None:
    """A map inside the network as a further output, as it is: integers in NCHW."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (hwgen[reference])")
    net = Net(np.random.default_rng(3), (1, 3, 7, 6))
    path, _ = quantise(net, net.conv(net.conv("x", 5, 3, (3, 3)), 4, 5, (1, 1)), tmp_path)
    model = onnx.load(path)
    inner = next(n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == "v0").output[0]
    model.graph.output.insert(0, helper.make_tensor_value_info(inner, TensorProto.INT8, (1, 5, 5, 4)))
    onnx.save(model, path)
    found, given = ran(path, tmp_path)
    same(found, [inner, "y"], ONNX_RUNTIME.run(path, given, []).outputs, 1)


@pytest.mark.parametrize("turned", [False, True], ids=["as in the file", "turned"])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_images_of_another_layout(layout: str, turned: bool, tmp_path: Path) -> None:
    """A file of NCHW takes NHWC where only that fits; one of NHWC refuses NCHW, and says how to turn it."""
    if layout == "NCHW":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (hwgen[reference])")
        net = Net(np.random.default_rng(3), (1, 3, 7, 6))
        path, _ = quantise(net, net.conv("x", 5, 3, (3, 3)), tmp_path)
    else:
        b = TfliteBuilder()
        x = b.tensor((1, 7, 6, 3))
        y = conv(b, np.random.default_rng(1), x, (4, 3, 3, 3), b.tensor((1, 5, 4, 4), scale=0.3))
        path = b.save(tmp_path / "m.tflite", [x], [y])
    images = np.random.default_rng(2).normal(size=(2, 7, 6, 3)).astype(np.float32)
    nchw = images.transpose(0, 3, 1, 2)
    results = []
    for given in (images, nchw) if turned else (nchw if layout == "NCHW" else images,):
        np.savez(tmp_path / "in.npz", x=given)
        results.append(call("run", path, "--inputs", tmp_path / "in.npz", "-o", tmp_path / f"{len(results)}.npz"))
    if layout == "NHWC" and turned:
        refused(results[1], "as in the file", "x.transpose(0, 2, 3, 1)")
        return
    assert all(result.exit_code == 0 for result in results)
    assert not turned or (tmp_path / "0.npz").read_bytes() == (tmp_path / "1.npz").read_bytes()
