"""Each technique against a closed form or a planted answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hwgen.compress.count import count
from hwgen.compress.data import Data
from hwgen.compress.execute import execute, fake_weights, run_float
from hwgen.compress.graph import BatchNorm, FloatConv, FloatGraph
from hwgen.compress.plan import Plan
from hwgen.compress.ratios import lamp_scores
from hwgen.compress.technique import technique, techniques
from hwgen.compress.techniques.adaround import AdaRound
from hwgen.compress.techniques.bias_correction import BiasCorrection
from hwgen.compress.techniques.equalize import Equalize
from hwgen.compress.techniques.fold_batch_norm import FoldBatchNorm
from hwgen.compress.techniques.huffman import Huffman
from hwgen.compress.techniques.optimal_brain import OptimalBrain
from hwgen.compress.techniques.prune import Prune
from hwgen.compress.techniques.prune_channels import PruneChannels
from hwgen.compress.techniques.quantize import Quantize
from hwgen.compress.techniques.share import Share
from hwgen.compress.techniques.spatial import Spatial
from hwgen.compress.techniques.svd import Svd
from hwgen.compress.techniques.tucker import Tucker
from hwgen.errors import HwgenError
from tests.compress.networks import RELU, conv, graph, images, norm, residual

FAMILIES = {"adaround": "quantization", "bias_correction": "quantization", "equalize": "quantization",
            "finetune": "quantization", "fold_batch_norm": "quantization", "huffman": "quantization",
            "optimal_brain": "sparsification", "prune": "sparsification", "prune_channels": "sparsification",
            "quantize": "quantization", "share": "quantization", "spatial": "decomposition", "svd": "decomposition",
            "tucker": "decomposition"}


def test_registry() -> None:
    assert {name: cls.family for name, cls in techniques().items()} == FAMILIES
    with pytest.raises(HwgenError, match="unknown step 'quantise'") as found:
        technique("quantise")
    assert "quantize" in str(found.value)


@pytest.mark.parametrize("step", [Quantize(), Quantize(granularity="group", group=1), Equalize(), FoldBatchNorm(),
                                  Prune(sparsity=0.5), Svd(energy=0.5), Spatial(rank=3),
                                  Tucker(ratio=0.5), Share(entries=4), Huffman(),
                                  OptimalBrain(sparsity=0.5), AdaRound(steps=20), PruneChannels(ratio=0.5)],
                         ids=lambda s: s.name)
def test_a_plan_is_data(step: FoldBatchNorm) -> None:
    """Through JSON and back it gives the same network, and it can be printed."""
    net = residual()
    data = images(net)
    net = Quantize()(net, data) if step.on_quantized else net
    plan = step.fit(net, data)
    again = Plan.from_json(plan.to_json())
    first, second = step.apply(net, plan), step.apply(net, again)
    assert np.array_equal(run_float(first, data.x), run_float(second, data.x))
    assert str(plan).startswith(f"{step.name} {{")


# Batch normalisation

def test_fold_into_convolution_and_alone() -> None:
    rng = np.random.default_rng(5)
    net = graph([norm(rng, "before", "x", 3), conv(rng, "conv", "before_out", 3, 4),
                 norm(rng, "after", "conv_out", 4, **RELU)],
                {"x": (6, 6, 3), "before_out": (6, 6, 3), "conv_out": (6, 6, 4), "after_out": (6, 6, 4)})
    x = images(net).x
    folded = FoldBatchNorm()(net, images(net))
    assert not any(isinstance(op, BatchNorm) for op in folded.ops)
    assert [op.name for op in folded.ops] == ["before", "conv"] and folded.output == "after_out"
    assert np.allclose(run_float(folded, x), run_float(net, x), atol=1e-5)
    old, new, after = net.conv("conv"), folded.conv("conv"), net.ops[2]
    assert isinstance(after, BatchNorm)
    root = np.sqrt(after.variance + after.epsilon)
    assert np.allclose(new.weight[2], old.weight[2] * after.gamma[2] / root[2], rtol=1e-5)
    assert np.allclose(new.bias, (old.bias - after.mean) * after.gamma / root + after.beta, rtol=1e-4, atol=1e-6)


def test_fold_leaves_a_convolution_that_others_read() -> None:
    rng = np.random.default_rng(6)
    first = conv(rng, "conv", "x", 3, 3)
    other = conv(rng, "other", "conv_out", 3, 3)
    net = graph([first, other, norm(rng, "after", "conv_out", 3)],
                {"x": (4, 4, 3), "conv_out": (4, 4, 3), "other_out": (4, 4, 3), "after_out": (4, 4, 3)})
    folded = FoldBatchNorm()(net, images(net))
    assert folded.conv("conv") is first and folded.conv("after").depthwise
    assert np.allclose(run_float(folded, images(net).x), run_float(net, images(net).x), atol=1e-5)


# Equalisation

def chain(seed: int = 7) -> FloatGraph:
    rng = np.random.default_rng(seed)
    ops = [conv(rng, "a", "x", 3, 6, **RELU), conv(rng, "b", "a_out", 6, 6, groups=6, **RELU),
           conv(rng, "c", "b_out", 6, 4, 1)]
    spread = (2.0 ** np.arange(-3, 3)).astype(np.float32)
    ops[0] = replace(ops[0], weight=ops[0].weight * spread.reshape(-1, 1, 1, 1), bias=ops[0].bias * spread)
    return graph(list(ops), {"x": (6, 6, 3), "a_out": (6, 6, 6), "b_out": (6, 6, 6), "c_out": (6, 6, 4)})


def test_equalised_ranges_are_equal_and_the_function_is_kept() -> None:
    net = chain()
    data = images(net)
    done = Equalize(widen=1e6)(net, data)
    a, b, c = (done.conv(name).weight for name in "abc")
    assert np.allclose(np.abs(a).max(axis=(1, 2, 3)), np.abs(b).max(axis=(1, 2, 3)), rtol=1e-3)
    assert np.allclose(np.abs(b).max(axis=(1, 2, 3)), np.abs(c).max(axis=(0, 1, 2)), rtol=1e-3)
    assert np.allclose(run_float(done, data.x), run_float(net, data.x), atol=1e-5)


def test_first_pair_is_the_geometric_mean() -> None:
    net = chain()
    plan = Equalize(widen=1e6, rounds=1).fit(replace(net, ops=net.ops[:2], output="b_out"), images(net))
    r1 = np.abs(net.conv("a").weight).max(axis=(1, 2, 3))
    r2 = np.abs(net.conv("b").weight).max(axis=(1, 2, 3))
    assert np.allclose(plan.layers["a"]["factors"], r1 / np.sqrt(r1 * r2), rtol=1e-6)


def test_equalising_does_not_widen_maps() -> None:
    net = chain()
    data = images(net)
    a = net.conv("a")
    weight, bias = a.weight.copy(), a.bias.copy()
    weight[1], bias[1] = weight[1] * 1e-9, 1.0  # nearly dead, but for its bias
    net = net.replace_ops({a: (replace(a, weight=weight, bias=bias),)})

    def reach(g: FloatGraph) -> float:
        return float(execute(g.conv("a"), [data.x], g.shapes).max())

    assert reach(Equalize()(net, data)) <= reach(net) * 1.0001
    assert reach(Equalize(widen=1e9)(net, data)) > 100 * reach(net)


def test_layers_without_a_partner_are_named() -> None:
    plan = Equalize().fit(residual(), images(residual()))
    assert plan.layers["depthwise"]["reader"] == "pointwise" and "stem" not in plan.layers
    (note,) = plan.notes
    assert note.startswith("no partner") and note.endswith(": stem, pointwise, dense")


# Quantisation

def test_weights_are_within_half_a_step() -> None:
    net = residual()
    for granularity in ("tensor", "channel"):
        done = Quantize(granularity=granularity)(net, images(net))
        for op, rounded in zip(done.convs, fake_weights(done).convs, strict=True):
            assert op.quantizer is not None
            assert np.all(np.abs(op.weight - rounded.weight) <= op.quantizer.scale * 0.5001)


def test_finer_grains_err_less() -> None:
    net = residual()

    def error(**kw: object) -> float:
        done = Quantize(bits=4, **kw)(net, images(net))  # type: ignore[arg-type]
        return sum(float(((a.weight - b.weight) ** 2).sum())
                   for a, b in zip(done.convs, fake_weights(done).convs, strict=True))

    assert error(granularity="group", group=1) < error(granularity="channel") < error(granularity="tensor")
    assert error(granularity="channel", weight_range="mse") < error(granularity="channel")


def test_one_bit_weights_are_signs_times_the_mean_magnitude() -> None:
    done = Quantize(weight_bits=1)(residual(), images(residual()))
    (weight,) = (op.weight for op in fake_weights(done).convs if op.name == "stem")
    mean = np.abs(residual().conv("stem").weight).mean(axis=(1, 2, 3))
    assert np.allclose(weight, np.sign(residual().conv("stem").weight) * mean.reshape(-1, 1, 1, 1), rtol=1e-6)


def test_layer_bits_and_calibration_count() -> None:
    net = residual()
    done = Quantize(layer_bits={"dense": 3})(net, images(net))
    assert {op.name: op.quantizer.bits for op in done.convs if op.quantizer} == {
        "stem": 8, "depthwise": 8, "pointwise": 8, "dense": 3}
    with pytest.raises(HwgenError, match="at least 16 samples are needed, not 15"):
        Quantize().fit(net, images(net, 15))
    with pytest.raises(HwgenError, match="there is no layer 'dence' with weights"):
        Quantize(layer_bits={"dence": 3}).fit(net, images(net))
    with pytest.raises(HwgenError, match="group must divide its 3 input channels, not 2"):
        Quantize(granularity="group", group=2).fit(net, images(net))


# Bias correction

def test_a_planted_shift_is_taken_back() -> None:
    """Weights rounded to 2 bits shift the mean results; behind the correction they are the float network's."""
    net = residual()
    data = images(net, 200)
    quantized = Quantize(weight_bits=2, activation_bits=16)(net, data)
    corrected = BiasCorrection(samples=200)(quantized, data)

    def means(g: FloatGraph, fake: bool) -> np.ndarray:
        return run_float(g, data.x, fake=fake).mean(axis=(0, 1, 2))

    wanted = means(net, False)
    before, after = np.abs(means(quantized, True) - wanted), np.abs(means(corrected, True) - wanted)
    assert before.max() > 0.02 and after.max() < before.max() / 5
    assert np.median(after) < 1e-4  # what is left is saturation at the ends of the output's range


