"""Zeros of a layer, counted with plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.schemes import Layer
from tests.schemes.layers import random_layer


def effectual(layer: Layer) -> tuple[int, int, int]:
    """Products with both factors, with the weight, with the activation not zero."""
    height, width = layer.output_shape
    out, kh, kw, depth = layer.weights.shape
    both = weight = activation = 0
    for y in range(height):
        for x in range(width):
            for o in range(out):
                group = o // (out // layer.groups)
                for i in range(kh):
                    for j in range(kw):
                        at_y = y * layer.stride[0] + i * layer.dilation[0] - layer.pad[0]
                        at_x = x * layer.stride[1] + j * layer.dilation[1] - layer.pad[2]
                        inside = 0 <= at_y < layer.inputs.shape[0] and 0 <= at_x < layer.inputs.shape[1]
                        there = np.zeros(depth, bool)
                        if inside:
                            there = layer.inputs[at_y, at_x, group * depth : (group + 1) * depth]
                        w = layer.weights[o, i, j]
                        both += int((w & there).sum())
                        weight += int(w.sum())
                        activation += int(there.sum())
    return both, weight, activation


@pytest.mark.parametrize("seed", range(12))
def test_products_are_those_of_plain_loops(seed: int) -> None:
    from hwgen.schemes.scheme import activation_work, effectual_work, weight_work

    layer = random_layer(seed)
    both, weight, activation = effectual(layer)
    assert (effectual_work(layer), weight_work(layer), activation_work(layer)) == (both, weight, activation)
    for form in layer.forms():
        assert form.effectual == both and form.matches.sum() == both


def test_a_large_layer_is_sampled_at_random_but_repeatably() -> None:
    layer = Layer(np.ones((8, 3, 3, 32), bool), np.random.default_rng(0).random((64, 64, 32)) < 0.5, pad=(1, 1, 1, 1))
    assert not layer.sample(1, layer.macs).sampled
    some, again, other = (layer.sample(seed, layer.macs // 8) for seed in (1, 1, 2))
    assert some.pixels is not None and again.pixels is not None and other.pixels is not None
    assert len(some.pixels) == 64 * 64 // 8 and np.array_equal(some.pixels, again.pixels)
    assert not np.array_equal(some.pixels, other.pixels)
    assert some.macs == layer.macs
    assert some.effectual == pytest.approx(layer.effectual, rel=0.03)
