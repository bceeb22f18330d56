"""The integer network computes what the float network computes with fake quantisation, and the file is the network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.compress.execute import run_float
from hwgen.compress.graph import Activation, FloatGraph, FloatPool
from hwgen.compress.lower import lower
from hwgen.compress.pipeline import to_onnx
from hwgen.compress.techniques.quantize import Quantize
from hwgen.errors import HwgenError
from hwgen.golden.graph import run
from hwgen.golden.inputs import quantize_input
from hwgen.model.graph import Concat, Conv, Op, Pad, Reshape
from hwgen.model.onnx_reader import read_onnx
from tests.compress.networks import RELU, conv, dense, graph, images, norm, residual


def branches(seed: int = 4) -> FloatGraph:
    """Every other operator: pad, max pool, concat, a clamp that stands alone, batch normalisation, reshape."""
    rng = np.random.default_rng(seed)
    ops: list[Op] = [
        norm(rng, "norm", "x", 3),
        Pad(name="pad", inputs=("norm_out",), output="pad_out", pad=(1, 0, 0, 1)),
        FloatPool(name="max", inputs=("pad_out",), output="max_out", kind="max", kernel=(3, 3), stride=(2, 2)),
        conv(rng, "conv", "max_out", 3, 5, lo=0.0, hi=1.5),
        FloatPool(name="mean", inputs=("max_out",), output="mean_out", kind="average", kernel=(3, 3), stride=(1, 1),
                  pad=(1, 1, 1, 1), include_pad=True),
        Concat(name="join", inputs=("conv_out", "mean_out"), output="join_out", axis=3),
        Activation(name="clamp", inputs=("join_out",), output="clamp_out", **RELU),
        FloatPool(name="all", inputs=("clamp_out",), output="all_out", kind="average", kernel=(4, 4), stride=(1, 1)),
        Reshape(name="shape", inputs=("all_out",), output="shape_out"),
        dense(rng, "dense", "shape_out", (1, 1, 8), 4),
    ]
    shapes = {"x": (8, 8, 3), "norm_out": (8, 8, 3), "pad_out": (9, 9, 3), "max_out": (4, 4, 3), "conv_out": (4, 4, 5),
              "mean_out": (4, 4, 3), "join_out": (4, 4, 8), "clamp_out": (4, 4, 8), "all_out": (1, 1, 8),
              "shape_out": (1, 1, 8), "dense_out": (1, 1, 4)}
    return graph(ops, shapes)


@pytest.mark.parametrize("options", [
    {}, {"bits": 4}, {"activations": "symmetric"}, {"granularity": "tensor", "weight_range": "mse"},
    {"weight_bits": 1}, {"weight_bits": 2, "activation_bits": 2}, {"weights": "affine", "weight_bits": 7},
    {"activation_range": "percentile"}, {"activation_range": "kl"},
], ids=str)
@pytest.mark.parametrize("net", [residual(), branches()], ids=["residual", "branches"])
def test_integers_follow_the_fake_network(net: FloatGraph, options: dict[str, object], tmp_path: Path) -> None:
    data = images(net, 128)
    done = Quantize(**options)(net, data)  # type: ignore[arg-type]
    path = tmp_path / "net.onnx"
    path.write_bytes(to_onnx(done))
    file = read_onnx(path)
    q = run(lower(done), quantize_input(lower(done), data.x)).output
    assert np.array_equal(q, run(file, quantize_input(file, data.x)).output)
    tensor = file.tensors[file.output]
    step = np.abs((q.astype(float) - tensor.zero_point) - run_float(done, data.x) / tensor.scale)
    # Rounding differs where a sum falls on a tie, or the bias is rounded; that moves a few results by a step or two.
    assert step.mean() < 0.1 and step.max() <= 3, (step.mean(), step.max())
    width = options.get("activation_bits", options.get("bits", 8))
    assert isinstance(width, int) and q.min() >= -(1 << width - 1) and q.max() < 1 << width - 1
    bits = options.get("weight_bits", options.get("bits", 8))
    for op in file.ops:
        if isinstance(op, Conv) and options.get("weights") != "affine":
            assert isinstance(bits, int) and np.abs(op.weight).max() <= max((1 << bits - 1) - 1, 1)


@pytest.mark.parametrize(("options", "message"), [
    ({"activation_bits": 9}, "activations must have at most 8 bits on the machine, not 9"),
    ({"weight_bits": 16}, "weights must have at most 8 bits on the machine, not 16"),
    ({"granularity": "group", "group": 1}, "scales per group of input channels cannot be lowered"),
])
def test_what_the_machine_cannot_do(options: dict[str, object], message: str) -> None:
    net = residual()
    done = Quantize(**options)(net, images(net))  # type: ignore[arg-type]
    assert np.isfinite(run_float(done, images(net).x)).all()  # but it can be evaluated
    with pytest.raises(HwgenError, match=message):
        lower(done)


def test_dead_channels_keep_their_bias() -> None:
    """Weights of zero, a bias far above the others: the result is the bias all the same."""
    net = residual()
    stem = net.conv("stem")
    stem.weight[2], stem.bias[2] = 0, 3.0
    stem.weight[3], stem.bias[3] = stem.weight[3] * 1e-9, 2.0
    data = images(net)
    done = Quantize()(net, data)
    file = lower(done)
    values = run(file, quantize_input(file, data.x), keep=True).tensors["stem_out"]
    tensor = file.tensors["stem_out"]
    real = (values.astype(float) - tensor.zero_point) * tensor.scale
    assert np.allclose(real[..., 2], 3.0, atol=tensor.scale) and np.allclose(real[..., 3], 2.0, atol=tensor.scale)


def test_a_network_without_quantizers() -> None:
    with pytest.raises(HwgenError, match="the network is not quantised"):
        lower(residual())
