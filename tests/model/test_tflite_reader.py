"""What the reader makes of good files, and what it says about bad ones."""

from __future__ import annotations

import time

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.golden.graph import run
from hwgen.model import load_model
from hwgen.model.graph import Add, Concat, Conv, Pad, Pool, Requantize, Reshape
from hwgen.model.tflite_reader import read_tflite
from tests.model.tflite_cases import build, conv, pool
from tests.shared_data import INT8_NETWORKS, shared_file
from tests.tflite_builder import TfliteBuilder

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("name", INT8_NETWORKS)
def test_public_networks(name):
    graph = load_model(shared_file("models", f"{name}.tflite"))
    assert len({op.name for op in graph.ops}) == len(graph.ops)
    assert not any(isinstance(op, Reshape | Pad) for op in graph.ops)
    assert graph.tensors[graph.output].shape[:3] == (1, 1, 1)
    known = {graph.input}
    for op in graph.ops:
        assert set(op.inputs) <= known and op.output not in known
        known.add(op.output)
    assert known == set(graph.tensors)


@pytest.mark.parametrize(("name", "kinds"), [
    ("pad_folded", [Conv]), ("pad_kept", [Pad, Pool]), ("reshape_kept", [Reshape, Conv]),
    ("flatten_dense", [Conv]), ("relu6", [Requantize]), ("mean_same_scale", [Pool]),
    ("concatenation_of_rows", [Conv, Concat]), ("add_swapped", [Conv, Add])])
def test_lowering(name, kinds, tmp_path):
    assert [type(op) for op in read_tflite(build(name, tmp_path, 1)).ops] == kinds


def test_folded_padding_adds_up(tmp_path):
    (op,) = read_tflite(build("pad_folded", tmp_path, 1)).ops
    assert op.pad == (1, 2, 0, 2)


def test_dense_kernel_covers_the_map(tmp_path):
    op = read_tflite(build("flatten_dense", tmp_path, 1)).ops[0]
    assert op.weight.shape == (7, 4, 3, 5)


def test_first_operand_of_an_add_has_the_larger_scale(tmp_path):
    graph = read_tflite(build("add_swapped", tmp_path, 1))
    op = graph.ops[-1]
    assert graph.tensors[op.inputs[0]].scale > graph.tensors[op.inputs[1]].scale
    assert (op.multiplier[0], op.shift[0]) == (2**30, 0)


def test_concatenation_rescales_inputs_of_another_scale(tmp_path):
    b = TfliteBuilder()
    x, y = b.tensor((1, 2, 2, 1), scale=0.1, zero_point=4), b.tensor((1, 2, 2, 1), scale=0.05, zero_point=4)
    conv(b, RNG, x, (1, 1, 1, 1), y)
    z = b.op("CONCATENATION", [x, y], b.tensor((1, 2, 2, 2), scale=0.05, zero_point=4), Axis=3)
    graph = read_tflite(b.save(tmp_path / "m.tflite", [x], [z]))
    assert [type(op) for op in graph.ops] == [Conv, Requantize, Concat]
    q = np.array([[[[-3], [4]], [[10], [127]]]], np.int8)
    assert run(graph, q).output[0, :, :, 0].tolist() == [[-10, 4], [16, 127]]


def test_float_ends_run_on_the_host(tmp_path):
    b = TfliteBuilder()
    x = b.tensor((1, 4, 4, 2), scale=None, dtype="float32")
    q = b.op("QUANTIZE", [x], b.tensor((1, 4, 4, 2)))
    flat = b.tensor((1, 32))
    b.op("RESHAPE", [q, b.constant(np.array([1, 32], np.int32))], flat)
    weight = b.constant(np.ones((3, 32), np.int8), scale=0.01)
    y = b.op("FULLY_CONNECTED", [flat, weight], b.tensor((1, 3), scale=0.2))
    z = b.op("DEQUANTIZE", [y], b.tensor((1, 3), scale=None, dtype="float32"))
    s = b.op("SOFTMAX", [z], b.tensor((1, 3), scale=None, dtype="float32"), Beta=2.0)
    graph = read_tflite(b.save(tmp_path / "m.tflite", [x], [s]))
    assert [type(op) for op in graph.ops] == [Conv]
    assert [step.kind for step in graph.host_steps] == ["quantize", "dequantize", "softmax"]
    assert graph.host_steps[-1].attrs["beta"] == 2.0
    assert graph.tensors[graph.input].shape == (1, 4, 4, 2) and graph.tensors[graph.output].shape == (1, 1, 1, 3)


