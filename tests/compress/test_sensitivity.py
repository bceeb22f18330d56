"""Sensitivity: the quick way of measuring gives what whole runs give; the command writes data and picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hwgen.cli import app
from hwgen.compress.data import Data
from hwgen.compress.execute import run_float
from hwgen.compress.sensitivity import CURVES, rounded, sensitivity
from hwgen.compress.techniques.prune import Prune
from hwgen.compress.techniques.svd import Svd
from hwgen.compress.variants import answers, distance, top1
from hwgen.embedded import DATA, MODEL
from hwgen.errors import HwgenError
from tests.compress.networks import images, residual


def test_variants_answer_as_the_whole_networks_do() -> None:
    net = residual()
    data = images(net)
    stem, dense = net.conv("stem"), net.conv("dense")
    variants = {"stem": net.replace_ops({stem: (replace(stem, weight=rounded(stem, 2)),)}),
                "dense": net.replace_ops({dense: (replace(dense, weight=rounded(dense, 3)),)}),
                "rank": Svd(ranks={"pointwise": 2})(net, data), "same": net}
    base, found = answers(net, variants, data.x)
    assert np.array_equal(base, run_float(net, data.x).reshape(64, -1)) and list(found) == list(variants)
    for name, variant in variants.items():
        assert np.array_equal(found[name], run_float(variant, data.x).reshape(64, -1))


def test_curves_are_those_of_the_techniques() -> None:
    net = residual()
    labels = run_float(net, images(net).x).reshape(64, -1).argmax(axis=1)
    data = Data(images(net).x, labels)
    study = sensitivity(net, data, ("bits", "element", "rank"))
    assert study.inputs == 64 and study.top1 == 1 and len(study.curves) == 4 * 2 + 3
    curve = next(c for c in study.curves if (c.layer, c.curve) == ("dense", "element"))
    at = curve.settings.index(0.75)
    pruned = run_float(Prune(layer_sparsity={"dense": 0.75})(net, data), data.x).reshape(64, -1)
    assert curve.top1 is not None and curve.top1[at] == top1(pruned, labels)
    assert curve.error[at] == pytest.approx(distance(run_float(net, data.x).reshape(64, -1), pruned))
    for curve in study.curves:
        if curve.curve == "bits":
            assert curve.error[-1] < 0.1 * curve.error[0]
    assert study.notes == ["depthwise: a layer of 8 groups cannot be split"]


def test_every_curve_and_no_labels() -> None:
    net = residual()
    study = sensitivity(net, Data(images(net).x), CURVES, layers=("stem", "dense"), samples=16)
    assert study.top1 is None and all(c.top1 is None and len(c.error) == len(c.settings) for c in study.curves)
    assert "dense: grain vector does not fit, its output channels (of a group) must be a multiple of 8, not 5" \
        in study.notes
    with pytest.raises(HwgenError, match=r"a curve must be one of bits, element, .*, not 'byte'"):
        sensitivity(net, images(net), ("byte",))


def run(folder: Path, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["sensitivity", str(MODEL), "--data", str(DATA), "-o", str(folder / "out.json"),
                                    "--samples", "40", *more])
    return done.exit_code, done.output


def test_command(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the picture needs hwgen[report]")
    for name in ("a.svg", "b.svg", "c.png"):
        code, text = run(tmp_path, "--curves", "bits,element", "--plot", str(tmp_path / name))
        assert code == 0, text
    study = json.loads((tmp_path / "out.json").read_text())
    assert study["seed"] == 0 and study["inputs"] == 40 and {c["curve"] for c in study["curves"]} == {"bits", "element"}
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.svg").read_text().count("<svg") == 1
    assert (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(("more", "message"), [
    (("--curves", "bits,byte"), "a curve must be one of"),
    (("--plot", "picture.gif"), "the picture must be an .svg or .png file"),
])
def test_command_refuses(more: tuple[str, ...], message: str, tmp_path: Path) -> None:
    code, text = run(tmp_path, *more)
    assert code == 2 and message in text.replace("\n", " ") and not list(tmp_path.iterdir())
