"""Constants that do not fit: one message each that names the node, whatever is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen.errors import HwgenError
from hwgen.model.graph import Conv, Graph
from hwgen.model.onnx_reader import read_onnx
from tests.model.onnx_cases import CASES
from tests.model.onnx_networks import quantise

CONSTANTS: dict[str, Any] = {
    "s": np.float32(0.1),
    "z": np.int8(0),
    "w": np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3, 1, 1),
    "ws": np.float32([0.01, 0.02, 0.03, 0.04]),
    "wz": np.int8([0, 1, 2, 3]),
    "ds": np.float32([0.01, 0.02, 0.03, 0.04]),
    "b": np.zeros(4, np.float32),
}
"""Of `network`: of its maps, its weights (quantised by the file, dequantised by ``ds``) and its bias."""


def network(folder: Path, *, axis: int = 0, extra: tuple[str, list[str], dict[str, Any]] | None = None,
            **changed: Any) -> Path:
    """A convolution of float weights that the file quantises; ``extra`` (operator, inputs, attributes) follows it."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], name="qx"),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], name="dx"),
        helper.make_node("QuantizeLinear", ["w", "ws", "wz"], ["wq"], name="qw", axis=axis),
        helper.make_node("DequantizeLinear", ["wq", "ds", "wz"], ["wd"], name="dw", axis=axis),
        helper.make_node("Conv", ["xd", "wd", "b"], ["c"], name="conv"),
        helper.make_node("QuantizeLinear", ["c", "s", "z"], ["cq"], name="qc"),
        helper.make_node("DequantizeLinear", ["cq", "s", "z"], ["cd"], name="dc"),
    ]
    last = "cd"
    if extra is not None:
        op, inputs, attributes = extra
        nodes += [
            helper.make_node(op, inputs, ["e"], name="extra", **attributes),
            helper.make_node("QuantizeLinear", ["e", "s", "z"], ["eq"], name="qe"),
            helper.make_node("DequantizeLinear", ["eq", "s", "z"], ["ed"], name="de"),
        ]
        last = "ed"
    nodes.append(helper.make_node("Identity", [last], ["y"], name="end"))
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list("nchw"))],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (CONSTANTS | changed).items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def convolution(graph: Graph) -> Conv:
    return next(op for op in graph.ops if isinstance(op, Conv))


def test_constants_that_the_file_quantises(tmp_path: Path) -> None:
    conv = convolution(read_onnx(network(tmp_path)))
    expected = np.rint(CONSTANTS["w"] / CONSTANTS["ws"].reshape(4, 1, 1, 1)).clip(-128 - 3, 127)
    assert np.abs(conv.weight.transpose(0, 3, 1, 2) - expected).max() <= 3  # clipped with its zero point
    assert (conv.weight_scale == CONSTANTS["ws"]).all()


def test_weights_have_the_scale_that_dequantises_them(tmp_path: Path) -> None:
    conv = convolution(read_onnx(network(tmp_path, ds=np.float32([0.1, 0.2, 0.3, 0.4]))))
    assert (conv.weight_scale == np.float32([0.1, 0.2, 0.3, 0.4])).all()


@pytest.mark.parametrize(("axis", "changed", "messages"), [
    (1, {}, ("QuantizeLinear 'qw'", "4 scales for a constant of shape (4, 3, 1, 1)")),
    (0, {"w": np.float32(0.5)}, ("QuantizeLinear 'qw'", "4 scales for a constant of shape ()")),
    (0, {"ds": np.float32([1, 2, 3])}, ("DequantizeLinear 'dw'", "3 scales but 4 zero points")),
    (0, {"ws": np.float32([]), "wz": np.int8([])}, ("QuantizeLinear 'qw'", "there are no scales")),
    (0, {"wz": np.zeros(4, ml_dtypes.float8_e4m3fn)}, ("'qw'", "integers of 2, 4, 8 or 32 bits, not float8_e4m3fn")),
    (0, {"wz": np.zeros(4, np.int16)}, ("QuantizeLinear 'qw'", "integers of 2, 4, 8 or 32 bits, not int16")),
    (0, {"z": np.zeros((), ml_dtypes.float8_e5m2)}, ("QuantizeLinear 'qx'", "int8 or uint8, not float8_e5m2")),
    (0, {"w": np.full((4, 3, 1, 1), np.nan, np.float32)}, ("QuantizeLinear 'qw'", "must be finite")),
    (0, {"w": np.full((4, 3, 1, 1), "1")}, ("'qw'", "a real constant must be float32, not")),
    (0, {"ws": np.array(["a"] * 4)}, ("'qw'", "scales must be float32, not")),
    (0, {"b": np.zeros(3, np.float32)}, ("Conv 'conv'", "a bias of shape (3,) does not fit 4 channels")),
    (0, {"b": np.zeros((4, 1), np.float32)}, ("Conv 'conv'", "a bias of shape (4, 1) does not fit 4 channels")),
    (0, {"w": np.full((4, 3, 1, 1), 1e38, np.float32), "ws": np.float32([1e38] * 4), "ds": np.float32([1e38] * 4)},
     ("conv", "below 2**31 output scales")),
])
def test_constants_that_do_not_fit(tmp_path: Path, axis: int, changed: dict[str, Any], messages: tuple[str, ...]
                                   ) -> None:
    with pytest.raises(HwgenError) as caught:
        read_onnx(network(tmp_path, axis=axis, **changed))
    for message in messages:
        assert message in str(caught.value)
    assert "\n  -> " in str(caught.value)


