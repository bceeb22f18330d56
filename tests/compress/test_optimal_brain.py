"""Optimal brain compression: against trying every mask, closed forms, and on a network."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hwgen.compress.execute import execute, run_float
from hwgen.compress.moments import moments, plain_results
from hwgen.compress.optimal_brain import least_squares, refit, removal_costs
from hwgen.compress.packing import pack, unpack
from hwgen.compress.techniques.optimal_brain import OptimalBrain
from hwgen.compress.techniques.prune import Prune
from hwgen.errors import HwgenError
from tests.compress.networks import conv, graph, images, residual


def problem(seed: int, rows: int = 1, size: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(100, size)) @ rng.normal(size=(size, size))
    return rng.normal(size=(rows, size)), x.T @ x


def loss(w: np.ndarray, dense: np.ndarray, hessian: np.ndarray) -> float:
    return float(np.sum(((w - dense) @ hessian) * (w - dense)))


def test_the_first_to_go_is_the_best_single_removal() -> None:
    """Hassibi's closed form is the least of what removing each weight and refitting the others costs."""
    for seed in range(10):
        w, hessian = problem(seed)
        order, costs = removal_costs(w, hessian)
        kept = ~np.eye(6, dtype=bool)
        tried = [loss(refit(hessian, w, mask[None]), w, hessian) for mask in kept]
        assert order[0, 0] == np.argmin(tried) and costs[0, 0] == pytest.approx(min(tried), rel=1e-6)


def test_costs_add_up_to_the_loss_of_the_refitted_weights() -> None:
    w, hessian = problem(3, rows=4)
    order, costs = removal_costs(w, hessian)
    for gone in range(7):
        kept = np.ones(w.shape, bool)
        np.put_along_axis(kept, order[:, :gone], False, axis=1)
        assert loss(refit(hessian, w, kept), w, hessian) == pytest.approx(float(costs[:, :gone].sum()), rel=1e-6)


def test_many_weights_in_the_order_of_one_by_one() -> None:
    """More removals than are worked off together, against solving the least squares anew after each."""
    w, hessian = problem(4, rows=2, size=80)
    hessian += 10 * np.eye(80)
    order, costs = removal_costs(w, hessian, fixed=1)
    for i in range(2):
        kept, now = np.ones((1, 80), bool), w[i : i + 1]
        for n in range(79):
            alive = np.flatnonzero(kept[0])
            price = now[0, alive] ** 2 / np.diagonal(np.linalg.inv(hessian[np.ix_(alive, alive)]))
            price[alive == 79] = np.inf
            assert alive[price.argmin()] == order[i, n] and costs[i, n] == pytest.approx(price.min(), rel=1e-6)
            kept[0, order[i, n]] = False
            now = refit(hessian, w[i : i + 1], kept)


def test_inputs_that_are_nearly_one() -> None:
    """A Hessian beyond what float64 can invert: every weight still goes once, at a finite cost."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(100, 1)) + 1e-7 * rng.normal(size=(100, 40))
    w, hessian = rng.normal(size=(2, 40)), x.T @ x
    with np.errstate(all="raise"):
        order, costs = removal_costs(w, hessian + 1e-12 * np.eye(40))
    assert np.isfinite(costs).all() and all(len(set(row)) == 40 for row in order.tolist())


def test_greedy_is_near_the_best_of_all_masks() -> None:
    shares = []
    for seed in range(20):
        w, hessian = problem(seed)
        _, costs = removal_costs(w, hessian)
        best = min(loss(refit(hessian, w, np.isin(np.arange(6), c)[None]), w, hessian)
                   for c in itertools.combinations(range(6), 3))
        shares.append(float(costs[0, :3].sum()) / best)
    assert min(shares) > 1 - 1e-6 and np.median(shares) < 1.05


def test_white_inputs_give_magnitude_pruning() -> None:
    w, _ = problem(5, rows=3)
    order, costs = removal_costs(w, np.eye(6))
    assert np.array_equal(order, np.argsort(np.abs(w), axis=1)) and np.allclose(costs, np.sort(w**2, axis=1))
    assert not (removal_costs(w, np.eye(6), 2)[0] > 3).any()


def test_least_squares_finds_planted_weights() -> None:
    w, gram = problem(6, rows=3)
    found, _ = least_squares(gram, w @ gram, np.zeros_like(w), 1e-12)
    assert np.allclose(found, w, atol=1e-6)
    assert np.allclose(least_squares(0 * gram, 0 * w, w, 0.01)[0], w)  # nothing known: as they were


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"groups": 2}, {"groups": 4}])
def test_moments_are_those_of_the_layer(options: dict[str, int]) -> None:
    rng = np.random.default_rng(7)
    layer = conv(rng, "only", "x", 4, 8, **options)  # type: ignore[arg-type]
    size = 3 if options.get("stride") else 6
    net = graph([layer], {"x": (6, 6, 4), "only_out": (size, size, 8)})
    x = images(net).x
    wanted = plain_results(net, "only", x)
    assert np.allclose(wanted, execute(layer, [x], net.shapes))
    for group, (gram, cross) in enumerate(moments(net, "only", x, wanted)):
        rows = layer.weight.reshape(layer.groups, 8 // layer.groups, -1)[group]
        full = np.concatenate([rows, layer.bias.reshape(layer.groups, -1)[group][:, None]], axis=1)
        assert np.allclose(cross, full @ gram, atol=1e-2 * np.abs(cross).max() * 1e-2)


def test_better_than_magnitude_and_to_the_count() -> None:
    net = residual()
    data, other = images(net, 256), images(net, 128, seed=9)
    wanted = run_float(net, other.x)
    for ratios in ("uniform", "cost"):
        step = OptimalBrain(sparsity=0.5, ratios=ratios)
        plan = step.fit(net, data)
        done = step.apply(net, plan)
        zeros = sum(int((op.weight == 0).sum()) for op in done.convs)
        assert zeros == sum(e["removed"] for e in plan.layers.values()) == round(0.5 * sum(o.weight.size
                                                                                           for o in net.convs))
        plain = Prune(sparsity=0.5, ratios="uniform")(net, data)
        assert np.square(run_float(done, other.x) - wanted).mean() < 0.5 * np.square(
            run_float(plain, other.x) - wanted).mean()


def test_layers_and_refit() -> None:
    net = residual()
    data = images(net)
    plan = OptimalBrain(layer_sparsity={"pointwise": 0.25}).fit(net, data)
    assert list(plan.layers) == ["pointwise"] and plan.layers["pointwise"]["removed"] == 16
    plan = OptimalBrain(layer_sparsity={"pointwise": 0.25}, refit=True).fit(net, data)
    assert list(plan.layers) == ["pointwise", "dense"] and plan.layers["dense"]["removed"] == 0
    with pytest.raises(HwgenError, match="give exactly one of sparsity and layer_sparsity"):
        OptimalBrain()
    with pytest.raises(HwgenError, match="at least 16 samples"):
        OptimalBrain(sparsity=0.5).fit(net, images(net, 10))


def test_arrays_as_text() -> None:
    for array in (np.arange(6, dtype=np.float32).reshape(1, 2, 3), np.arange(11) % 3 == 0, np.zeros((0, 2), np.int8)):
        again = unpack(pack(array))
        assert again.dtype == array.dtype and np.array_equal(again, array) and again.shape == array.shape
