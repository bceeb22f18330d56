"""What ONNX files may do between layers and at their ends: every variant equal to ONNX Runtime on the same file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen.golden.graph import run
from hwgen.golden.host import file_outputs
from hwgen.golden.inputs import random_inputs, to_maps
from hwgen.model.graph import Graph
from hwgen.model.onnx_reader import read_onnx
from hwgen.reference.runtime import RUNTIMES
from hwgen.verify.reference import compare, keys

pytest.importorskip("onnxruntime")

S = 0.0625
"""Scales are powers of two, so that ONNX Runtime's float arithmetic is exact and a tie is a tie to both."""


class File:
    """A quantised network, node by node."""

    def __init__(self, seed: int, *, opset: int = 17) -> None:
        self.rng = np.random.default_rng(seed)
        self.opset = opset
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def const(self, value: Any, dtype: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, op: str, *inputs: str, **attrs: Any) -> str:
        output = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=f"n{len(self.nodes)}", **attrs))
        return output

    def quantize(self, source: str, scale: float = S, zero: int = 0, dtype: Any = np.int8) -> str:
        return self.node("QuantizeLinear", source, self.const(scale, np.float32), self.const(zero, dtype))

    def dequantize(self, source: str, scale: float = S, zero: int = 0, dtype: Any = np.int8) -> str:
        return self.node("DequantizeLinear", source, self.const(scale, np.float32), self.const(zero, dtype))

    def map(self, source: str, scale: float = S, zero: int = 0, dtype: Any = np.int8) -> str:
        return self.dequantize(self.quantize(source, scale, zero, dtype), scale, zero, dtype)

    def weights(self, *shape: int) -> str:
        q = self.const(self.rng.integers(-127, 128, shape), np.int8)
        return self.dequantize(q, 2.0**-7)

    def save(self, path: Path, inputs: dict[str, tuple[Any, ...]], outputs: list[str],
             kind: int = TensorProto.FLOAT, result: int = TensorProto.FLOAT) -> Path:
        graph = helper.make_graph(self.nodes, "net",
                                  [helper.make_tensor_value_info(n, kind, s) for n, s in inputs.items()],
                                  [helper.make_tensor_value_info(n, result, None) for n in outputs], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=10)
        onnx.save(model, path)
        return path