def test_first_layer_has_the_closed_form() -> None:
    """``(W - W_q) * E[x]`` for a 1x1 layer, and what rounding the bias took."""
    rng = np.random.default_rng(8)
    net = graph([conv(rng, "only", "x", 4, 3, 1)], {"x": (5, 5, 4), "only_out": (5, 5, 3)})
    x = (rng.integers(-100, 100, (64, 5, 5, 4)) + 30).astype(np.float32)
    data = Data(x)
    quantized = Quantize(weight_bits=2, activation_bits=8)(net, data)
    plan = BiasCorrection(samples=64).fit(quantized, data)
    rounded = fake_weights(quantized).conv("only")
    difference = (net.conv("only").weight - rounded.weight).reshape(3, 4)
    assert quantized.maps["x"].fake(x).mean(axis=(0, 1, 2)) == pytest.approx(x.mean(axis=(0, 1, 2)), abs=0.1)
    expected = difference @ x.mean(axis=(0, 1, 2)) + net.conv("only").bias - rounded.bias
    assert np.allclose(plan.layers["only"]["correction"], expected, atol=0.1)


# Pruning

def zeros(op: FloatConv) -> int:
    return int((op.weight == 0).sum())


@pytest.mark.parametrize("ratios", ["uniform", "lamp"])
@pytest.mark.parametrize("sparsity", [0.0, 0.123, 0.5, 0.9])
def test_target_is_hit(ratios: str, sparsity: float) -> None:
    net = residual()
    done = Prune(sparsity=sparsity, ratios=ratios)(net, images(net))
    total = count(net).weights
    assert sum(zeros(op) for op in done.convs) == round(sparsity * total)
    if ratios == "uniform":
        assert all(abs(zeros(op) - sparsity * op.weight.size) < 1 for op in done.convs)


