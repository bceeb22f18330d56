"""Spatial and Tucker-2 decomposition: closed forms, planted ranks, and the way into the integer graph."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from hwgen.compress.count import count
from hwgen.compress.execute import run_float
from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.compress.lower import lower
from hwgen.compress.pipeline import compress
from hwgen.compress.rank_plan import least_error, tucker_choices
from hwgen.compress.recipe import make_recipe
from hwgen.compress.technique import Technique
from hwgen.compress.techniques.quantize import Quantize
from hwgen.compress.techniques.spatial import Spatial
from hwgen.compress.techniques.svd import Svd
from hwgen.compress.techniques.tucker import Tucker, tucker2
from hwgen.errors import HwgenError
from hwgen.golden.graph import run
from hwgen.golden.inputs import quantize_input
from tests.compress.networks import RELU, conv, graph, images, residual


def one(weight: np.ndarray, size: tuple[int, int] = (9, 7), **changes: object) -> FloatGraph:
    """A single layer with SAME padding at stride 1."""
    outputs, height, width, inputs = weight.shape
    pad = (height // 2, height // 2, width // 2, width // 2)
    layer = FloatConv(name="only", inputs=("x",), output="y", source="Conv", weight=weight.astype(np.float32),
                      bias=np.linspace(-1, 1, outputs, dtype=np.float32), pad=pad, **RELU)
    return graph([replace(layer, **changes)], {"x": (*size, inputs), "y": (*size, outputs)})


def low_rank(rng: np.random.Generator, inputs: int, outputs: int, decibel: float = np.inf) -> np.ndarray:
    """32 x 3 x 3 x 24 weights of channel ranks ``inputs`` and ``outputs`` with noise."""
    core = rng.normal(size=(outputs, 3, 3, inputs))
    weight = np.einsum("or,ryxs,is->oyxi", rng.normal(size=(32, outputs)), core, rng.normal(size=(24, inputs)))
    return weight + rng.normal(size=weight.shape) * weight.std() * 10 ** (-decibel / 20)


def test_spatial_error_is_the_tail_of_the_singular_values() -> None:
    net = residual()
    stem = net.conv("stem")
    done = Spatial(ranks={"stem": 4})(net, images(net))
    first, second = done.conv("stem/spatial_1"), done.conv("stem/spatial_2")
    assert first.weight.shape == (4, 3, 1, 3) and second.weight.shape == (8, 1, 3, 4)
    product = np.einsum("oxr,ryi->oyxi", second.weight[:, 0], first.weight[:, :, 0])
    matrix = stem.weight.transpose(0, 2, 1, 3).reshape(24, 9)
    tail = np.linalg.svd(matrix, compute_uv=False)[4:]
    assert np.linalg.norm(stem.weight - product) == pytest.approx(float(np.sqrt((tail**2).sum())), abs=1e-5)


@pytest.mark.parametrize("changes", [{}, {"stride": (2, 1)}, {"dilation": (1, 2), "pad": (1, 1, 2, 2)},
                                     {"pad": (0, 2, 1, 1)}], ids=str)
@pytest.mark.parametrize("step", [Spatial(rank=9, layers=("only",)), Svd(rank=6, layers=("only",)),
                                  Tucker(in_ranks={"only": 3}, out_ranks={"only": 6})], ids=lambda s: s.name)
def test_full_rank_computes_the_same(step: Technique, changes: dict[str, tuple[int, ...]]) -> None:
    net = one(np.random.default_rng(3).normal(size=(6, 3, 3, 3)), **changes)
    if "stride" in changes:
        net = replace(net, shapes={**net.shapes, "y": (1, 5, 7, 6)})
    x = images(net).x
    assert np.allclose(run_float(step(net, images(net)), x), run_float(net, x), atol=1e-4)


def test_uneven_padding_at_stride_two() -> None:
    """SAME at stride 2, as TensorFlow pads it."""
    layer = FloatConv(name="only", inputs=("x",), output="y", source="Conv", stride=(2, 2), pad=(0, 1, 0, 1),
                      weight=np.random.default_rng(4).normal(size=(4, 3, 3, 5)).astype(np.float32),
                      bias=np.ones(4, np.float32))
    net = graph([layer], {"x": (8, 8, 5), "y": (4, 4, 4)})
    for step in (Spatial(rank=12, layers=("only",)), Tucker(ratio=1.0, layers=("only",))):
        done = step(net, images(net))
        assert np.allclose(run_float(done, images(net).x), run_float(net, images(net).x), atol=1e-4)


def test_tucker_finds_planted_ranks() -> None:
    for seed in range(10):
        net = one(low_rank(np.random.default_rng(seed), 5, 7, decibel=10))
        plan = Tucker(evbmf=True).fit(net, images(net))
        assert (plan.layers["only"]["in_rank"], plan.layers["only"]["out_rank"]) == (5, 7)


def test_tucker_of_planted_ranks_is_exact_and_counted() -> None:
    net = one(low_rank(np.random.default_rng(1), 5, 7))
    data = images(net)
    step = Tucker(in_ranks={"only": 5}, out_ranks={"only": 7})
    plan = step.fit(net, data)
    assert plan.layers["only"]["relative_error"] < 1e-6
    done = step.apply(net, plan)
    before, after = run_float(net, data.x), run_float(done, data.x)
    assert np.abs(before - after).max() < 1e-5 * np.abs(before).max()
    assert count(done).weights == 24 * 5 + 9 * 5 * 7 + 7 * 32
    assert count(done).macs == 63 * count(done).weights


def test_tucker_error_is_that_of_the_product_and_near_the_bound() -> None:
    weight = np.random.default_rng(2).normal(size=(12, 3, 3, 10))
    left, core, right = tucker2(weight, 6, 8)
    assert np.allclose(left.T @ left, np.eye(6)) and np.allclose(right.T @ right, np.eye(8))
    error = np.linalg.norm(weight - np.einsum("or,ryxs,is->oyxi", right, core, left))
    plan = Tucker(in_ranks={"only": 6}, out_ranks={"only": 8}).fit(one(weight), images(one(weight)))
    assert plan.layers["only"]["relative_error"] == pytest.approx(error / np.linalg.norm(weight), rel=1e-4)
    tails = [np.sum(np.linalg.svd(np.moveaxis(weight, axis, 0).reshape(size, -1), compute_uv=False)[rank:] ** 2)
             for axis, size, rank in ((0, 12, 8), (3, 10, 6))]
    assert max(tails) <= error**2 <= sum(tails)  # De Lathauwer 2000: the truncated HOSVD is within the sum


def test_tucker_plans_ranks_for_a_budget() -> None:
    """Of two layers of one shape the one of low rank is split, the other stays; with less, both are."""
    rng = np.random.default_rng(7)
    low = np.pad(low_rank(rng, 5, 7), ((0, 0), (0, 0), (0, 0), (0, 8)))
    net = graph([conv(rng, "full", "x", 32, 32, **RELU), replace(conv(rng, "low", "full_out", 32, 32), weight=low)],
                {"x": (8, 8, 32), "full_out": (8, 8, 32), "low_out": (8, 8, 32)})
    assert net.conv("full").weight.shape == low.shape
    data = images(net)
    layer = 9 * 32 * 32
    share = (layer + 32 * 5 + 9 * 5 * 7 + 7 * 32) / (2 * layer)
    plan = Tucker(macs=share + 1e-6).fit(net, data)
    assert {name: (at["in_rank"], at["out_rank"]) for name, at in plan.layers.items()} == {"low": (5, 7)}
    assert plan.notes == ["full: left as it is, others lose less for what they save"]
    for share, multiple in ((0.45, 1), (0.3, 4), (0.2, 8)):
        step = Tucker(macs=share, multiple=multiple)
        plan = step.fit(net, data)
        ranks = [at[key] for at in plan.layers.values() for key in ("in_rank", "out_rank")]
        assert len(ranks) == 4 and not any(rank % multiple for rank in ranks)
        used = count(step.apply(net, plan)).macs / count(net).macs
        assert used <= share and used > share - (0.01 if multiple == 1 else 0.15)


def test_ranks_of_least_error() -> None:
    """Near the best of all combinations, and no layer alone can be had better."""
    rng = np.random.default_rng(8)
    net = residual()
    choices = {f"layer{i}": [replace(c, error=c.error * rng.uniform(0.5, 2)) for c in
                             tucker_choices(net, net.conv("stem"), 2)] for i in range(3)}
    for budget in (11500, 20000, 30000):
        found = least_error(choices, budget)
        left, error = budget - sum(c.macs for c in found.values()), sum(c.error for c in found.values())
        assert left >= 0
        assert not any(c.error < found[name].error and c.macs <= found[name].macs + left
                       for name, of_layer in choices.items() for c in of_layer)
        best = min(sum(c.error for c in some) for some in itertools.product(*choices.values())
                   if sum(c.macs for c in some) <= budget)
        assert error <= 1.1 * best


@pytest.mark.parametrize("step", [Svd(evbmf=True), Spatial(evbmf=True)], ids=lambda s: s.name)
def test_matrix_ranks_by_noise(step: Technique) -> None:
    rng = np.random.default_rng(5)
    rows, columns = (64, 48) if step.name == "svd" else (72, 48)
    matrix = rng.normal(size=(rows, 4)) @ rng.normal(size=(4, columns)) + 0.3 * rng.normal(size=(rows, columns))
    weight = matrix.reshape(64, 1, 1, 48) if step.name == "svd" else matrix.reshape(24, 3, 3, 16).transpose(0, 2, 1, 3)
    plan = step.fit(one(weight), images(one(weight)))
    assert plan.layers["only"]["rank"] == 4


@pytest.mark.parametrize("step", [Spatial(ranks={"first": 6, "second": 12}), Tucker(ratio=0.5)], ids=lambda s: s.name)
def test_chains_become_integers(step: Technique) -> None:
    """The golden model of the lowered chain is near the float chain: requantisation between its layers is defined."""
    rng = np.random.default_rng(6)
    net = graph([conv(rng, "first", "x", 4, 8, **RELU), conv(rng, "second", "first_out", 8, 8)],
                {"x": (8, 8, 4), "first_out": (8, 8, 8), "second_out": (8, 8, 8)})
    data = images(net)
    done = step(net, data)
    quantized = Quantize()(done, data)
    integer = lower(quantized)
    result = run(integer, quantize_input(integer, data.x)).output
    fake, scale = run_float(quantized, data.x), float(quantized.maps[quantized.output].scale)
    real = (result.astype(np.float64) - int(quantized.maps[quantized.output].zero_point)) * scale
    assert np.abs(real - fake).max() <= 2.01 * scale and np.abs(real - fake).mean() < 0.01 * scale
    assert np.abs(real - run_float(done, data.x)).mean() < 2 * scale


def test_refused_and_left_out() -> None:
    net = residual()
    data = images(net)
    with pytest.raises(HwgenError, match="in_ranks must be at most 3, that of its 8 x 3 x 3 x 3 weights, not 4") as e:
        Tucker(in_ranks={"stem": 4}, out_ranks={"stem": 8}).fit(net, data)
    assert e.value.where == "stem"
    with pytest.raises(HwgenError, match="rank must be at most 9, that of its 24 x 9 weights, not 10"):
        Spatial(ranks={"stem": 10}).fit(net, data)
    with pytest.raises(HwgenError, match="a layer of 8 groups cannot be split"):
        Tucker(ratio=0.5, layers=("depthwise",)).fit(net, data)
    with pytest.raises(HwgenError, match="must name the same layers"):
        Tucker(in_ranks={"stem": 1})
    with pytest.raises(HwgenError, match="give exactly one of evbmf, ratio, macs, and in_ranks with out_ranks"):
        Tucker(evbmf=True, ratio=0.5)
    with pytest.raises(HwgenError, match="multiple needs macs"):
        Tucker(ratio=0.5, multiple=4)
    with pytest.raises(HwgenError, match="the layers to split take at least 1280 multiplications, not 0"):
        Tucker(macs=0.0).fit(net, data)
    assert Tucker(ratio=1.0).fit(net, data).notes == ["stem: ranks 3 and 8 of 3 and 8 save nothing, left as it is"]
    assert not Tucker(ratio=0.5, exclude=("stem",)).fit(net, data).layers
    assert list(Spatial(rank=2).fit(net, data).layers) == ["stem"]


def test_without_tensorly_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    recipe = make_recipe("r", [{"name": "tucker", "ratio": 0.5}, {"name": "quantize"}])
    net = residual()
    with pytest.raises(HwgenError, match=r"r: step 1 \(tucker\): tucker needs TensorLy") as missing:
        compress(net, recipe, images(net), images(net), follow=pytest.fail)
    assert missing.value.remedy == 'pip install "hwgen[tensor]"'


@pytest.mark.parametrize("step", [Svd(energy=1.0), Spatial(energy=1.0), Tucker(ratio=1.0)], ids=lambda s: s.name)
def test_split_again_and_again(step: Technique) -> None:
    """Every part of a chain has maps of its own, also when chains of one kind are inside each other."""
    net = residual()
    data = images(net)
    done = net
    for _ in range(3):
        done = replace(step, layers=tuple(op.name for op in done.convs if op.groups == 1))(done, data)
    written = [op.output for op in done.ops]
    assert len(set(written)) == len(written) == len({op.name for op in done.ops}) and len(done.convs) > 8
    assert np.allclose(run_float(done, data.x), run_float(net, data.x), atol=1e-4)


@pytest.mark.parametrize("step", [Tucker(ratio=0.5), Tucker(evbmf=True), Spatial(energy=0.5), Spatial(evbmf=True)],
                         ids=lambda s: f"{s.name}-{'evbmf' if s.evbmf else 'given'}")
def test_weights_that_are_all_zero(step: Technique) -> None:
    weight = np.zeros((12, 3, 3, 10))
    net = one(weight)
    data = images(net)
    done = step(net, data)
    assert len(done.convs) > 1 and np.array_equal(run_float(done, data.x), run_float(net, data.x))