def agrees(path: Path, seed: int = 1) -> Graph:
    """The file's graph, which gives what ONNX Runtime gives: values, shapes, types and order."""
    graph = read_onnx(path)
    given = random_inputs(graph, 3, seed)
    runtime = RUNTIMES["onnx"][0]
    answers = runtime.run(path, given, keys(graph))
    report = compare(graph, given, [(runtime, answers)])
    assert report.equal and report.values, report.summary
    ours = file_outputs(graph, run(graph, to_maps(graph, given)).tensors)
    for a, b in zip(ours, answers.outputs, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert np.allclose(a.astype(float), b.astype(float), atol=2 * S), path
    return graph


def image_net(file: File, source: str, channels: int, out: int) -> str:
    return file.map(file.node("Conv", source, file.weights(out, channels, 3, 3), pads=[1, 1, 1, 1]))


LAYOUTS: dict[str, tuple[tuple[int, ...], Callable[[File, str], str]]] = {
    "first transpose swaps height and width": (
        (1, 3, 6, 6), lambda f, x: image_net(f, f.map(f.node("Transpose", x, perm=[0, 1, 3, 2])), 3, 4)),
    "first transpose behind the quantiser": (
        (1, 3, 6, 5), lambda f, x: image_net(f, f.node("Transpose", f.map(x), perm=[0, 1, 3, 2]), 3, 4)),
    "channels last": ((1, 5, 6, 3), lambda f, x: image_net(f, f.node("Transpose", f.map(x), perm=[0, 3, 1, 2]), 3, 4)),
    "last transpose": ((1, 3, 6, 5), lambda f, x: f.node("Transpose", image_net(f, f.map(x), 3, 4), perm=[0, 2, 3, 1])),
    "last transpose swaps height and width": (
        (1, 3, 5, 5), lambda f, x: f.node("Transpose", image_net(f, f.map(x), 3, 4), perm=[0, 1, 3, 2])),
    "last flatten": ((1, 3, 6, 5), lambda f, x: f.node("Flatten", image_net(f, f.map(x), 3, 4))),
    "last reshape": (
        (1, 3, 6, 5), lambda f, x: f.node("Reshape", image_net(f, f.map(x), 3, 4), f.const([1, 4, 30], np.int64))),
    "flatten and dense": (
        (1, 3, 4, 5), lambda f, x: f.map(f.node("Gemm", f.node("Flatten", image_net(f, f.map(x), 3, 4)),
                                                f.weights(80, 7)))),
    "transpose, flatten and dense": (
        (1, 3, 4, 4), lambda f, x: f.map(f.node("Gemm", f.node("Flatten", f.node(
            "Transpose", image_net(f, f.map(x), 3, 4), perm=[0, 3, 2, 1])), f.weights(64, 7)))),
    "dense on three dimensions": (
        (1, 6, 8), lambda f, x: f.map(f.node("MatMul", f.map(x), f.weights(8, 5)))),
    "dense on four dimensions": (
        (1, 3, 6, 8), lambda f, x: f.map(f.node("MatMul", f.map(x), f.weights(8, 5)))),
    "vector to image": (
        (1, 48), lambda f, x: image_net(f, f.node("Reshape", f.map(x), f.const([1, 1, 6, 8], np.int64)), 1, 4)),
    "one dimension": (
        (1, 4, 20), lambda f, x: f.map(f.node("Conv", f.map(x), f.weights(5, 4, 3), pads=[1, 1], strides=[2]))),
    "one dimension, unsqueezed": (
        (1, 4, 20), lambda f, x: f.map(f.node("Conv", f.node("Unsqueeze", f.map(x), f.const([2], np.int64)),
                                              f.weights(5, 4, 1, 3)))),
    "one dimension, pooled": (
        (1, 4, 20), lambda f, x: f.map(f.node("AveragePool", f.map(f.node("MaxPool", f.map(x), kernel_shape=[2],
                                                                          strides=[2])), kernel_shape=[5]))),
    "squeezed means": (
        (1, 3, 6, 5), lambda f, x: f.node("Squeeze", f.node("Squeeze", f.map(f.node(
            "GlobalAveragePool", image_net(f, f.map(x), 3, 4))), f.const([3], np.int64)), f.const([2], np.int64))),
    "mean over height": (
        (1, 3, 6, 5), lambda f, x: f.map(f.node("ReduceMean", image_net(f, f.map(x), 3, 4), axes=[2], keepdims=0))),
    "mean over both, dropped": (
        (1, 3, 6, 5), lambda f, x: f.map(f.node("ReduceMean", image_net(f, f.map(x), 3, 4), axes=[-1, -2],
                                                keepdims=0))),
    "joined after transposes": (
        (1, 3, 5, 5), lambda f, x: f.map(f.node("Concat", *(f.node("Transpose", image_net(f, f.map(x), 3, 4),
                                                                   perm=[0, 2, 3, 1]) for _ in range(2)), axis=3))),
    "joined along height": (
        (1, 3, 5, 6), lambda f, x: f.map(f.node("Concat", image_net(f, f.map(x), 3, 4), image_net(f, f.map(x), 3, 4),
                                                axis=2))),
    "sum of transposed maps": (
        (1, 3, 5, 5), lambda f, x: f.map(f.node("Add", *(f.node("Transpose", image_net(f, f.map(x), 3, 4),
                                                                perm=[0, 2, 3, 1]) for _ in range(2))))),
    "a constant for each channel": (
        (1, 3, 5, 6), lambda f, x: f.map(f.node("Add", f.map(x), f.const([[[[S]], [[-S]], [[3 * S]]]], np.float32)))),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str, tmp_path: Path) -> None:
    shape, build = LAYOUTS[name]
    file = File(len(name))
    output = build(file, "x")
    agrees(file.save(tmp_path / "net.onnx", {"x": shape}, [output]))


INTEGERS: dict[str, Callable[[File, str], str]] = {
    "padded with 0": lambda f, q: f.node("Pad", q, f.const([0, 0, 1, 2, 0, 0, 2, 1], np.int64)),
    "padded with a number": lambda f, q: f.node("Pad", q, f.const([0, 0, 1, 2, 0, 0, 2, 1], np.int64),
                                                f.const(7, np.int8)),
    "maxima": lambda f, q: f.node("MaxPool", q, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    "transposed": lambda f, q: f.node("Transpose", q, perm=[0, 1, 3, 2]),
    "joined": lambda f, q: f.node("Concat", q, f.quantize("x", S, 5), axis=1),
    "nothing": lambda f, q: q,
}


@pytest.mark.parametrize("zero", [0, -128, 5])
@pytest.mark.parametrize("name", INTEGERS)
def test_integers_between_the_quantisers(name: str, zero: int, tmp_path: Path) -> None:
    file = File(len(name))
    q = file.quantize("x", S, 5 if name == "joined" else zero)
    real = file.dequantize(INTEGERS[name](file, q), S / 2, zero)
    channels = 6 if name == "joined" else 3
    agrees(file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 6)}, [image_net(file, real, channels, 4)]))


