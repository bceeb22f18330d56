"""Which work a row of zeros is measured on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from hwgen.embedded import DATA, MODEL, embedded_model
from hwgen.errors import HwgenError
from hwgen.presets import preset
from hwgen.random_zeros import with_random_zeros
from hwgen.sparse_layer import Zeros, sparse_layer
from hwgen.speedups import SPEEDUPS, Inputs, Network, Speedup
from hwgen.verify import speedup
from hwgen.verify.speedup import Folders, load_some, mac_density, measure

DIGITS = Network(MODEL.name, Inputs(DATA.name))


@pytest.fixture
def folders() -> Folders:
    return Folders(MODEL.parent, DATA.parent)


def test_rows_are_legal() -> None:
    assert len({(s.name, s.machine) for s in SPEEDUPS}) == len(SPEEDUPS)
    for row in SPEEDUPS:
        assert speedup._machine(row).skip == (row.skip or preset(row.preset).skip) != "none"
        assert (row.must is None) == (row.aim is None)
        assert row.must is None or row.aim is None or row.must < row.aim


def test_inputs_are_different_ones_spread_over_the_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=np.arange(100))
    measured, typical = load_some(Inputs("x.npz"), tmp_path / "x.npz", 4, 16)
    assert len(measured) == 4 and len(typical) == 16 and len({*measured, *typical}) == 20
    assert measured[0] == 0 and measured[-1] == 99 and typical[0] < 10 and typical[-1] > 90
    with pytest.raises(HwgenError, match="x must hold 101 inputs or more, not 100"):
        load_some(Inputs("x.npz"), tmp_path / "x.npz", 1, 100)


def test_inputs_of_several_frames(tmp_path: Path) -> None:
    frames = np.arange(12).reshape(6, 2)
    np.savez(tmp_path / "x.npz", sound=frames)
    first, others = load_some(Inputs("x.npz", "sound", frames=3), tmp_path / "x.npz", 1, 3)
    assert np.array_equal(first, [frames[0:3].ravel()])
    assert np.array_equal(others[-1], frames[3:6].ravel())


def test_density_is_that_of_the_multiplications() -> None:
    graph, _ = sparse_layer(Zeros(weights=0.25))
    assert mac_density(graph) == pytest.approx(0.25)
    digits = embedded_model()
    assert mac_density(digits) > 0.9
    assert mac_density(with_random_zeros(digits, 0.7)) == pytest.approx(0.3, abs=0.02)


def test_absent_files(folders: Folders) -> None:
    row = Speedup("digits", dataclasses.replace(DIGITS, dense="other.onnx"), 1, 2)
    assert folders.absent(row) == ["other.onnx"]
    assert folders.absent(Speedup("digits", DIGITS, 1, 2)) == []
    assert folders.absent(Speedup("layer", Zeros(), 1, 2)) == []
    with pytest.raises(HwgenError, match=r"other\.onnx is absent"):
        measure(row, folders)


def test_compressed_networks_are_found_in_their_folder(tmp_path: Path, folders: Folders) -> None:
    (tmp_path / "other.onnx").touch()
    assert folders.find("other.onnx") is None
    assert dataclasses.replace(folders, compressed=tmp_path).find("other.onnx") == tmp_path / "other.onnx"


@pytest.mark.slow
def test_a_network_in_rtl(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speedup, "BASE", "tiny")
    plain = measure(Speedup("digits", DIGITS, 1, 2), folders)
    pruned = Speedup("digits", dataclasses.replace(DIGITS, zeros=0.7), 1, 2, skip="weight")
    sparse = measure(pruned, folders)
    assert plain.bit_exact and sparse.bit_exact
    assert plain.dense == sparse.dense and sparse.skipping < plain.dense / 2
    assert sparse.density == pytest.approx(0.3, abs=0.02)
    assert abs(sum(n.dense for n in sparse.layers) - sparse.dense) < 0.01 * sparse.dense
