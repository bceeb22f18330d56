"""Learned rounding: against trying every combination, and on a network."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from hwgen.compress.data import Data
from hwgen.compress.execute import fake_weights, run_float
from hwgen.compress.learned_rounding import learn_rounding, rounding_error
from hwgen.compress.techniques.adaround import AdaRound
from hwgen.compress.techniques.prune import Prune
from hwgen.compress.techniques.quantize import Quantize
from hwgen.errors import HwgenError
from tests.compress.networks import images, residual


def test_it_finds_what_trying_all_finds() -> None:
    """8 weights, correlated inputs: of 256 roundings it takes one of the best, and far better than the nearest."""
    ratios = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(200, 8)) @ rng.normal(size=(8, 8)) + 1
        gram, w = x.T @ x, rng.normal(size=(1, 8))
        scale, cross = np.array([[0.7]]), w @ gram
        low = np.floor(w / scale) * scale
        share = (w - low) / scale
        least = rounding_error(w, gram, cross)
        every = sorted(rounding_error(low + scale * np.array([c]), gram, cross) - least
                       for c in itertools.product((0, 1), repeat=8))
        up = learn_rounding(low, share, scale, gram, cross, steps=1000, rate=0.02)
        learned = rounding_error(low + scale * up, gram, cross) - least
        assert learned <= every[25]
        ratios.append(learned / (rounding_error(low + scale * (share >= 0.5), gram, cross) - least))
    assert np.mean(ratios) < 0.75 and max(ratios) <= 1


def test_white_inputs_round_to_the_nearest() -> None:
    """With independent inputs of one power the nearest integers are the best there are."""
    rng = np.random.default_rng(1)
    w = rng.normal(size=(3, 6))
    low = np.floor(w)
    up = learn_rounding(low, w - low, np.ones((3, 1)), np.eye(6), w, steps=500, rate=0.02)
    assert np.array_equal(low + up, np.rint(w))


def error(reference: np.ndarray, net: object, data: Data) -> float:
    return float(np.square(run_float(net, data.x) - reference).mean())  # type: ignore[arg-type]


def test_a_network_of_three_bits_gets_nearer() -> None:
    net = residual()
    data, other = images(net, 256), images(net, 128, seed=9)
    quantized = Quantize(weight_bits=3)(net, data)
    step = AdaRound(steps=300)
    plan = step.fit(quantized, data)
    done = step.apply(quantized, plan)
    assert error(run_float(net, other.x), done, other) < 0.6 * error(run_float(net, other.x), quantized, other)
    for op, before in zip(fake_weights(done).convs, quantized.convs, strict=True):
        assert np.array_equal(op.weight, done.conv(op.name).weight)  # they are integers times the scale already
        assert before.quantizer is not None
        assert np.all(np.abs(op.weight - before.weight) < before.quantizer.scale * 1.0001)
        entry = plan.layers[op.name]
        assert entry["error_learned"] <= entry["error_nearest"] + 1e-9


def test_zeros_stay() -> None:
    net = residual()
    data = images(net)
    quantized = Quantize(weight_bits=4)(Prune(sparsity=0.5)(net, data), data)
    done = AdaRound(steps=50)(quantized, data)
    for op, before in zip(done.convs, quantized.convs, strict=True):
        assert not op.weight[before.weight == 0].any()


def test_refused() -> None:
    net = residual()
    data = images(net)
    one_bit = Quantize(weight_bits=1)(net, data)
    with pytest.raises(HwgenError, match="one-bit weights are signs"):
        AdaRound().fit(one_bit, data)
    grouped = Quantize(granularity="group", group=1)(net, data)
    with pytest.raises(HwgenError, match="must have one scale an output channel") as found:
        AdaRound().fit(grouped, data)
    assert found.value.where == "stem"
    op = (quantized := Quantize()(net, data)).conv("stem")
    shared = quantized.replace_ops({op: (replace(op, storage="codebook"),)})
    with pytest.raises(HwgenError, match="share a codebook"):
        AdaRound().fit(shared, data)
