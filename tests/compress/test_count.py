"""Counts and the interval of an accuracy, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwgen.compress.accuracy import Accuracy
from hwgen.compress.count import count
from hwgen.compress.load import load_float_model
from hwgen.compress.techniques.prune import Prune
from hwgen.compress.techniques.quantize import Quantize
from tests.compress.networks import images, residual
from tests.shared_data import shared_file

WEIGHTS, BIASES = 8 * 27 + 8 * 9 + 64 + 5 * 32, 8 + 8 + 8 + 5
MACS = 64 * (8 * 27 + 8 * 9 + 64) + 5 * 32


def test_float() -> None:
    c = count(residual())
    assert (c.parameters, c.weights, c.nonzero) == (WEIGHTS + BIASES, WEIGHTS, WEIGHTS)
    assert (c.macs, c.nonzero_macs) == (MACS, MACS)
    assert c.bytes == 4 * (WEIGHTS + BIASES) and c.mac_density == 1


def test_quantised() -> None:
    net = residual()
    c = count(Quantize()(net, images(net)))
    assert c.bytes == WEIGHTS + 4 * BIASES + 4 * BIASES + 5 * 7  # a scale a channel; seven maps
    c = count(Quantize(granularity="tensor", weight_bits=4, weights="affine")(net, images(net)))
    assert c.bytes == WEIGHTS // 2 + 4 * BIASES + 4 * 5 + 5 * 7


def test_sparse_weights_pay_for_their_index() -> None:
    net = residual()
    pruned = Prune(layer_sparsity={"stem": 0.75})(net, images(net))
    c = count(pruned)
    assert c.nonzero == WEIGHTS - 162 and c.nonzero_macs == MACS - 64 * 162
    assert c.bytes == 4 * (WEIGHTS - 216 + BIASES) + 216 // 8 + 4 * 54
    # Hardly any zeros: the bitmap would cost more than it saves.
    stem = net.conv("stem")
    weight = stem.weight.copy()
    weight[0, 0, 0, 0] = 0
    assert count(net.replace_ops({stem: (replace(stem, weight=weight),)})).bytes == count(net).bytes


def test_resnet8_as_published() -> None:
    c = count(load_float_model(shared_file("models", "resnet8_float.tflite")))
    assert c.macs == 12_501_632 and c.weights == 77_360


@pytest.mark.parametrize(("correct", "total", "low", "high"), [
    (8719, 10_000, 0.86520, 0.87831),
    (0, 10, 0.0, 0.27753),
    (10, 10, 0.72247, 1.0),
    (81, 263, 0.25527, 0.36621),  # Newcombe 1998, table I, without continuity correction: 0.2553 to 0.3662
])
def test_wilson(correct: int, total: int, low: float, high: float) -> None:
    a = Accuracy(correct, total)
    assert (a.low, a.high) == pytest.approx((low, high), abs=1e-4)
    assert np.isclose(a.top1, correct / total) and a.to_json()["correct"] == correct