@pytest.mark.parametrize("value", [0.0, 1.0, -2.0])
def test_real_padding(value: float, tmp_path: Path) -> None:
    file = File(3)
    pads, number = file.const([0, 0, 1, 2, 0, 0, 2, 1], np.int64), file.const(value, np.float32)
    real = file.map(file.node("Pad", file.map("x", S, 9), pads, number), S, 9)
    agrees(file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 6)}, [image_net(file, real, 3, 4)]))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(("opset", "axis"), [(11, None), (11, 1), (11, 2), (11, -1), (13, None), (13, 1), (13, -2)])
def test_softmax_of_an_operator_set(op: str, opset: int, axis: int | None, tmp_path: Path) -> None:
    file = File(4, opset=opset)
    last = file.node(op, image_net(file, file.map("x"), 3, 4), **({} if axis is None else {"axis": axis}))
    agrees(file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 5)}, [last]))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_behind_the_softmax(dtype: Any, tmp_path: Path) -> None:
    file = File(5)
    soft = file.node("Softmax", image_net(file, file.map("x"), 3, 4), axis=1)
    low = int(np.iinfo(dtype).min)
    q = file.quantize(file.node("Transpose", soft, perm=[0, 2, 3, 1]), 2.0**-8, low, dtype)
    kind = TensorProto.INT8 if dtype is np.int8 else TensorProto.UINT8
    graph = agrees(file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 5)}, [q], result=kind))
    assert graph.outputs[0].zero_point == low


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_integer_ends(dtype: Any, tmp_path: Path) -> None:
    file = File(6)
    zero = 3 if dtype is np.int8 else 130
    kind = TensorProto.INT8 if dtype is np.int8 else TensorProto.UINT8
    turned = file.node("Transpose", "x", perm=[0, 3, 1, 2])
    real = image_net(file, file.dequantize(turned, S, zero, dtype), 3, 4)
    graph = agrees(file.save(tmp_path / "net.onnx", {"x": (1, 6, 5, 3)}, [file.quantize(real, S, zero, dtype)],
                             kind, kind))
    assert graph.inputs[0].type == graph.outputs[0].type == np.dtype(dtype).name


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    file = File(7)
    a, b = (image_net(file, file.map(name), 3, 4) for name in ("a", "b"))
    both = file.map(file.node("Add", a, b))
    soft = file.node("Softmax", file.map(file.node("Gemm", file.node("Flatten", both), file.weights(4 * 30, 7))))
    graph = agrees(file.save(tmp_path / "net.onnx", {"a": (1, 3, 6, 5), "b": ("n", 3, 6, 5)}, [soft, a, both]))
    assert [port.name for port in graph.inputs] == ["a", "b"] and len(graph.outputs) == 3