def test_the_smallest_go() -> None:
    done = Prune(sparsity=0.4, ratios="uniform")(residual(), images(residual()))
    for op in done.convs:
        before = np.abs(residual().conv(op.name).weight)
        assert before[op.weight == 0].max() <= before[op.weight != 0].min()


def test_budget_and_layers() -> None:
    net = residual()
    assert count(Prune(keep=100)(net, images(net))).nonzero == 100
    done = Prune(layer_sparsity={"dense": 0.25, "stem": 0.5})(net, images(net))
    assert {op.name: zeros(op) for op in done.convs} == {"stem": 108, "depthwise": 0, "pointwise": 0, "dense": 40}
    done = Prune(sparsity=0.5, layers=("stem", "dense"), exclude=("dense",))(net, images(net))
    assert {op.name: zeros(op) for op in done.convs} == {"stem": 108, "depthwise": 0, "pointwise": 0, "dense": 0}


def test_lamp_scores_by_hand() -> None:
    """Squares 9, 1, 4: sorted 1, 4, 9 with tails 14, 13, 9."""
    assert lamp_scores(np.array([9.0, 1.0, 4.0])) == pytest.approx([1, 1 / 14, 4 / 13])


def test_lamp_spares_a_small_layer() -> None:
    """The largest weight of each layer has score 1, so a budget of one weight a layer leaves no layer empty."""
    net = residual()
    done = Prune(keep=len(net.convs))(net, images(net))
    assert [op.weight.size - zeros(op) for op in done.convs] == [1] * len(net.convs)