def test_names_are_unique_even_when_the_file_has_none(tmp_path):
    b = TfliteBuilder()
    x, y, z = (b.tensor((1, 2, 2, 1), name="") for _ in range(3))
    conv(b, RNG, x, (1, 1, 1, 1), y)
    conv(b, RNG, y, (1, 1, 1, 1), z)
    graph = read_tflite(b.save(tmp_path / "m.tflite", [x], [z]))
    assert len({op.name for op in graph.ops}) == 2 and len(graph.tensors) == 3


def refuse(tmp_path, b: TfliteBuilder, x, y, *patterns: str) -> str:
    """Read a network that must be refused with messages that hold all patterns."""
    path = b.save(tmp_path / "m.tflite", [x] if isinstance(x, int) else x, [y] if isinstance(y, int) else y)
    with pytest.raises(HwgenError) as error:
        read_tflite(path)
    for pattern in patterns:
        assert pattern in str(error.value)
    return str(error.value)


def test_every_unsupported_operator_is_listed_once(tmp_path):
    b = TfliteBuilder()
    a = b.tensor((1, 4, 4, 2), name="entry")
    c = b.op("LOGISTIC", [a], b.tensor((1, 4, 4, 2), name="gate"))
    d = conv(b, RNG, c, (2, 1, 1, 2), b.tensor((1, 4, 4, 2), name="good"))
    e = b.op("TANH", [d], b.tensor((1, 4, 4, 2), name="squash"))
    f = b.op("GATHER", [e, c], b.tensor((1, 4, 4, 2), name="pick"))
    g = b.op("SOFTMAX", [f], b.tensor((1, 4, 4, 2), name="inner"), Beta=1.0)
    h = conv(b, RNG, g, (2, 1, 1, 2), b.tensor((1, 4, 4, 2), name="end"), FusedActivationFunction=4)
    text = refuse(tmp_path, b, a, h, "LOGISTIC 'gate'", "TANH 'squash'", "GATHER 'pick'",
                  "SOFTMAX 'inner': runs on the host", "CONV_2D 'end': fused activation 4", "-> replace it by")
    assert "good" not in text


def one_conv(x: dict | None = None, y: dict | None = None, shape=(2, 1, 1, 2), **options):
    b = TfliteBuilder()
    entry = b.tensor(**{"shape": (1, 4, 4, 2), **(x or {})})
    return b, entry, conv(b, RNG, entry, shape, b.tensor(**{"shape": (1, 4, 4, 2), **(y or {})}), **options)


@pytest.mark.parametrize(("x", "y", "message"), [
    ({"scale": float("nan")}, {}, "the scale of 't0' must be finite and positive, not nan"),
    ({"scale": 0.0}, {}, "the scale of 't0' must be finite and positive, not 0.0"),
    ({}, {"scale": -0.5}, "the scale of 't1' must be finite and positive, not -0.5"),
    ({}, {"scale": float("inf")}, "must be finite and positive, not inf"),
    ({}, {"scale": 1e-11}, "CONV_2D 't1': the output scale is so small that sums, up to "),
    ({}, {"scale": 1e-40}, "times 2**122 overflow 32 bits in TFLite's kernels"),
    ({"scale": None}, {}, "'t0' must have one scale, not 0"),
    ({}, {"scale": [0.1, 0.2], "zero_point": [0, 0]}, "'t1' must have one scale, not 2"),
    ({"zero_point": 128}, {}, "the zero point of 't0' must be in [-128, 127], not 128"),
    ({"shape": (2, 4, 4, 2)}, {}, "must have batch 1, not 2"),
    ({}, {"shape": (3, 4, 4, 2)}, "'t1' must have batch 1, not 3"),
    ({"signature": (-1, -1, -1, 2)}, {}, "must have a fixed size, not [-1, -1, -1, 2]"),
    ({"dtype": "int16"}, {"dtype": "int16"}, "computes in int16, not in int8"),
    ({"dtype": "float32"}, {"dtype": "float32"}, "the network computes in float32, not in int8"),
    ({}, {"dtype": "int32"}, "computes in int32, not in int8"),
    ({"shape": (1, 4, 4, 3)}, {}, "do not fit 3 input channels"),
    ({}, {"shape": (1, 4, 4, 3)}, "it has 2 filters but 3 output channels"),
    ({}, {"shape": (1, 4, 3, 2)}, "does not follow from its input and window"),
    ({"shape": (1, 1 << 15, 1 << 15, 2)}, {}, "'t0' must hold at most 268435456 values, not 2147483648"),
    ({"shape": (1, 1, 4, 4, 2)}, {}, "must have 1 to 4 dimensions"),
])
def test_wrong_tensors(x, y, message, tmp_path):
    refuse(tmp_path, *one_conv(x, y), message)