@pytest.mark.parametrize("dtype", ["int4", "uint4", "int2", "uint2"])
def test_narrow_weights(dtype: str, tmp_path: Path) -> None:
    import ml_dtypes

    file = File(8, opset=25 if dtype.endswith("2") else 21)
    kind = np.dtype(getattr(ml_dtypes, dtype))
    low, high = {"int4": (-8, 8), "uint4": (0, 16), "int2": (-2, 2), "uint2": (0, 4)}[dtype]
    values = file.rng.integers(low, high, (4, 3, 3, 3))
    q = file.const(values, kind)
    scales = file.const(2.0 ** -np.arange(1, 5), np.float32)
    zeros = file.const([0 if low else high // 2] * 4, kind)
    weights = file.node("DequantizeLinear", q, scales, zeros, axis=0)
    last = file.map(file.node("Conv", file.map("x"), weights))
    path = file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 5)}, [last])
    graph = read_onnx(path)
    expected = values.transpose(0, 2, 3, 1) - (0 if low else high // 2)
    assert (graph.ops[0].weight == expected).all()  # type: ignore[attr-defined]
    if dtype.endswith("4"):  # ONNX Runtime has no convolution of 2 bits
        agrees(path)


@pytest.mark.parametrize(("op", "attrs", "message"), [
    ("QuantizeLinear", {"block_size": 2}, "(block_size)"),
    ("QuantizeLinear", {"precision": TensorProto.FLOAT16}, "(precision)"),
    ("DequantizeLinear", {"block_size": 2}, "(block_size)"),
    ("QuantizeLinear", {"output_dtype": TensorProto.UINT8}, "the zero point is int8, output_dtype uint8"),
    ("QuantizeLinear", {"output_dtype": TensorProto.INT16}, "the zero point is int8, output_dtype int16"),
    ("DequantizeLinear", {"output_dtype": TensorProto.FLOAT16}, "(output_dtype)"),
])
def test_attributes_that_change_the_meaning(op: str, attrs: dict[str, int], message: str, tmp_path: Path) -> None:
    from hwgen.errors import HwgenError

    file = File(9, opset=23)
    last = image_net(file, file.map("x"), 3, 4)
    node = next(n for n in file.nodes if n.op_type == op and n.input[0] in ("x", "t0"))
    node.attribute.extend(helper.make_attribute(k, v) for k, v in attrs.items())
    with pytest.raises(HwgenError) as error:
        read_onnx(file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 5)}, [last]))
    assert message in str(error.value) and f"{op} 'n" in str(error.value)


@pytest.mark.parametrize("output_dtype", [TensorProto.INT8, TensorProto.UINT8, 0])
def test_type_without_a_zero_point(output_dtype: int, tmp_path: Path) -> None:
    file = File(10, opset=21)
    attrs = {"output_dtype": output_dtype} if output_dtype else {}
    q = file.node("QuantizeLinear", "x", file.const(S, np.float32), **attrs)
    real = file.node("DequantizeLinear", q, file.const(S, np.float32))
    agrees(file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 5)}, [image_net(file, real, 3, 4)]))


@pytest.mark.parametrize("out", [S, S / 3, 0.05])
@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize(("pads", "ceil"), [([0, 0, 0, 0], 0), ([1, 1, 1, 1], 0), ([1, 0, 0, 2], 0), ([1, 0, 0, 1], 1),
                                            ([0, 0, 0, 0], 1)])
def test_averages_are_rounded_once(pads: list[int], ceil: int, include: int, out: float, tmp_path: Path) -> None:
    file = File(11, opset=19)
    pool = file.node("AveragePool", file.map("x", S, 7), kernel_shape=[3, 3], strides=[2, 2], pads=pads, ceil_mode=ceil,
                     count_include_pad=include)
    agrees(file.save(tmp_path / "net.onnx", {"x": (1, 3, 8, 7)}, [file.map(pool, out, -3)]))


def test_maps_between_layers_may_not_be_absurdly_large(tmp_path: Path) -> None:
    from hwgen.errors import HwgenError

    file = File(12)
    pads = file.const([0, 0, 1 << 40, 0, 0, 0, 0, 0], np.int64)
    last = image_net(file, file.node("Pad", file.map("x"), pads), 3, 4)
    with pytest.raises(HwgenError, match=r"has more than 2\^28 values"):
        read_onnx(file.save(tmp_path / "net.onnx", {"x": (1, 3, 6, 5)}, [last]))
