"""Absent inputs, defaults, further outputs, sizes that coincide: equal to ONNX Runtime on the file, or refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen.errors import HwgenError
from hwgen.golden.graph import run
from hwgen.golden.host import file_outputs
from hwgen.golden.inputs import random_inputs, to_maps
from hwgen.model.graph import Pool
from hwgen.model.onnx_reader import read_onnx
from hwgen.reference.runtime import RUNTIMES
from hwgen.verify.reference import keys
from tests.model.test_onnx_layouts import File, S, agrees, image_net

pytest.importorskip("onnxruntime")

Build = Callable[[File, str], str]


def saved(file: File, path: Path, outputs: dict[str, int], **fields: Any) -> Path:
    """A file with outputs of several types, and operators of com.microsoft."""
    graph = helper.make_graph(file.nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 6, 5))],
                              [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
                              file.constants, **fields)
    opsets = [helper.make_opsetid("", file.opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(HwgenError) as error:
        read_onnx(path)
    return str(error.value)


def channels_last(file: File, x: str) -> str:
    """A cube whose channels are the last axis in the file, which its sizes do not tell."""
    return file.node("Transpose", image_net(file, file.map(x), 3, 4), perm=[0, 2, 3, 1])


def cut(axis: int) -> Build:
    def build(file: File, x: str) -> str:
        numbers = [file.const([n], np.int64) for n in (1, 3, axis)]
        return file.map(file.node("Slice", channels_last(file, x), *numbers))

    return build


PARTS: dict[str, Build] = {
    **{f"Slice {axis}": cut(axis) for axis in (1, 2, 3)},
    "Slice backwards": lambda f, x: f.map(f.node("Slice", channels_last(f, x), f.const([-1], np.int64), f.const(
        [-(2**63)], np.int64), f.const([3], np.int64), f.const([-1], np.int64))),
    "Gather": lambda f, x: f.map(f.node("Gather", channels_last(f, x), f.const([3, 1], np.int64), axis=3)),
    "Slice of two axes": lambda f, x: f.map(f.node("Slice", channels_last(f, x), f.const([0, 2], np.int64), f.const(
        [2, 4], np.int64), f.const([1, 3], np.int64))),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_a_cube(name: str, tmp_path: Path) -> None:
    file = File(1)
    output = PARTS[name](file, "x")
    agrees(file.save(tmp_path / "net.onnx", {"x": (1, 3, 4, 4)}, [output]))


def test_padding_of_some_axes_without_a_value(tmp_path: Path) -> None:
    file = File(2, opset=18)
    padded = file.node("Pad", file.map("x", S, 5), file.const([1, 2], np.int64), "", file.const([2], np.int64))
    agrees(file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 5)}, [image_net(file, file.map(padded, S, 5), 3, 4)]))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_clip_behind_a_quantiser_without_zero_point(dtype: Any, tmp_path: Path) -> None:
    file = File(3, opset=21)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    q = file.node("QuantizeLinear", "x", file.const(S, np.float32), output_dtype=kind)
    clipped = file.node("Clip", q, file.const(np.iinfo(dtype).min // 16, dtype), file.const(7, dtype))
    real = file.node("DequantizeLinear", clipped, file.const(S, np.float32))
    agrees(file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 5)}, [image_net(file, real, 3, 4)]))


def test_further_outputs(tmp_path: Path) -> None:
    file = File(4)
    last = image_net(file, file.map("x"), 3, 4)
    file.nodes.append(helper.make_node("Dropout", [last], ["kept", "mask"], name="drop"))
    path = saved(file, tmp_path / "net.onnx", {"kept": TensorProto.FLOAT, "mask": TensorProto.BOOL})
    assert "Dropout 'drop': its further output 'mask' is not supported" in refusal(path)
    agrees(saved(file, tmp_path / "net.onnx", {"kept": TensorProto.FLOAT}))
    file = File(4)
    source = file.map("x")
    file.nodes.append(helper.make_node("MaxPool", [source], ["most", "places"], name="pool", kernel_shape=[2, 2]))
    agrees(saved(file, tmp_path / "net.onnx", {file.map("most"): TensorProto.FLOAT}))


def test_a_part_that_nothing_reads(tmp_path: Path) -> None:
    file = File(5)
    source = file.map("x")
    file.nodes.append(helper.make_node("Split", [source], ["", "b", "c"], name="split", axis=1))
    last = file.node("Clip", file.node("Concat", "b", "c", axis=1), "", file.const(1.0, np.float32))
    graph = read_onnx(saved(file, tmp_path / "net.onnx", {file.map(last): TensorProto.FLOAT}))
    read = {name for op in graph.ops for name in op.inputs}
    assert all(op.output in read | set(graph.output_maps) for op in graph.ops)


@pytest.mark.parametrize(("opset", "own", "axis"), [(11, 11, None), (11, 11, 1), (11, 13, 1), (13, 11, 1), (13, 13, 1),
                                                    (13, 11, -1), (11, 13, None)])
def test_softmax_of_integers(opset: int, own: int, axis: int | None, tmp_path: Path) -> None:
    file = File(6, opset=opset)
    q = file.quantize(image_net(file, file.map("x"), 3, 4))
    numbers = [file.const(S, np.float32), file.const(0, np.int8), file.const(2.0**-8, np.float32),
               file.const(-128, np.int8)]
    attrs = {"opset": own} | ({} if axis is None else {"axis": axis})
    file.nodes.append(helper.make_node("QLinearSoftmax", [q, *numbers], ["s"], name="s", domain="com.microsoft",
                                       **attrs))
    path = saved(file, tmp_path / "net.onnx", {file.dequantize("s", 2.0**-8, -128): TensorProto.FLOAT})
    if axis == 1 and (opset < 13) != (own < 13):
        assert "QLinearSoftmax 's'" in refusal(path)
    else:
        agrees(path)


def test_average_of_padding_alone(tmp_path: Path) -> None:
    file = File(7)
    padded = file.node("Pad", file.map("x", S, 3), file.const([0, 0, 3, 3, 0, 0, 3, 3], np.int64))
    pool = file.node("AveragePool", padded, kernel_shape=[2, 2], strides=[2, 2])
    graph = agrees(file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 5)}, [file.map(pool, S / 2)]))
    assert [op.pad for op in graph.ops if isinstance(op, Pool)] == [(0, 0, 0, 0)]


def test_no_axes_mean_all(tmp_path: Path) -> None:
    file = File(8)
    mean = file.map(file.node("GlobalAveragePool", image_net(file, file.map("x"), 3, 4)))
    last = file.node("Squeeze", mean, file.const([], np.int64))
    agrees(file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 5)}, [last]))


def test_quantizer_of_another_domain(tmp_path: Path) -> None:
    file = File(9)
    inputs = ["x", file.const(S, np.float32), file.const(0, np.int8)]
    file.nodes.append(helper.make_node("QuantizeLinear", inputs, ["q"], name="own", domain="com.microsoft.nchwc"))
    path = saved(file, tmp_path / "net.onnx", {image_net(file, file.dequantize("q"), 3, 4): TensorProto.FLOAT})
    model = onnx.load(path)
    model.opset_import.append(helper.make_opsetid("com.microsoft.nchwc", 1))
    onnx.save(model, path)
    assert "QuantizeLinear 'own': operator set 'com.microsoft.nchwc' is not supported" in refusal(path)


INVALID: dict[str, tuple[Build, str]] = {
    "Concat": (lambda f, x: f.map(f.node("Concat", x, x, axis=5)), "the file is not valid: [ShapeInferenceError]"),
    "Unsqueeze": (lambda f, x: f.map(f.node("Unsqueeze", x, f.const([9], np.int64))), "axis value: 9"),
    "Conv": (lambda f, x: f.map(f.node("Conv", x, f.weights(4, 3, 3, 3), strides=[2])), "strides has incorrect size"),
    "MaxPool": (lambda f, x: f.map(f.node("MaxPool", x, kernel_shape=[2, 2], pads=[2, 0, 0, 0])),
                "must be smaller than its kernel"),
    "Add": (lambda f, x: f.map(f.node("Add", x, f.node("Softmax", x))), "reads the Softmax that the host computes"),
}


@pytest.mark.parametrize("name", INVALID)
def test_what_the_runtime_refuses(name: str, tmp_path: Path) -> None:
    build, message = INVALID[name]
    file = File(10)
    last = build(file, file.map("x"))
    assert message in refusal(file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 5)}, [last]))


def test_sparse_constants(tmp_path: Path) -> None:
    file = File(11)
    values = numpy_helper.from_array(np.array([3, 5], np.int8), "weights")
    places = numpy_helper.from_array(np.array([1, 7], np.int64), "")
    sparse = helper.make_sparse_tensor(values, places, [4, 3, 1, 1])
    last = file.map(file.node("Conv", file.map("x"), file.dequantize("weights")))
    path = saved(file, tmp_path / "net.onnx", {last: TensorProto.FLOAT}, sparse_initializer=[sparse])
    assert "constants are stored as sparse tensors" in refusal(path)


@pytest.mark.parametrize("auto", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(("size", "stride", "kernel"), [(8, 2, 1), (8, 3, 2), (8, 4, 2), (7, 4, 1), (9, 4, 2)])
def test_kernels_smaller_than_their_stride(size: int, stride: int, kernel: int, auto: str, tmp_path: Path) -> None:
    """ONNX Runtime's windows begin behind the pixels that are left out, half of them in front."""
    file = File(12)
    conv = file.node("Conv", file.map("x"), file.weights(4, 3, kernel, kernel), strides=[stride] * 2, auto_pad=auto)
    path = file.save(tmp_path / "net.onnx", {"x": (1, 3, size, size)}, [file.map(conv)])
    left_out = size - (-(-size // stride) - 1) * stride - kernel - (auto == "SAME_LOWER")
    if left_out > 1:
        assert f"auto_pad {auto} leaves" in refusal(path)
    else:
        agrees(path)


@pytest.mark.parametrize("then", [None, "scaled"])
def test_layout_between_an_activation_and_a_factor(then: str | None, tmp_path: Path) -> None:
    """The factor is that of the axes that the file has by then."""
    file = File(13)
    clipped = file.node("Relu", image_net(file, file.map("x"), 3, 4))
    turned = file.node("Transpose", clipped, perm=[0, 2, 3, 1])
    factors = file.const([1, 0.5, 2, 0.25], np.float32) if then else file.const(0.5, np.float32)
    last = file.map(file.node("Mul", turned, factors))
    agrees(file.save(tmp_path / "net.onnx", {"x": (1, 3, 4, 4)}, [last]))


CASTS: dict[str, Build] = {
    "softmax": lambda f, x: f.node("Cast", f.quantize(f.node("Softmax", f.map(x)), S, 0), to=TensorProto.FLOAT),
    "map": lambda f, x: f.map(f.node("Cast", f.quantize(x), to=TensorProto.FLOAT)),
    "constant": lambda f, x: f.map(f.node("Add", f.map(x), f.node("Cast", f.quantize(f.const(
        [[[1]], [[2]], [[3]]], np.float32)), to=TensorProto.FLOAT))),
}


@pytest.mark.parametrize("name", CASTS)
def test_integers_that_are_cast(name: str, tmp_path: Path) -> None:
    """They are numbers of their own then, without scale."""
    file = File(14)
    last = CASTS[name](file, "x")
    path = file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 5)}, [last])
    assert "reads integers, not the numbers that they stand for" in refusal(path)


@pytest.mark.parametrize("op", ["AveragePool", "GlobalAveragePool", "ReduceMean"])
def test_averages_of_one_scale_round_ties_to_even(op: str, tmp_path: Path) -> None:
    file = File(15, opset=13)
    attrs = {"AveragePool": {"kernel_shape": [2, 2], "strides": [2, 2]}, "ReduceMean": {"axes": [2, 3]}}.get(op, {})
    mean = file.map(file.node(op, file.map("x", S, 3), **attrs), S, 3)
    path = file.save(tmp_path / "net.onnx", {"x": (1, 16, 4, 4)}, [mean])
    graph = read_onnx(path)
    given = random_inputs(graph, 20, 1)
    expected = RUNTIMES["onnx"][0].run(path, given, keys(graph)).outputs[0]
    assert np.array_equal(file_outputs(graph, run(graph, to_maps(graph, given)).tensors)[0], expected)