def test_a_batch_left_open_is_accepted(tmp_path):
    b, x, y = one_conv({"signature": (-1, 4, 4, 2)})
    assert len(read_tflite(b.save(tmp_path / "m.tflite", [x], [y])).ops) == 1


@pytest.mark.parametrize("options", [{"StrideH": 0}, {"StrideW": -1}, {"DilationHFactor": 0}])
def test_wrong_windows(options, tmp_path):
    refuse(tmp_path, *one_conv(**options), "must be positive")


def test_windows_beyond_reason(tmp_path):
    refuse(tmp_path, *one_conv(shape=(2, 3, 3, 2), Padding=0, DilationHFactor=1 << 15, DilationWFactor=1 << 15),
           "is too large for this tool")
    b = TfliteBuilder()
    x, y = b.tensor((1, 4, 4, 2)), b.tensor((1, 4, 4, 2))
    pool(b, x, y, "MAX_POOL_2D", Padding=0, FilterHeight=1 << 10, FilterWidth=1 << 10)
    refuse(tmp_path, b, x, y, "kernel (1024, 1024) with dilation (1, 1) is too large for this tool")


def test_wrong_weight_scales(tmp_path):
    for scale, message in ((np.float32([0.1, np.nan]), "its weight scales must be finite and not negative"),
                           (np.float32([0.1, -0.1]), "its weight scales must be finite and not negative"),
                           (np.float32([0.1] * 3), "its weights must have 1 or 2 scales along axis 0, not 3"),
                           (None, "its weights must have 1 or 2 scales along axis 0, not 0")):
        b = TfliteBuilder()
        x, y = b.tensor((1, 4, 4, 2)), b.tensor((1, 4, 4, 2))
        weight = b.constant(np.ones((2, 1, 1, 2), np.int8), scale=scale)
        b.op("CONV_2D", [x, weight], y, StrideH=1, StrideW=1)
        refuse(tmp_path, b, x, y, message, "CONV_2D 't1'")


@pytest.mark.parametrize(("inputs", "outputs", "message"), [
    ([0, 0], [1], "an input is listed twice"),
    ([0], [], "must have inputs and outputs, not 1 and 0"),
    ([1], [1], "tensor 1 is written twice"),
])
def test_wrong_ends(inputs, outputs, message, tmp_path):
    b, *_ = one_conv()
    refuse(tmp_path, b, inputs, outputs, message)


@pytest.mark.parametrize(("kind", "inputs"), [("ADD", [0]), ("ADD", [0, -1]), ("CONV_2D", [0]), ("MEAN", [0]),
                                              ("RELU", []), ("RELU", [-1]), ("CONCATENATION", [0, -1])])
def test_missing_inputs(kind, inputs, tmp_path):
    b = TfliteBuilder()
    x, y = b.tensor((1, 2, 2, 2)), b.tensor((1, 2, 2, 2))
    b.op(kind, inputs, y)
    refuse(tmp_path, b, x, y, f"{kind} 't1': ", "missing")


@pytest.mark.parametrize(("paddings", "shape", "message"), [
    ([[0, 0], [1, 1], [1, 1], [0, 1]], (1, 4, 4, 3), "padding of batch or channels is not supported"),
    ([[0, 0], [1, 1], [1, 1], [0, 0]], (1, 4, 5, 2), "its output shape does not follow from its paddings"),
    ([[0, 0], [1, -1], [0, 0], [0, 0]], (1, 2, 2, 2), "its paddings must be 4 pairs of counts"),
    ([[1, 1], [1, 1]], (1, 4, 4, 2), "its paddings must be 4 pairs of counts")])
def test_wrong_paddings(paddings, shape, message, tmp_path):
    b = TfliteBuilder()
    x = b.tensor((1, 2, 2, 2))
    y = b.op("PAD", [x, b.constant(np.array(paddings, np.int32))], b.tensor(shape))
    refuse(tmp_path, b, x, y, message)


@pytest.mark.parametrize(("axes", "shape", "message"), [
    ([3], (1, 2, 2, 1), "a mean must go over height, width or both"),
    ([1, 4], (1, 1, 2, 2), "must lie within 4 dimensions"),
    ([2], (1, 3, 2), "a mean that drops one spatial axis must keep dimensions")])
def test_wrong_means(axes, shape, message, tmp_path):
    b = TfliteBuilder()
    x = b.tensor((1, 3, 2, 2))
    y = b.op("MEAN", [x, b.constant(np.array(axes, np.int32))], b.tensor(shape))
    refuse(tmp_path, b, x, y, message)