@pytest.mark.parametrize(("extra", "n", "message"), [
    (("Pad", ["cd", "n"], {}), np.int64([0, 0, 1, 0, 0, 0, 1]), "7 amounts for axes [0, 1, 2, 3]"),
    (("Pad", ["cd", "n"], {}), np.int64(1), "1 amounts for axes [0, 1, 2, 3]"),
    (("Pad", ["cd", "n"], {}), np.zeros(8, np.float32), "'n' must be integers, not float32"),
    (("Reshape", ["cd", "n"], {}), np.float32([1, -1]), "'n' must be integers, not float32"),
    (("Unsqueeze", ["cd", "n"], {}), np.int64([1, 1]), "axes must differ, not (1, 1)"),
    (("Squeeze", ["cd", "n"], {}), np.int64([1]), "squeezes axes of (1, 4, 4, 4) that are longer than 1"),
    (("Clip", ["cd", "n"], {}), np.float32([]), "its bounds must be float constants"),
    (("Transpose", ["n"], {"perm": [1, 2, 0]}), np.zeros((4, 4), np.float32), "does not fit its constant input"),
])
def test_numbers_that_do_not_fit(tmp_path: Path, extra: Any, n: Any, message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        read_onnx(network(tmp_path, extra=extra, n=n))
    assert f"{extra[0]} 'extra'" in str(caught.value) and message in str(caught.value)


TYPES = (np.float32, np.float16, np.int8, np.uint8, np.int32, np.int64, bool, ml_dtypes.bfloat16,
         ml_dtypes.float8_e4m3fn, ml_dtypes.int4)
VALUES = (np.nan, np.inf, -1, 0, 1e30, 1e-44)


def spoiled(rng: np.random.Generator, value: Any) -> Any:
    """The constant in another type, of another shape, or with another value in it."""
    way = rng.integers(4)
    if way == 0:
        return value.astype(TYPES[rng.integers(len(TYPES))])
    if way == 1:
        return np.resize(value, rng.integers(0, 5, rng.integers(0, 5)))
    if way == 2:
        return value.reshape(-1)[: max(0, value.size - rng.integers(1, 3))]
    value = value.astype(np.float32) if value.dtype.kind == "f" else value.copy()
    if value.size:
        number = VALUES[rng.integers(len(VALUES))]
        value.reshape(-1)[rng.integers(value.size)] = number if value.dtype.kind == "f" else rng.integers(5)
    return value


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.filterwarnings("ignore:.*encountered in cast")  # of making the constants
def test_spoiled_constants_never_end_in_another_exception(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    sources = [network(tmp_path).read_bytes(), *(quantise(*case(rng), tmp_path)[0].read_bytes() for case in CASES)]
    refusals = 0
    for trial in range(300):
        model = onnx.load_from_string(sources[trial % len(sources)])
        del model.graph.value_info[:]
        for _ in range(rng.integers(1, 3)):
            tensor = model.graph.initializer[rng.integers(len(model.graph.initializer))]
            value = np.asarray(spoiled(rng, numpy_helper.to_array(tensor)))
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
        (tmp_path / "spoiled.onnx").write_bytes(model.SerializeToString())
        try:
            read_onnx(tmp_path / "spoiled.onnx")
        except HwgenError:
            refusals += 1
        except Exception as error:
            raise AssertionError(f"seed {seed} trial {trial}: {error!r}") from error
    assert refusals > 100
