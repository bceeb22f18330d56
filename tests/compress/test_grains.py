"""Grains: every mask passes its grain's own check, a wrong one does not, and sparsities are hit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwgen.compress.count import count
from hwgen.compress.grains import Banks, Block, Channel, Element, Filter, Grain, Kernel, OutOf
from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.compress.ratios import least_scores, uniform
from hwgen.compress.techniques.prune import Prune, least_zeroed
from hwgen.errors import HwgenError
from tests.compress.networks import conv, graph, images, residual

LAYER = conv(np.random.default_rng(3), "layer", "x", 16, 24)
GRAINS = {"element": Element(), "vector": Block(8, 1), "block": Block(4, 2), "kernel": Kernel(), "channel": Channel(),
          "filter": Filter(), "bank": Banks(6), "n:m": OutOf(2, 4)}


@pytest.mark.parametrize("name", GRAINS)
@pytest.mark.parametrize("layer", [LAYER, conv(np.random.default_rng(4), "grouped", "x", 16, 32, groups=2)],
                         ids=lambda op: op.name)
def test_units_are_of_one_size_and_masks_pass(name: str, layer: FloatConv) -> None:
    grain = GRAINS[name]
    assert grain.misfit(layer) is None
    sizes = np.bincount(grain.units(layer).reshape(-1))
    assert len(set(sizes)) == 1
    for units in (0, 1, len(sizes) // 2, len(sizes)) if name != "n:m" else (2, 3):
        pruned = least_zeroed(grain, layer, units * int(sizes[0]))
        assert (pruned == 0).sum() == units * sizes[0] and grain.holds(layer, pruned != 0)


@pytest.mark.parametrize("name", [name for name in GRAINS if name != "element"])
def test_a_mask_of_elements_does_not_pass(name: str) -> None:
    assert not GRAINS[name].holds(LAYER, least_zeroed(Element(), LAYER, LAYER.weight.size // 2) != 0)


def test_planted_units_go() -> None:
    """What is planted small goes, of each grain."""
    places = {Block(8, 1): np.s_[8:16, 1, 2, 5], Block(4, 2): np.s_[4:8, 0, 1, 6:8], Kernel(): np.s_[7, :, :, 9],
              Channel(): np.s_[:, :, :, 4], Filter(): np.s_[11]}
    for grain, place in places.items():
        weight = np.where(np.abs(LAYER.weight) < 0.02, np.float32(0.1), LAYER.weight)
        weight[place] = 1e-3
        gone = least_zeroed(grain, replace(LAYER, weight=weight), weight[place].size) == 0
        assert gone[place].all() and gone.sum() == weight[place].size


def test_the_smaller_two_of_four_and_of_a_bank() -> None:
    weight = np.array([3, -1, 2, 0.5, 0.1, -5, 4, 0.3], np.float32).reshape(1, 1, 1, 8)
    layer = replace(LAYER, weight=weight)
    assert list(least_zeroed(OutOf(2, 4), layer, 4).reshape(-1) != 0) == [1, 0, 1, 0, 0, 1, 1, 0]
    assert list(least_zeroed(Banks(2), layer, 2).reshape(-1) != 0) == [1, 1, 1, 0, 0, 1, 1, 1]


def test_every_output_channel_may_keep_another_number_but_banks_agree() -> None:
    grain, pruned = Banks(6), least_zeroed(Banks(6), LAYER, LAYER.weight.size // 2)
    kept = (pruned != 0).reshape(24, 6, -1).sum(axis=2)
    assert len(set(kept[:, 0])) > 1 and (kept == kept[:, :1]).all() and grain.holds(LAYER, pruned != 0)


def wide() -> FloatGraph:
    """Two layers of 16 and 32 channels behind one of 3 inputs."""
    rng = np.random.default_rng(5)
    ops = [conv(rng, "first", "x", 3, 16), conv(rng, "second", "first_out", 16, 32),
           conv(rng, "third", "second_out", 32, 32)]
    return graph(list(ops), {"x": (6, 6, 3), **{f"{n}_out": (6, 6, c) for n, c in
                                                (("first", 16), ("second", 32), ("third", 32))}})


@pytest.mark.parametrize("ratios", ["uniform", "lamp"])
@pytest.mark.parametrize("grain", ["element", "vector", "block", "kernel", "bank"])
@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.75])
def test_sparsity_is_hit_within_a_thousandth(grain: str, ratios: str, sparsity: float) -> None:
    step = Prune(sparsity=sparsity, grain=grain, ratios=ratios, banks=3)
    net = wide()
    plan = step.fit(net, images(net))
    done = step.apply(net, plan)
    total = sum(entry["weights"] for entry in plan.layers.values())
    zeros = sum(int((op.weight == 0).sum()) for op in done.convs)
    assert zeros == sum(entry["removed"] for entry in plan.layers.values())
    assert zeros / total == pytest.approx(sparsity, abs=1e-3)
    assert not any("instead of" in note for note in plan.notes)


def test_coarse_units_say_what_was_reached() -> None:
    net = wide()
    plan = Prune(sparsity=0.3, grain="filter", ratios="uniform").fit(net, images(net))
    reached = sum(e["removed"] for e in plan.layers.values()) / count(net).weights
    assert abs(reached - 0.3) < 0.01 and plan.notes[-1].startswith(f"sparsity {reached:.4f} instead of 0.3000")


def test_pattern_leaves_two_of_four_and_names_the_layer_it_does_not_fit() -> None:
    net = wide()
    step = Prune(grain="n:m")
    plan = step.fit(net, images(net))
    done = step.apply(net, plan)
    (note,) = plan.notes
    assert note == ("first: grain n:m does not fit, its input channels (of a group) must be a multiple of 4, not 3; "
                    "left as it is")
    assert {op.name: int((op.weight == 0).sum()) / op.weight.size for op in done.convs} == {
        "first": 0, "second": 0.5, "third": 0.5}


@pytest.mark.parametrize(("step", "layer", "rule"), [
    (Prune(sparsity=0.5, grain="vector", layers=("dense",)), "dense", "multiple of 8, not 5"),
    (Prune(sparsity=0.5, grain="vector", layers=("depthwise",)), "depthwise", "multiple of 8, not 1"),
    (Prune(sparsity=0.5, grain="kernel", layers=("pointwise",)), "pointwise", "larger than 1x1"),
    (Prune(layer_sparsity={"stem": 0.5}, grain="block"), "stem", "input channels .* multiple of 4, not 3"),
    (Prune(grain="n:m", layers=("depthwise",)), "depthwise", "multiple of 4, not 1"),
    (Prune(sparsity=0.5, grain="bank", banks=5, layers=("stem",)), "stem", "multiple of 5 banks, not 27"),
    (Prune(sparsity=0.5, grain="bank", banks=9, layers=("depthwise",)), "depthwise", "more than one weight"),
])
def test_a_named_layer_must_fit(step: Prune, layer: str, rule: str) -> None:
    with pytest.raises(HwgenError, match=f"grain {step.grain} does not fit: .*{rule}") as found:
        step.fit(residual(), images(residual()))
    assert found.value.where == layer


def test_parameters_are_refused() -> None:
    for pattern in ("2", "4:4", "0:4", "a:b"):
        with pytest.raises(HwgenError, match="pattern must be N:M with 0 < N < M"):
            Prune(grain="n:m", pattern=pattern)
    with pytest.raises(HwgenError, match="pattern 2:4 sets the sparsity"):
        Prune(grain="n:m", sparsity=0.5)
    with pytest.raises(HwgenError, match="block must be two positive numbers"):
        Prune(grain="block", block=(4,), sparsity=0.5)
    with pytest.raises(HwgenError, match="grain bank fits no chosen layer"):
        Prune(grain="bank", banks=7, sparsity=0.5).fit(residual(), images(residual()))


def test_a_total_is_divided_to_the_nearest_unit() -> None:
    assert uniform([10, 10], [4, 2], 30) == [5, 5]
    assert uniform([3, 3], [10, 1], 16) == [1, 2]
    scores = [np.array([1.0, 5.0]), np.array([2.0, 3.0, 4.0])]
    assert least_scores(scores, [1, 1], 3) == [1, 2]
    assert least_scores(scores, [10, 1], 12) == [1, 2]
    assert least_scores(scores, [10, 1], 9) == [1, 0]  # one weight more is nearer than six less


def test_unknown_grains_have_no_place() -> None:
    class Odd(Element):
        def holds(self, op: FloatConv, kept: np.ndarray) -> bool:
            return False

    odd: Grain = Odd()
    with pytest.raises(HwgenError, match="5 of its weights cannot be removed by the grain's rule"):
        least_zeroed(odd, LAYER, 5)
