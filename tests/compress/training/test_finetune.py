"""Fine-tuning: it learns, holds what it must, goes on after an interruption, and says what is wrong."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from hwgen.compress.data import Data
from hwgen.compress.execute import run_float
from hwgen.compress.grains import Block
from hwgen.compress.graph import FloatGraph
from hwgen.compress.lower import lower
from hwgen.compress.pipeline import compress
from hwgen.compress.plan import Plan
from hwgen.compress.recipe import make_recipe
from hwgen.compress.technique import Surroundings
from hwgen.compress.techniques.finetune import Finetune
from hwgen.compress.techniques.prune import Prune
from hwgen.compress.techniques.quantize import Quantize
from hwgen.compress.techniques.share import Share
from hwgen.compress.training.settings import Settings
from hwgen.errors import HwgenError
from tests.compress.networks import images, residual
from tests.compress.test_lower import branches

torch = pytest.importorskip("torch", reason="PyTorch is not installed (hwgen[train])")


def taught(count: int = 256) -> tuple[FloatGraph, Data]:
    """An untrained network, and noise on top of a pattern for each class."""
    net = residual(1)
    rng = np.random.default_rng(4)
    data = images(net, count)
    assert data.y is not None
    pattern = np.kron(rng.normal(0, 0.7, (5, 2, 2, 3)), np.ones((1, 4, 4, 1)))
    return net, Data((data.x + pattern[data.y]).astype(np.float32), data.y, 3)


@cache
def solved() -> FloatGraph:
    """The network, trained."""
    return Finetune(epochs=8, batch=32, rate=0.01)(*taught())


def right(net: FloatGraph, data: Data) -> float:
    return float((run_float(net, data.x).reshape(len(data), -1).argmax(1) == data.y).mean())


@pytest.mark.parametrize("options", [{}, {"optimizer": "sgd"}, {"bfloat16": True}], ids=str)
def test_it_learns(options: dict[str, object]) -> None:
    net, data = taught()
    plan = Finetune(epochs=10, batch=32, rate=0.01, **options).fit(net, data)  # type: ignore[arg-type]
    assert right(net, data) < 0.5 and right(Finetune().apply(net, plan), data) > 0.8
    assert [entry["epoch"] for entry in plan.curve] == list(range(1, 11))
    assert plan.curve[-1]["loss"] < plan.curve[0]["loss"] and "epoch 10" in str(plan)


def test_a_plan_is_data_and_short_in_print() -> None:
    net, data = branches(), images(branches(), classes=4)
    step = Finetune(epochs=1)
    plan = step.fit(net, data)
    again = Plan.from_json(plan.to_json())
    assert np.array_equal(run_float(step.apply(net, plan), data.x), run_float(step.apply(net, again), data.x))
    assert not np.array_equal(run_float(step.apply(net, plan), data.x), run_float(net, data.x))
    assert len(str(plan)) < 5000


def test_zeros_and_codebooks_are_held() -> None:
    net, data = taught()
    pruned = Prune(sparsity=0.6)(net, data)
    shared = Share(entries=4)(pruned, data)
    for start in (pruned, shared):
        done = Finetune(epochs=2, rate=0.01)(start, data)
        for a, b in zip(start.convs, done.convs, strict=True):
            assert np.array_equal(a.weight == 0, b.weight == 0) and not np.array_equal(a.weight, b.weight)
            if start is shared:
                values = [np.unique(b.weight[a.weight == entry]) for entry in np.unique(a.weight)]
                assert all(len(v) == 1 for v in values)
    free = Finetune(epochs=1, rate=0.01, keep_zeros=False)(pruned, data)
    assert sum(int((op.weight == 0).sum()) for op in free.convs) < 20


def test_a_codebook_entry_gets_the_sum_of_its_gradients() -> None:
    from hwgen.compress.training.network import Network

    net, data = taught(16)
    shared = Share(entries=4)(net, data)
    module, plain = Network(shared), Network(net)
    for part, other in zip(plain.convolutions, module.convolutions, strict=True):
        part.weight.values.data.copy_(other.weight.dense())
    for network in (module, plain):
        network(torch.from_numpy(data.x)).square().sum().backward()
    for part, other in zip(plain.convolutions, module.convolutions, strict=True):
        values = part.weight.values
        assert values.grad is not None and other.weight.values.grad is not None
        sums = [values.grad[values == entry].sum() for entry in other.weight.values]
        assert torch.allclose(torch.stack(sums), other.weight.values.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("schedule", ["cubic", "iterative"])
@pytest.mark.parametrize("regrow", [False, True])
@pytest.mark.parametrize("ratios", ["uniform", "lamp"])
def test_pruning_hits_its_target(schedule: str, regrow: bool, ratios: str) -> None:
    net, data = taught()
    step = Finetune(epochs=4, batch=32, rate=0.01, sparsity=0.8, schedule=schedule, regrow=regrow, ratios=ratios)
    plan = step.fit(net, data)
    done = step.apply(net, plan)
    sizes = [op.weight.size for op in done.convs]
    zeros = [int((op.weight == 0).sum()) for op in done.convs]
    assert abs(sum(zeros) - 0.8 * sum(sizes)) <= (len(sizes) if ratios == "uniform" else 0.5)
    curve = [entry["sparsity"] for entry in plan.curve]
    assert curve == sorted(curve) and curve[-1] == pytest.approx(0.8, abs=0.005)
    exact = Finetune(epochs=2, layer_sparsity={"dense": 0.5, "stem": 0.25}, regrow=regrow)(net, data)
    assert {op.name: int((op.weight == 0).sum()) for op in exact.convs} == {
        "stem": 54, "depthwise": 0, "pointwise": 0, "dense": 80}


@pytest.mark.parametrize("ratios", ["uniform", "lamp"])
def test_vectors_go_together(ratios: str) -> None:
    net, data = taught()
    done = Finetune(epochs=2, batch=32, rate=0.01, sparsity=0.5, vector=8, ratios=ratios)(net, data)
    fit = [op for op in done.convs if Block(8, 1).misfit(op) is None]
    assert 0 < len(fit) < len(done.convs)
    zeros = 0
    for op in done.convs:
        assert op not in fit or Block(8, 1).holds(op, op.weight != 0)
        assert op in fit or op.weight.all()
        zeros += int((op.weight == 0).sum())
        if ratios == "uniform" and op in fit:
            assert (op.weight == 0).mean() == pytest.approx(0.5, abs=0.02)
    assert zeros == pytest.approx(0.5 * sum(op.weight.size for op in fit), abs=32)
    with pytest.raises(HwgenError, match=r"vectors do not fit: its output channels .* multiple of 8, not 5") as found:
        Finetune(vector=8, layer_sparsity={"dense": 0.5}).fit(net, data)
    assert found.value.where == "dense"
    with pytest.raises(HwgenError, match="vectors of 7 output channels fit no layer"):
        Finetune(vector=7, sparsity=0.5).fit(net, data)


def test_schedules_by_hand() -> None:
    cubic, stages = Settings(ramp=0.5), Settings(schedule="iterative", rounds=2, ramp=1.0)
    assert [cubic.sparsity_at(t, 0.2, 0.8) for t in (0, 0.25, 0.5, 1)] == pytest.approx([0.2, 0.725, 0.8, 0.8])
    assert [stages.sparsity_at(t, 0, 0.75) for t in (0, 0.49, 0.5, 1)] == pytest.approx([0.5, 0.5, 0.75, 0.75])
    assert [Settings(rate=2.0).rate_at(t) for t in (0, 0.5, 1)] == pytest.approx([2, 1, 0])
    assert [Settings(rate=2.0, warmup=1.0).rate_at(t) for t in (0, 0.5, 1)] == pytest.approx([0, 0.5, 0])


def test_only_regrowing_brings_weights_back() -> None:
    """A mask that hides the largest half of a trained layer: with regrowing, some of it comes back."""
    net, data = solved(), taught()[1]
    dense = net.conv("dense")
    bad = replace(dense, weight=np.where(np.abs(dense.weight) > np.median(np.abs(dense.weight)), 0, dense.weight))
    net = net.replace_ops({dense: (bad,)})
    for regrow in (False, True):
        step = Finetune(epochs=6, batch=32, rate=0.02, layer_sparsity={"dense": 0.5}, regrow=regrow)
        done = step(net, data).conv("dense")
        assert int((done.weight == 0).sum()) == 80 and bool(done.weight[bad.weight == 0].any()) == regrow


@pytest.mark.parametrize("scales", ["held", "learned"])
def test_quantisation_aware(scales: str) -> None:
    """Two bits: rounding costs much, training gives most of it back, in the integers too."""
    from hwgen.golden.graph import run
    from hwgen.golden.inputs import quantize_input

    net, data = solved(), taught(256)[1]
    rounded = Quantize(weight_bits=2, activation_bits=8, weight_range="mse")(net, data)
    done = Finetune(epochs=8, batch=32, rate=0.01, scales=scales)(rounded, data)
    before, after = right(rounded, data), right(done, data)
    assert after > before + 0.05
    for a, b in zip(rounded.convs, done.convs, strict=True):
        assert a.quantizer is not None and b.quantizer is not None
        assert np.array_equal(a.quantizer.scale, b.quantizer.scale) == (scales == "held")
    integers = run(lower(done), quantize_input(lower(done), data.x)).output.reshape(256, -1)
    assert (integers.argmax(1) == data.y).mean() == pytest.approx(after, abs=0.02)


def test_the_gradient_of_a_step_size() -> None:
    """LSQ by hand: scale 0.5, values 0.3 (0.6 steps, rounds to 1) and -9 (clipped to -3), 3 bits."""
    from hwgen.compress.quantizer import from_range
    from hwgen.compress.training.fake import Fake

    fake = Fake(from_range(-1.5, 1.5, 3, symmetric=True), learned=True, values=2)
    x = torch.tensor([0.3, -9.0], requires_grad=True)
    y = fake(x)
    assert y.tolist() == [0.5, -1.5]
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1, 0]
    assert fake.growth is not None and fake.growth.grad is not None
    # d scale / d growth = scale, the factor 1 / sqrt(2 values * 3 levels).
    assert float(fake.growth.grad) == pytest.approx(0.5 * (0.4 - 3) / 6**0.5, rel=1e-5)


def test_distillation_needs_no_labels() -> None:
    net, data = taught()
    plan = Finetune(epochs=8, batch=32, rate=0.01, distill=1.0, temperature=2.0).fit_in(
        net, Data(data.x), Surroundings(solved()))
    assert right(Finetune().apply(net, plan), data) > 0.8


class _StopError(Exception):
    pass


@pytest.mark.parametrize("options", [
    {"shift": 1, "flip": True, "sparsity": 0.7, "regrow": True, "distill": 0.5}, {"sparsity": 0.5, "optimizer": "sgd"},
    {"scales": "learned"}, {"bfloat16": True, "distill": 0.5}], ids=str)
def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path: Path, options: dict[str, object]) -> None:
    net, data = taught()
    if "scales" in options:
        net = Quantize(weight_bits=4)(net, data)
    step = Finetune(epochs=5, batch=32, rate=0.01, **options)  # type: ignore[arg-type]

    def stop(text: str) -> None:
        if text.startswith("epoch 3.00"):
            raise _StopError

    whole = step.fit_in(net, data, Surroundings(net)).to_json()
    with pytest.raises(_StopError):
        step.fit_in(net, data, Surroundings(net, 1, tmp_path, stop))
    heard: list[str] = []
    around = Surroundings(net, 1, tmp_path, heard.append)
    assert step.fit_in(net, data, around).to_json() == whole
    assert all(float(text.split()[1]) > 3 and "s left" in text for text in heard)
    assert heard[-1].startswith("epoch 5.00") and any(text.startswith("epoch 4.00") for text in heard)
    said = len(heard)
    assert step.fit_in(net, data, around).to_json() == whole and len(heard) == said  # nothing was left to do
    assert [p.name for p in tmp_path.iterdir()] == ["step1_finetune.pt"]
    with pytest.raises(HwgenError, match="the checkpoint is of another network, recipe, seed or data"):
        Finetune(epochs=6).fit_in(net, data, around)
    (tmp_path / "step1_finetune.pt").write_bytes(b"nothing")
    with pytest.raises(HwgenError, match="the checkpoint cannot be read"):
        step.fit_in(net, data, around)


def test_deep_compression_with_training() -> None:
    net, data = taught()
    test = taught(300)[1]
    recipe = make_recipe("deep", [
        {"name": "finetune", "epochs": 4, "sparsity": 0.7, "regrow": True, "distill": 0.5},
        {"name": "share", "entries": 8}, {"name": "finetune", "epochs": 2},
        {"name": "quantize"}, {"name": "finetune", "epochs": 2}, {"name": "huffman"}])
    assert recipe.family == "joint"
    assert [step.family for step in recipe.steps[:3]] == ["sparsification", "quantization", "quantization"]
    done = compress(net, recipe, data, test)
    assert [row.integer for row in done.rows] == [False] * 4 + [True] * 3
    assert done.rows[-1].counts.nonzero <= 0.31 * done.rows[0].counts.weights
    for op in done.graph.convs:
        assert op.storage in ("codebook", "huffman") and len(np.unique(op.weight)) <= 9


def test_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    net, data = taught()
    with pytest.raises(HwgenError, match="training needs labels y"):
        Finetune().fit(net, Data(data.x))
    with pytest.raises(HwgenError, match="the loss must stay finite"):
        Finetune(epochs=2, rate=1e30, optimizer="sgd").fit(net, data)
    with pytest.raises(HwgenError, match="give sparsity or layer_sparsity, not both"):
        Finetune(sparsity=0.5, layer_sparsity={"dense": 0.5})
    with pytest.raises(HwgenError, match=r"freeze must be at least ramp, 0\.9, not 0\.75"):
        Finetune(sparsity=0.5, regrow=True, ramp=0.9)
    with pytest.raises(HwgenError, match="there is no layer 'dence' with weights"):
        Finetune(layer_sparsity={"dence": 0.5}).fit(net, data)
    with pytest.raises(HwgenError, match="weights of a codebook cannot be pruned") as found:
        Finetune(sparsity=0.5).fit(Share(entries=4)(net, data), data)
    assert found.value.where == "stem"
    recipe = make_recipe("r", [{"name": "quantize"}, {"name": "finetune"}])
    with pytest.raises(HwgenError, match=r"r: step 2 \(finetune\): training must not see the data"):
        compress(net, recipe, data, data)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HwgenError, match=r"r: step 2 \(finetune\): training needs PyTorch") as missing:
        compress(net, recipe, data, taught(20)[1])
    assert missing.value.remedy == 'pip install "hwgen[train]"'
