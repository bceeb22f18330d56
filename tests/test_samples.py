"""Mappings are chosen by how dense the maps of given images are."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from hwgen.compiler import compile_graph
from hwgen.compiler.density import Samples, measure
from hwgen.compiler.files import program_files
from hwgen.config import Config
from hwgen.embedded import DATA, MODEL, embedded_model
from hwgen.errors import HwgenError
from hwgen.golden.inputs import quantize_input
from hwgen.inputs import load_inputs
from hwgen.model.graph import Graph
from hwgen.presets import preset
from hwgen.samples import SAMPLE_IMAGES, samples
from hwgen.sparse_layer import Zeros, sparse_layer
from hwgen.verify.inputs import image_maps
from tests.test_cli import call, refused


def test_densities_are_those_of_the_maps() -> None:
    graph, x = sparse_layer(Zeros(activations=0.3))
    found = samples(graph, preset("base-sparse"), x)
    assert found is not None and set(found) == {"x", "y"}
    density = measure(found["x"], graph.tensors["x"].zero_point, 8)
    assert density.values == pytest.approx(0.3, abs=1e-3)
    assert density.values < density.pixels <= 1


@pytest.mark.parametrize("name", ["base", "large"])
def test_dense_machines_have_none(name: str) -> None:
    graph, x = sparse_layer(Zeros())
    assert samples(graph, preset(name), x) is None
    assert samples(graph, preset("base-sparse").replace(skip="weight"), x) is None


def test_images_are_spread_over_all_that_are_given() -> None:
    graph, x = sparse_layer(Zeros())
    empty = np.full_like(x, graph.tensors["x"].zero_point)
    many = np.concatenate([x.repeat(500, axis=0), empty.repeat(500, axis=0)])
    found = samples(graph, preset("base-sparse"), many)
    assert found is not None and measure(found["x"], graph.tensors["x"].zero_point, 8).values == 0.5
    assert len(many) > SAMPLE_IMAGES


def test_compile_with_a_profile(tmp_path: Path) -> None:
    graph, config = embedded_model(), preset("base-sparse")
    x = quantize_input(graph, load_inputs(DATA)[0])
    done = call("compile", MODEL, "--preset", "base-sparse", "--profile", DATA, "-o", tmp_path / "with")
    assert done.exit_code == 0, done.output
    expected = program_files(compile_graph(graph, config, samples=samples(graph, config, x)))
    without = program_files(compile_graph(graph, config))
    assert (tmp_path / "with/plan.json").read_text() == expected["plan.json"] != without["plan.json"]


def test_verify_compiles_by_the_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else by the images that are verified."""
    graph, config = embedded_model(), preset("base-sparse")
    used: list[Samples | None] = []

    def compile_and_stop(graph: Graph, config: Config, samples: Samples | None, weight_format: str) -> NoReturn:
        used.append(samples)
        raise HwgenError("enough")

    monkeypatch.setattr("hwgen.verify.flow.compile_graph", compile_and_stop)
    monkeypatch.setattr("hwgen.verify.flow.require", lambda simulator: None)
    assert "enough" in call("verify", MODEL, "--preset", "base-sparse", "--profile", DATA).stderr
    assert "enough" in call("verify", MODEL, "--preset", "base-sparse", "--seed", 3).stderr
    digits, noise = quantize_input(graph, load_inputs(DATA)[0]), image_maps(graph, None, seed=3)
    for got, x in zip(used, (digits, noise), strict=True):
        expected = samples(graph, config, x)
        assert got is not None and expected is not None and got.keys() == expected.keys()
        assert all(np.array_equal(got[name], expected[name]) for name in expected)
    first, second = used
    assert first is not None and second is not None
    assert any(not np.array_equal(first[name], second[name]) for name in first)


def test_a_profile_that_does_not_fit(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.zeros((2, 5, 5, 1), np.float32))
    arguments = ["compile", MODEL, "--preset", "base-sparse", "-o", tmp_path / "out", "--profile"]
    refused(call(*arguments, tmp_path / "x.npz"), "the input must have the shape (N, 8, 8, 1)")
    refused(call(*arguments, tmp_path / "absent.npz"), "the input file cannot be read")
    assert not (tmp_path / "out").exists()