def test_pruned_weights_stay_zero_when_quantised() -> None:
    net = residual()
    pruned = Prune(sparsity=0.6)(net, images(net))
    done = Quantize(weights="affine", bits=7)(pruned, images(net))
    for op, rounded in zip(pruned.convs, fake_weights(done).convs, strict=True):
        assert not rounded.weight[op.weight == 0].any()


def test_prune_refuses() -> None:
    with pytest.raises(HwgenError, match="give exactly one of sparsity, keep and layer_sparsity"):
        Prune()
    with pytest.raises(HwgenError, match=r"sparsity must be in 0\.\.1, not 1\.5"):
        Prune(sparsity=1.5)
    with pytest.raises(HwgenError, match="keep must be at most"):
        Prune(keep=10**6).fit(residual(), images(residual()))


# Singular values

def test_error_is_the_tail_of_the_singular_values() -> None:
    net = residual()
    for rank in (1, 3, 5):
        done = Svd(ranks={"dense": rank})(net, images(net))
        first, second = done.conv("dense/svd_1"), done.conv("dense/svd_2")
        product = second.weight.reshape(5, rank) @ first.weight.reshape(rank, -1)
        matrix = net.conv("dense").weight.reshape(5, -1)
        tail = np.linalg.svd(matrix, compute_uv=False)[rank:]
        assert np.linalg.norm(matrix - product) == pytest.approx(float(np.sqrt((tail**2).sum())), abs=1e-5)
        assert done.shapes[first.output] == (1, 1, 1, rank) and run_float(done, images(net).x).shape[3] == 5


def test_full_rank_computes_the_same() -> None:
    net = residual()
    data = images(net)
    done = Svd(ranks={"pointwise": 8, "dense": 5, "stem": 8})(net, data)
    assert np.allclose(run_float(done, data.x), run_float(net, data.x), atol=1e-5)


def test_planted_rank_is_found_by_energy() -> None:
    rng = np.random.default_rng(9)
    layer = conv(rng, "only", "x", 32, 24, 1)
    weight = rng.normal(size=(24, 3)) @ rng.normal(size=(3, 32))
    net = graph([replace(layer, weight=weight.astype(np.float32).reshape(24, 1, 1, 32))],
                {"x": (4, 4, 32), "only_out": (4, 4, 24)})
    plan = Svd(energy=0.999999).fit(net, images(net))
    assert plan.layers["only"]["rank"] == 3 and plan.layers["only"]["relative_error"] < 1e-6


def test_svd_refuses_and_leaves_out() -> None:
    net = residual()
    with pytest.raises(HwgenError, match="rank must be at most 5, that of its 5 x 32 weights, not 6") as found:
        Svd(ranks={"dense": 6}).fit(net, images(net))
    assert found.value.where == "dense"
    with pytest.raises(HwgenError, match="a layer of 8 groups cannot be split"):
        Svd(ranks={"depthwise": 1}).fit(net, images(net))
    assert Svd(rank=4).fit(net, images(net)).notes == ["pointwise: rank 4 of 8 x 8 saves nothing, left as it is"]
