"""Structured pruning: the smaller network computes what the masked one does, and planted channels go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hwgen.compress.channels import Channels, scaled, silenced, without
from hwgen.compress.count import count
from hwgen.compress.data import Data
from hwgen.compress.execute import run_float
from hwgen.compress.graph import Activation, FloatConv, FloatGraph, FloatPool
from hwgen.compress.lower import lower
from hwgen.compress.techniques.prune_channels import PruneChannels
from hwgen.compress.techniques.quantize import Quantize
from hwgen.errors import HwgenError
from hwgen.model.graph import Concat, Op, Pad, Reshape
from tests.compress.networks import RELU, conv, dense, graph, images, norm, residual


def branches(seed: int = 3) -> FloatGraph:
    """Two branches side by side, a depthwise layer over both, normalisation, padding, and places made channels."""
    rng = np.random.default_rng(seed)
    ops: list[Op] = [
        conv(rng, "stem", "x", 3, 6),
        norm(rng, "norm", "stem_out", 6, **RELU),
        conv(rng, "left", "norm_out", 6, 4, **RELU),
        conv(rng, "right", "norm_out", 6, 8, 1, **RELU),
        Concat(name="concat", inputs=("left_out", "right_out"), output="concat_out", axis=3),
        conv(rng, "depthwise", "concat_out", 12, 24, groups=12, **RELU),
        FloatPool(name="pool", inputs=("depthwise_out",), output="pool_out", kind="max", kernel=(3, 3), stride=(3, 3)),
        Activation(name="clip", inputs=("pool_out",), output="clip_out", hi=3.0),
        Pad(name="pad", inputs=("clip_out",), output="pad_out", pad=(1, 0, 0, 1)),
        Reshape(name="flat", inputs=("pad_out",), output="flat_out"),
        dense(rng, "dense", "flat_out", (1, 1, 9 * 24), 5),
    ]
    sizes = {"stem": (6, 6, 6), "norm": (6, 6, 6), "left": (6, 6, 4), "right": (6, 6, 8), "concat": (6, 6, 12),
             "depthwise": (6, 6, 24), "pool": (2, 2, 24), "clip": (2, 2, 24), "pad": (3, 3, 24), "flat": (1, 1, 216),
             "dense": (1, 1, 5)}
    return graph(ops, {"x": (6, 6, 3), **{f"{name}_out": size for name, size in sizes.items()}})


@pytest.mark.parametrize("net", [residual(), branches()], ids=["add", "concat"])
@pytest.mark.parametrize("seed", range(5))
def test_the_smaller_network_computes_what_the_masked_one_does(net: FloatGraph, seed: int) -> None:
    channels = Channels(net)
    rng = np.random.default_rng(seed)
    gone: set[int] = set()
    for group in channels.groups():
        if channels.fixed(group[0].output) is None:
            classes = np.unique(np.concatenate([channels.of(op.output) for op in group]))
            gone |= set(rng.choice(classes, len(classes) // 2, replace=False).tolist())
    small, masked = without(net, channels, gone), silenced(net, channels, gone)
    x = images(net).x
    assert np.allclose(run_float(small, x), run_float(masked, x), atol=1e-5)
    assert count(small).weights < 0.7 * count(net).weights and count(small).macs < count(net).macs
    assert not np.allclose(run_float(small, x), run_float(net, x), atol=1e-2)


def test_what_is_tied() -> None:
    groups = [[op.name for op in group] for group in Channels(residual()).groups()]
    assert groups == [["stem", "pointwise"], ["dense"]]
    assert [[op.name for op in g] for g in Channels(branches()).groups()] == [["stem"], ["left"], ["right"], ["dense"]]


@pytest.mark.parametrize("criterion", ["l1", "l2", "bn_gamma", "geometric_median", "taylor"])
def test_planted_channels_go(criterion: str) -> None:
    net = branches()
    if criterion != "bn_gamma":
        for name in ("left", "right"):
            op = net.conv(name)
            factor = np.ones(len(op.weight), np.float32)
            factor[[1, 3]] = 0 if criterion != "geometric_median" else 1
            weight = op.weight.copy()
            if criterion == "geometric_median":
                weight[[1, 3]] = np.median(weight, axis=0)  # in the middle of the others, which can stand for it
            net = net.replace_ops({op: (scaled(replace(op, weight=weight), factor),)})
        carrier = net.conv("depthwise")  # its bias would be what is left of a silent channel, and may matter
        net = net.replace_ops({carrier: (replace(carrier, bias=np.zeros(24, np.float32)),)})
        step = PruneChannels(layer_ratio={"left": 0.5, "right": 0.25}, criterion=criterion)
        plan = step.fit(net, images(net))
        assert {name: entry["removed"] for name, entry in plan.layers.items()} == {"left": [1, 3], "right": [1, 3]}
    else:
        (op,) = (op for op in net.ops if op.name == "norm")
        gamma = np.array([1, 0.1, 2, -3, -0.2, 1], np.float32)
        net = net.replace_ops({op: (replace(op, gamma=gamma),)})  # type: ignore[call-arg]
        plan = PruneChannels(layer_ratio={"stem": 1 / 3}, criterion=criterion).fit(net, images(net))
        assert plan.layers["stem"]["removed"] == [1, 4]


def test_taylor_is_the_square_of_the_derivative() -> None:
    """One layer and a softmax: the derivative by a gate is the mean of (p - y) times what the channel adds."""
    rng = np.random.default_rng(4)
    net = graph([conv(rng, "first", "x", 3, 4, 1), dense(rng, "dense", "first_out", (1, 1, 4), 5)],
                {"x": (1, 1, 3), "first_out": (1, 1, 4), "dense_out": (1, 1, 5)})
    data = images(net, 64)
    hidden = data.x.reshape(-1, 3) @ net.conv("first").weight.reshape(4, 3).T + net.conv("first").bias
    last = net.conv("dense").weight.reshape(5, 4)
    logits = hidden @ last.T + net.conv("dense").bias
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert data.y is not None
    slope = ((p - np.eye(5)[data.y])[:, :, None] * last * hidden[:, None]).sum(axis=1).mean(axis=0)
    plan = PruneChannels(layer_ratio={"first": 0.5}, criterion="taylor").fit(net, data)
    assert plan.layers["first"]["removed"] == sorted(np.argsort(slope**2)[:2].tolist())


@pytest.mark.parametrize("options", [{"ratio": 0.5}, {"ratio": 0.5, "ratios": "global"}, {"ratio": 0.3, "multiple": 4}])
def test_ratios(options: dict[str, Any]) -> None:
    net = residual()
    step = PruneChannels(**options)
    plan = step.fit(net, images(net))
    done = step.apply(net, plan)
    left = {op.name: len(op.weight) for op in done.convs}
    assert left == {"stem": 4 if "multiple" not in options else 8, "depthwise": left["stem"],
                    "pointwise": left["stem"], "dense": 5}
    assert plan.layers["stem"]["removed"] == plan.layers["pointwise"]["removed"]
    assert plan.notes == ["dense: channels cannot be removed, they are the network's output"]
    lower(Quantize()(done, images(net)))  # the machine takes it


def grouped() -> FloatGraph:
    rng = np.random.default_rng(8)
    ops: list[Op] = [conv(rng, "stem", "x", 3, 8), conv(rng, "grouped", "stem_out", 8, 8, groups=2),
                     conv(rng, "last", "grouped_out", 8, 5)]
    return graph(ops, {"x": (4, 4, 3), **{f"{n}_out": (4, 4, c) for n, c in (("stem", 8), ("grouped", 8),
                                                                                      ("last", 5))}})


@pytest.mark.parametrize(("net", "step", "layer", "rule"), [
    (residual(), PruneChannels(layer_ratio={"dense": 0.5}), "dense", "they are the network's output"),
    (residual(), PruneChannels(ratio=0.5, layers=("depthwise",)), "depthwise", "a depthwise layer has the channels"),
    (residual(), PruneChannels(layer_ratio={"stem": 0.5, "pointwise": 0.25}), "stem", "must have one ratio"),
    (residual(), PruneChannels(ratio=0.5, criterion="bn_gamma"), "stem", "no batch normalisation follows"),
    (grouped(), PruneChannels(layer_ratio={"stem": 0.5}), "stem", "grouped is a convolution of 2 groups"),
    (grouped(), PruneChannels(ratio=0.5), "net", "no channel of the chosen layers can be removed"),
])
def test_refused(net: FloatGraph, step: PruneChannels, layer: str, rule: str) -> None:
    with pytest.raises(HwgenError, match=rule) as found:
        step.fit(net, images(net))
    assert found.value.where == layer


def test_refused_parameters_and_data() -> None:
    with pytest.raises(HwgenError, match="give exactly one of ratio and layer_ratio"):
        PruneChannels()
    net = residual()
    with pytest.raises(HwgenError, match="the criterion taylor needs labels"):
        PruneChannels(ratio=0.5, criterion="taylor").fit(net, Data(images(net).x))
    channels = Channels(net)
    with pytest.raises(HwgenError, match="at least one channel of a map must be left"):
        without(net, channels, channels.of("stem_out").tolist())
    stem = net.conv("stem")
    clamped = net.replace_ops({stem: (replace(stem, lo=0.5),)})
    with pytest.raises(HwgenError, match="stem clamps to a range without zero"):
        PruneChannels(layer_ratio={"stem": 0.5}).fit(clamped, images(net))
    assert isinstance(stem, FloatConv)


def test_refit_finds_what_makes_up_for_a_channel_that_others_hold() -> None:
    """One channel is the mean of two others: without it the reader can compute the same, and refitting finds out."""
    rng = np.random.default_rng(8)
    first = conv(rng, "first", "x", 3, 8)
    first.weight[2], first.bias[2] = (first.weight[0] + first.weight[1]) / 2, (first.bias[0] + first.bias[1]) / 2
    first.weight[2:3] *= np.float32(0.9)
    first.bias[2:3] *= np.float32(0.9)
    net = graph([first, conv(rng, "second", "first_out", 8, 4)],
                {"x": (6, 6, 3), "first_out": (6, 6, 8), "second_out": (6, 6, 4)})
    data, other = images(net, 128), images(net, 32, seed=9)
    wanted = run_float(net, other.x)
    errors = []
    for refit in (False, True):
        step = PruneChannels(layer_ratio={"first": 0.125}, refit=refit)
        plan = step.fit(net, data)
        done = step.apply(net, plan)
        assert plan.layers["first"]["removed"] == [int(np.argmin(np.square(first.weight).sum(axis=(1, 2, 3))))]
        errors.append(float(np.square(run_float(done, other.x) - wanted).mean() / wanted.var()))
    assert plan.layers["first"]["removed"] == [2] and errors[1] < 1e-3 < 0.02 < errors[0], errors


@pytest.mark.parametrize("net", [residual(), branches()], ids=["add", "concat"])
@pytest.mark.parametrize("criterion", ["l2", "bn_gamma"])
def test_refit_through_ties(net: FloatGraph, criterion: str) -> None:
    if criterion == "bn_gamma" and not any(op.name == "norm" for op in net.ops):
        return
    layers = ("stem",) if criterion == "bn_gamma" else ()
    data, other = images(net, 128), images(net, 32, seed=9)
    wanted = run_float(net, other.x)
    errors = []
    for refit in (False, True):
        done = PruneChannels(ratio=0.25, criterion=criterion, refit=refit, layers=layers)(net, data)
        errors.append(float(np.square(run_float(done, other.x) - wanted).mean()))
    assert errors[1] < errors[0]
