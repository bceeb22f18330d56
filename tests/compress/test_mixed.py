"""Mixed precision: the choice against trying all, and on a network."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hwgen.compress.mixed import choose_bits
from hwgen.compress.techniques.quantize import Quantize
from hwgen.errors import HwgenError
from tests.compress.networks import images, residual

WIDTHS = (2, 4, 8)


def test_choice_is_near_the_best_of_all() -> None:
    rng = np.random.default_rng(1)
    names = "abcde"
    shares = []
    for _ in range(30):
        sizes = {n: int(rng.integers(10, 1000)) for n in names}
        scale = dict(zip(names, rng.lognormal(0, 2, 5), strict=True))
        errors = {n: {b: float(scale[n]) * 4.0**-b for b in WIDTHS} for n in names}
        budget = float(rng.uniform(2.5, 7))
        chosen = choose_bits(errors, sizes, budget)
        costs = {}
        for bits in itertools.product(WIDTHS, repeat=5):
            if sum(sizes[n] * b for n, b in zip(names, bits, strict=True)) <= budget * sum(sizes.values()):
                costs[bits] = sum(errors[n][b] for n, b in zip(names, bits, strict=True))
        shares.append(costs[tuple(chosen[n] for n in names)] / min(costs.values()))
    assert np.median(shares) < 1.1 and min(shares) >= 1 - 1e-9


def test_a_planted_layer_keeps_its_bits() -> None:
    errors = {"tough": {2: 1e-3, 4: 1e-4, 8: 1e-6}, "frail": {2: 10.0, 4: 1.0, 8: 1e-6}}
    assert choose_bits(errors, {"tough": 100, "frail": 100}, 5) == {"tough": 2, "frail": 8}
    assert choose_bits(errors, {"tough": 100, "frail": 100}, 8) == {"tough": 8, "frail": 8}


def test_on_a_network() -> None:
    net = residual()
    data = images(net)
    plan = Quantize(mean_bits=4, layer_bits={"stem": 7}, samples=64).fit(net, data)
    bits = {name: entry["bits"] for name, entry in plan.layers.items()}
    others = [op for op in net.convs if op.name != "stem"]
    assert bits["stem"] == 7 and len(set(bits.values())) > 2
    assert sum(bits[op.name] * op.weight.size for op in others) <= 4 * sum(op.weight.size for op in others)


def test_refused() -> None:
    with pytest.raises(HwgenError, match="give weight_bits or mean_bits, not both"):
        Quantize(weight_bits=4, mean_bits=4)
    with pytest.raises(HwgenError, match=r"mean_bits must be in 2\.\.8, not 1"):
        Quantize(mean_bits=1)
    with pytest.raises(HwgenError, match="mean_bits must be at least 4, the narrowest widths, not 3"):
        choose_bits({"a": {4: 0.0}}, {"a": 5}, 3)