def test_wrong_concatenations(tmp_path):
    for axis, shape, message in ((0, (1, 2, 2, 2), "along the batch is not supported"),
                                 (3, (1, 2, 2, 5), "do not add up"), (7, (1, 2, 2, 4), "must lie within 4")):
        b = TfliteBuilder()
        x = b.tensor((1, 2, 2, 2))
        y = b.op("CONCATENATION", [x, x], b.tensor(shape), Axis=axis)
        refuse(tmp_path, b, x, y, message)


def test_layers_out_of_order(tmp_path):
    b = TfliteBuilder()
    x, y, z = (b.tensor((1, 2, 2, 1)) for _ in range(3))
    conv(b, RNG, y, (1, 1, 1, 1), z)
    conv(b, RNG, x, (1, 1, 1, 1), y)
    refuse(tmp_path, b, x, z, "tensor 1 is read before any operator writes it")


def test_pools_must_keep_their_scale(tmp_path):
    b = TfliteBuilder()
    x, y = b.tensor((1, 4, 4, 2), scale=0.1), b.tensor((1, 2, 2, 2), scale=0.2)
    pool(b, x, y, "MAX_POOL_2D", StrideH=2, StrideW=2, FilterHeight=2, FilterWidth=2)
    refuse(tmp_path, b, x, y, "input and output must share scale and zero point")


def test_adds_that_broadcast_or_take_constants(tmp_path):
    b = TfliteBuilder()
    x, y = b.tensor((1, 4, 4, 2)), b.tensor((1, 1, 1, 2))
    pool(b, x, y, "AVERAGE_POOL_2D", FilterHeight=4, FilterWidth=4)
    z = b.op("ADD", [x, y], b.tensor((1, 4, 4, 2)))
    w = b.op("ADD", [z, b.constant(np.ones((1, 4, 4, 2), np.int8), scale=0.1)], b.tensor((1, 4, 4, 2)))
    refuse(tmp_path, b, x, w, "its operands have different shapes",
           "a constant of shape [1, 4, 4, 2] and a map of [1, 4, 4, 2]")


@pytest.mark.parametrize("beta", [float("nan"), 0.0, -1.0, float("inf")])
def test_beta_of_a_softmax(beta, tmp_path):
    b = TfliteBuilder()
    x = b.tensor((1, 7))
    y = b.op("SOFTMAX", [x], b.tensor((1, 7), scale=1 / 256, zero_point=-128), Beta=beta)
    refuse(tmp_path, b, x, y, "SOFTMAX", "its beta must be finite and positive")


@pytest.mark.parametrize(("content", "message"), [
    (b"", "not a TFLite file"), (b"hello world, this is text", "not a TFLite file"),
    (bytes(range(256)) * 8, "not a TFLite file"), (b"\xff\xff\xff\xffTFL3" + b"\xff" * 100, "damaged or truncated"),
    (b"\x08\x00\x00\x00TFL3", "damaged or truncated")])
def test_other_files(content, message, tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    with pytest.raises(HwgenError, match=message):
        load_model(path)


def test_paths(tmp_path):
    with pytest.raises(HwgenError, match="the model file does not exist"):
        load_model(tmp_path / "none.tflite")
    with pytest.raises(HwgenError, match="the model must be a file"):
        load_model(tmp_path)
    (tmp_path / "m.bin").write_bytes(b"1234567890")
    with pytest.raises(HwgenError, match=r"the model must be a .tflite or .onnx file"):
        load_model(tmp_path / "m.bin")
    renamed = build("relu6", tmp_path, 1).rename(tmp_path / "m.dat")
    assert load_model(renamed).source == "tflite"


def test_damage_never_shows_as_another_exception(tmp_path):
    """Every truncation and 1,500 random changes of bytes: read, or refused in one message, and quickly."""
    data = build("flatten_dense", tmp_path, 1).read_bytes()
    rng, refused = np.random.default_rng(9), 0
    broken = [data[:size] for size in range(0, len(data), 7)]
    for _ in range(1500):
        changed = bytearray(data)
        for position in rng.integers(0, len(data), rng.integers(1, 5)):
            changed[position] = int(rng.integers(0, 256))
        broken.append(bytes(changed))
    path = tmp_path / "broken.tflite"
    for content in broken:
        path.write_bytes(content)
        start = time.perf_counter()
        try:
            read_tflite(path)
        except HwgenError:
            refused += 1
        assert time.perf_counter() - start < 5
    assert refused > len(broken) // 4
