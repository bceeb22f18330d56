"""What holds for every rule on every layer."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.schemes import SCHEMES, Layer, Scheme
from hwgen.schemes.cambricon_s import CAMBRICON_S
from hwgen.schemes.cambricon_x import CAMBRICON_X
from hwgen.schemes.cnvlutin import CNVLUTIN
from hwgen.schemes.dense import DENSE
from hwgen.schemes.eie import EIE
from hwgen.schemes.lanes import ACTIVATION_ONLY, INNER_JOIN, WEIGHT_ONLY
from hwgen.schemes.n_of_m import N_OF_M
from hwgen.schemes.scnn import SCNN
from hwgen.schemes.sparten import SPARTEN
from tests.schemes.layers import MAY_LOSE, random_layer

ALL = pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.key)


@ALL
@pytest.mark.parametrize("multipliers", [1, 8, 64])
def test_no_scheme_beats_its_bound(scheme: Scheme, multipliers: int) -> None:
    for seed in range(16):
        layer = random_layer(seed)
        cycles = scheme.cycles(layer, multipliers)
        assert cycles >= scheme.bound(layer, multipliers), seed
        assert cycles == int(cycles), seed
        assert cycles <= scheme.cycles(layer.full(), multipliers) or scheme.key in MAY_LOSE, seed


@pytest.mark.parametrize("seed", range(24))
def test_skipping_both_is_never_slower_than_skipping_one(seed: int) -> None:
    layer = random_layer(seed)
    for multipliers in (4, 64):
        both = INNER_JOIN.cycles(layer, multipliers)
        assert both <= min(WEIGHT_ONLY.cycles(layer, multipliers), ACTIVATION_ONLY.cycles(layer, multipliers))


@pytest.mark.parametrize("scheme", [CAMBRICON_S, CAMBRICON_X, CNVLUTIN, EIE, INNER_JOIN, N_OF_M, SCNN, SPARTEN],
                         ids=lambda s: s.key)  # fmt: skip
def test_without_zeros_a_layer_that_fits_takes_the_dense_cycles(scheme: Scheme) -> None:
    """64 filters, 4x4 pixels, 256 channels: no scheme has lanes to spare, none gains."""
    layer = Layer(np.ones((64, 1, 1, 256), bool), np.ones((4, 4, 256), bool))
    assert scheme.cycles(layer, 64) == DENSE.cycles(layer, 64) == layer.macs / 64


@ALL
def test_a_layer_of_zeros(scheme: Scheme) -> None:
    layer = Layer(np.zeros((5, 3, 3, 20), bool), np.zeros((6, 6, 20), bool), pad=(1, 1, 1, 1))
    assert 0 <= scheme.cycles(layer, 64) <= scheme.cycles(layer.full(), 64)
    assert scheme.bound(layer, 64) <= DENSE.bound(layer, 64)


@ALL
def test_depthwise_and_fully_connected(scheme: Scheme) -> None:
    rng = np.random.default_rng(3)
    depthwise = Layer(np.ones((32, 3, 3, 1), bool), rng.random((6, 6, 32)) < 0.5, pad=(1, 1, 1, 1), groups=32)
    connected = Layer(rng.random((10, 4, 4, 8)) < 0.5, rng.random((4, 4, 8)) < 0.5)
    for layer in (depthwise, connected):
        assert scheme.bound(layer, 64) <= scheme.cycles(layer, 64) < np.inf


@ALL
def test_a_sample_tells_the_whole_within_a_few_percent(scheme: Scheme) -> None:
    rng = np.random.default_rng(5)
    layer = Layer(rng.random((32, 3, 3, 32)) < 0.5, rng.random((32, 32, 32)) < 0.5, pad=(1, 1, 1, 1))
    whole, sampled = (scheme.cycles(form, 64) for form in (layer, layer.sample(1, layer.macs // 4)))
    assert sampled == pytest.approx(whole, rel=0.04)
