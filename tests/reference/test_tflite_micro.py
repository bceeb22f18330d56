"""The golden model equals TFLite Micro on every layer of public networks and of networks made for the purpose."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.golden.graph import run
from hwgen.golden.tflite_softmax import log_softmax, softmax
from hwgen.model import load_model
from hwgen.reference.runtime import RefusalError
from hwgen.reference.tflite_micro import run as run_micro
from tests.model.tflite_cases import CASES, build
from tests.references import compared
from tests.shared_data import INT8_NETWORKS, shared_file
from tests.tflite_builder import TfliteBuilder

pytest.importorskip("tflite_micro")


def check(path, seed: int, images: int) -> None:
    graph = load_model(path)
    x = np.random.default_rng(seed).integers(-128, 128, (images, *graph.tensors[graph.input].shape[1:]))
    report = compared(path, graph, x.astype(np.int8))
    assert report.values and not report.different and report.equal, f"seed {seed}: {report.summary}"
    assert report.end_to_end is None or not report.end_to_end["different"], f"seed {seed}: {report.summary}"


@pytest.mark.parametrize("name", INT8_NETWORKS)
def test_public_networks_on_random_inputs(name):
    check(shared_file("models", f"{name}.tflite"), 11, 3)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", list(CASES))
def test_single_operators(name, seed, tmp_path):
    check(build(name, tmp_path, seed), seed, 20)


def test_comparison_sees_a_difference(tmp_path):
    """A requantisation off by one zero point must show in exactly the layer it is in."""
    path = build("requantize", tmp_path, 1)
    graph = load_model(path)
    object.__setattr__(graph.ops[0].requant, "zero_point", graph.ops[0].requant.zero_point + 1)
    x = np.zeros((2, 6, 6, 3), np.int8)
    report = compared(path, graph, x)
    assert report.different == 216 and not report.equal
    assert "QUANTIZE 't1', (y, x, c) = (0, 0, 0), image 0" in report.examples[0]


@pytest.mark.parametrize("kind", ["CONV_2D", "FULLY_CONNECTED"])
@pytest.mark.parametrize("seed", range(4))
def test_the_last_bits_of_multipliers(kind, seed, tmp_path):
    """Accumulators (here biases) around every tie, where a multiplier that is off by some parts in 2**31 shows."""
    rng = np.random.default_rng(seed)
    b = TfliteBuilder()
    scale_in, scale_weight = (np.float32(rng.uniform(0.01, 0.1)) for _ in range(2))
    scale_out = np.float32(float(scale_in) * float(scale_weight) * rng.uniform(1e7, 1.5e7))
    ratio = float(scale_in) * float(scale_weight) / float(scale_out)
    ties = np.round((np.arange(-120, 120) + 0.5) / ratio).astype(np.int64)
    bias = (ties[:, None] + np.arange(-80, 81, 2)).ravel()
    assert np.abs(bias).max() < 2**31
    x = b.tensor((1, 1, 1, 1), scale=scale_in)
    shape = (len(bias), 1) if kind == "FULLY_CONNECTED" else (len(bias), 1, 1, 1)
    y = b.tensor((1, len(bias)) if kind == "FULLY_CONNECTED" else (1, 1, 1, len(bias)), scale=scale_out)
    options = {} if kind == "FULLY_CONNECTED" else {"StrideH": 1, "StrideW": 1}
    b.op(kind, [x, b.constant(np.zeros(shape, np.int8), scale=scale_weight), b.constant(bias.astype(np.int32))], y,
         **options)
    check(b.save(tmp_path / "m.tflite", [x], [y]), seed, 1)


@pytest.mark.parametrize("seed", range(4))
def test_add_of_every_pair_of_values(seed, tmp_path):
    rng = np.random.default_rng(seed)
    b = TfliteBuilder()
    x = b.tensor((1, 256, 256, 2), scale=1.0)
    parts = []
    for channel, zero_point in enumerate(rng.integers(-128, 128, 2)):
        scale = np.float32(10 ** rng.uniform(-2, 0))
        weight = np.zeros((1, 1, 1, 2), np.int8)
        weight[..., channel] = 1
        bias = b.constant(np.array([-zero_point], np.int32))  # the part holds the input's own values
        part = b.tensor((1, 256, 256, 1), scale=scale, zero_point=int(zero_point))
        parts.append(b.op("CONV_2D", [x, b.constant(weight, scale=scale), bias], part, StrideH=1, StrideW=1))
    y = b.op("ADD", parts, b.tensor((1, 256, 256, 1), scale=rng.uniform(0.1, 2), zero_point=int(rng.integers(-90, 90))))
    path = b.save(tmp_path / "m.tflite", [x], [y])
    graph = load_model(path)
    q = np.stack(np.meshgrid(np.arange(-128, 128), np.arange(-128, 128), indexing="ij"), -1)[None].astype(np.int8)
    assert not compared(path, graph, q).different
    values = run(graph, q, keep=True).tensors
    assert all(np.array_equal(values[f"t{part}"][..., 0], q[..., i]) for i, part in enumerate(parts))


@pytest.mark.parametrize("seed", range(5))
def test_integer_softmax_is_the_same_to_the_bit(seed, tmp_path):
    rng = np.random.default_rng(seed)
    for kind, scale, zero_point, options in (("SOFTMAX", 1 / 256, -128, {"Beta": float(rng.choice([0.5, 1, 2]))}),
                                             ("LOG_SOFTMAX", 1 / 16, 127, {})):
        classes, step = int(rng.integers(1, 200)), np.float32(10 ** rng.uniform(-3, 0.7))
        b = TfliteBuilder()
        x = b.tensor((1, classes), scale=step, zero_point=3)
        y = b.tensor((1, classes), scale=scale, zero_point=zero_point)
        path = b.save(tmp_path / "m.tflite", [x], [b.op(kind, [x], y, **options)])
        q = rng.integers(-128, 128, (40, 1, classes)).astype(np.int8)
        (expected,) = run_micro(path, [q], []).outputs
        ours = softmax(q, float(step), options["Beta"], "int8") if options else log_softmax(q, float(step))
        assert np.array_equal(ours, expected), f"seed {seed}, {kind}, {classes} classes, scale {step}"


def test_refused_network(tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"\x00" * 64)
    with pytest.raises(RefusalError):
        run_micro(path, [np.zeros((1, 1), np.int8)], [])
