"""What the ONNX reader refuses, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hwgen.embedded import MODEL
from hwgen.errors import HwgenError
from hwgen.model.graph import Op, Tensor, plain_graph
from hwgen.model.onnx_reader import read_onnx
from hwgen.model.onnx_writer import write_onnx
from tests.model.onnx_cases import CASES, residual
from tests.model.onnx_networks import Net, quantise


@pytest.fixture
def quantised(tmp_path: Path) -> Path:
    return quantise(*residual(np.random.default_rng(1)), tmp_path)[0]


def refused(path: Path) -> str:
    with pytest.raises(HwgenError) as caught:
        read_onnx(path)
    return str(caught.value)


def changed(path: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(path)
    change(model)
    target = path.with_name("changed.onnx")
    target.write_bytes(model.SerializeToString())
    return target


def set_constant(model: onnx.ModelProto, name: str, value: np.ndarray) -> None:
    for tensor in model.graph.initializer:
        if tensor.name == name:
            tensor.CopyFrom(numpy_helper.from_array(value, name))
            return
    raise AssertionError(f"no constant {name}")


@pytest.mark.parametrize("content", [b"", b"hello, this is text", bytes(range(256)) * 8, MODEL.read_bytes()[:5000]],
                         ids=["empty", "text", "bytes", "truncated"])
def test_not_onnx(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    assert "this is not an ONNX file" in refused(tmp_path / "x.onnx")


def test_missing_file(tmp_path: Path) -> None:
    assert "there is no such file" in refused(tmp_path / "none.onnx")


@pytest.mark.parametrize("seed", [1, 2])
def test_damaged_files_never_end_in_another_exception(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    sources = [MODEL.read_bytes()] + [quantise(*case(rng), tmp_path)[0].read_bytes() for case in CASES]
    refusals = 0
    for trial in range(400):
        data = bytearray(sources[trial % len(sources)])
        for _ in range(rng.integers(1, 5)):
            data[rng.integers(len(data))] = rng.integers(256)
        path = tmp_path / "damaged.onnx"
        path.write_bytes(bytes(data[: rng.integers(len(data))] if trial % 10 == 0 else data))
        try:
            read_onnx(path)
        except HwgenError:
            refusals += 1
        except Exception as error:
            raise AssertionError(f"seed {seed} trial {trial}: {error!r}") from error
    assert refusals > 100


def test_float_network(tmp_path: Path) -> None:
    net, output = residual(np.random.default_rng(1))
    onnx.save(net.model(output), tmp_path / "float.onnx")
    message = refused(tmp_path / "float.onnx")
    assert "it is not quantised" in message
    assert "quantize_static" in message


def test_preflight_lists_every_unsupported_operator(tmp_path: Path) -> None:
    net = Net(np.random.default_rng(1), (1, 3, 8, 8))
    v = net.conv("x", 4, 3, (3, 3))
    v = net.node("Sigmoid", v)
    v = net.node("Resize", v, "", net.constant([1, 1, 2, 2]))
    v = net.node("Mul", v, v)
    v = net.node("MaxPool", v, kernel_shape=[2, 2], dilations=[2, 2])
    onnx.save(net.model(v), tmp_path / "net.onnx")
    message = refused(tmp_path / "net.onnx")
    for text in ("it is not quantised", "Sigmoid 'sigmoid1': not supported -> train with Relu", "Resize 'resize2'",
                 "Mul 'mul3'", "MaxPool 'maxpool4': dilated pooling -> use dilation 1"):
        assert message.count(text) == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, -0.1])
def test_scales(value: float, quantised: Path) -> None:
    for name in ("v1_scale", "c0_scale"):
        scale = numpy_helper.to_array(next(t for t in onnx.load(quantised).graph.initializer if t.name == name)).copy()
        scale.reshape(-1)[-1] = value

        def change(model: onnx.ModelProto, name: str = name, scale: np.ndarray = scale) -> None:
            set_constant(model, name, scale)

        message = refused(changed(quantised, change))
        assert f"scales must be positive and finite, not {value:g}" in message


def test_batch_and_dynamic_sizes(quantised: Path) -> None:
    def dim(axis: int, value: int | str) -> Callable[[onnx.ModelProto], None]:
        def change(model: onnx.ModelProto) -> None:
            del model.graph.value_info[:]
            target = model.graph.input[0].type.tensor_type.shape.dim[axis]
            target.Clear()
            if isinstance(value, int):
                target.dim_value = value
            else:
                target.dim_param = value
        return change

    assert "input 'x': its batch must be 1, not 4" in refused(changed(quantised, dim(0, 4)))
    message = refused(changed(quantised, dim(2, "height")))
    assert "input 'x': dimension 2 must be a fixed size, not 'height'" in message


def test_sixteen_bit_maps(tmp_path: Path) -> None:
    net, output = residual(np.random.default_rng(1))
    path, _ = quantise(net, output, tmp_path)

    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 21
        model.ir_version = 10
        for tensor in model.graph.initializer:
            if tensor.name == "v1_zero_point":
                tensor.CopyFrom(numpy_helper.from_array(np.array(0, np.int16), tensor.name))
        del model.graph.value_info[:]

    assert "maps must be int8 or uint8, not int16" in refused(changed(path, change))


def test_last_layer_without_quantisation(quantised: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        nodes = [n for n in model.graph.node if n.op_type in ("Clip", "Add")]
        identity = next(n for n in model.graph.node if n.output[0] == "y")
        identity.input[0] = nodes[-1].output[0]

    assert "the output is not quantised" in refused(changed(quantised, change))


def test_reorder_by_reshape(tmp_path: Path) -> None:
    net = Net(np.random.default_rng(1), (1, 4, 4, 4))
    v = net.conv("x", 4, 4, (1, 1))
    v = net.node("Reshape", v, net.constant([1, 2, 8, 4], np.int64))
    path, _ = quantise(net, net.conv(v, 3, 2, (1, 1)), tmp_path)
    assert "in another order than its values are computed in" in refused(path)


def test_bias_that_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "digits.onnx"
    path.write_bytes(MODEL.read_bytes())

    def change(model: onnx.ModelProto) -> None:
        for node in model.graph.node:  # a float bias in place of the quantised one
            if node.op_type == "Conv" and node.name == "dense":
                node.input[2] = "huge"
        model.graph.initializer.append(numpy_helper.from_array(np.full(10, 1e9, np.float32), "huge"))

    message = refused(changed(path, change))
    assert "dense" in message
    assert "does not fit 32 bits" in message


def test_writer_refuses_what_onnx_cannot_state(tmp_path: Path) -> None:
    tensors = {name: Tensor(name, (1, 2, 2, 1), 0.1, 0) for name in "ab"}

    graph = plain_graph("g", "onnx", tensors, (Op(name="strange", inputs=("a",), output="b"),), "a", "b")
    with pytest.raises(HwgenError, match="strange: ONNX has no Op"):
        write_onnx(graph, tmp_path / "x.onnx")
