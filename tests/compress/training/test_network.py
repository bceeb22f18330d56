"""A graph as a PyTorch module: the same values as the NumPy executor, and back to the same graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwgen.compress.execute import run_float
from hwgen.compress.graph import BatchNorm, FloatConv, FloatGraph, FloatPool
from hwgen.compress.load import load_float_model
from hwgen.compress.techniques.prune import Prune
from hwgen.compress.techniques.quantize import Quantize
from hwgen.compress.techniques.share import Share
from tests.compress.networks import RELU, conv, graph, images, residual
from tests.compress.test_lower import branches
from tests.shared_data import shared_file

torch = pytest.importorskip("torch", reason="PyTorch is not installed (hwgen[train])")


def run_module(net: FloatGraph, x: np.ndarray, **options: bool) -> np.ndarray:
    from hwgen.compress.training.network import Network

    with torch.no_grad():
        return np.asarray(Network(net, **options).eval()(torch.from_numpy(x)).numpy())


def strided() -> FloatGraph:
    """SAME padding at stride 2 (more below and right than above and left), dilation, groups, ReLU6, pools that pad."""
    rng = np.random.default_rng(3)
    first = replace(conv(rng, "first", "x", 3, 8, 3, stride=2, lo=0.0, hi=6.0), pad=(0, 1, 0, 1))
    wide = replace(conv(rng, "wide", "first_out", 8, 12, 3, groups=4, **RELU), dilation=(2, 1), pad=(2, 2, 0, 2))
    mean = FloatPool(name="mean", inputs=("wide_out",), output="mean_out", kind="average", kernel=(3, 3), stride=(2, 2),
                     pad=(0, 1, 1, 1))
    most = FloatPool(name="most", inputs=("mean_out",), output="most_out", kind="max", kernel=(2, 2), stride=(1, 1),
                     pad=(0, 1, 0, 1))
    return graph([first, wide, mean, most],
                 {"x": (8, 8, 3), "first_out": (4, 4, 8), "wide_out": (4, 4, 12), "mean_out": (2, 2, 12),
                  "most_out": (2, 2, 12)})


@pytest.mark.parametrize("net", [residual(), branches(), strided()], ids=["residual", "branches", "strided"])
def test_same_values_as_the_executor(net: FloatGraph) -> None:
    x = images(net).x
    assert np.abs(run_module(net, x) - run_float(net, x).reshape(len(x), -1)).max() < 1e-4


@pytest.mark.parametrize("options", [{}, {"weight_bits": 4}, {"weight_bits": 1}, {"weights": "affine", "bits": 7},
                                     {"granularity": "group", "group": 1, "activations": "symmetric"}], ids=str)
@pytest.mark.parametrize("net", [residual(), branches()], ids=["residual", "branches"])
def test_same_fake_quantisation_as_the_executor(net: FloatGraph, options: dict[str, object]) -> None:
    """Up to ties: a sum in another order may fall on the other side of one."""
    data = images(net, 128)
    done = Quantize(**options)(net, data)  # type: ignore[arg-type]
    step = float(done.maps[done.output].scale)
    error = np.abs(run_module(done, data.x) - run_float(done, data.x).reshape(128, -1)) / step
    assert error.max() < 2.01 and np.mean(error > 0.01) < 0.02


def test_back_to_the_same_graph() -> None:
    from hwgen.compress.training.network import Network

    net = branches()
    for start in (net, Quantize()(net, images(net)), Share(entries=4)(Prune(sparsity=0.5)(net, images(net)),
                                                                      images(net))):
        again = Network(start, learned=True).to_graph()
        for a, b in zip(start.ops, again.ops, strict=True):
            assert a.name == b.name
            if isinstance(a, FloatConv) and isinstance(b, FloatConv):
                assert np.array_equal(a.weight, b.weight) and np.array_equal(a.bias, b.bias)
                assert a.quantizer is b.quantizer is None or np.array_equal(
                    a.quantizer.scale, b.quantizer.scale)  # type: ignore[union-attr]
            if isinstance(a, BatchNorm) and isinstance(b, BatchNorm):
                assert np.array_equal(a.factor(), b.factor()) and np.array_equal(a.offset(), b.offset())
        assert {n: float(q.scale) for n, q in start.maps.items()} == {n: float(q.scale) for n, q in again.maps.items()}


def test_normalisation_learns_its_statistics() -> None:
    from hwgen.compress.training.network import Network

    net = branches()
    module = Network(net).train()
    x = torch.from_numpy(images(net, 256).x * 3 + 2)
    for _ in range(100):
        module(x)
    (norm,) = (op for op in module.to_graph().ops if isinstance(op, BatchNorm))
    assert np.allclose(norm.mean, 2, atol=0.1) and np.allclose(norm.variance, 9, rtol=0.05)


@pytest.mark.parametrize("name", ["resnet8_float", "dscnn_kws_float", "mobilenetv1_025_vww_float",
                                  "autoencoder_ad_float"])
def test_trained_networks(name: str) -> None:
    net = load_float_model(shared_file("models", f"{name}.tflite"))
    x = np.random.default_rng(0).uniform(0, 1, (4, *net.shapes[net.input][1:])).astype(np.float32)
    wanted = run_float(net, x).reshape(4, -1)
    assert np.abs(run_module(net, x) - wanted).max() < 1e-4 * max(float(np.abs(wanted).max()), 1)
