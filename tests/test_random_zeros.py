"""Random zeros: exactly as many as asked for in every layer, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.embedded import digit_images, embedded_model
from hwgen.golden.inputs import quantize_input
from hwgen.model.graph import Conv, Graph
from hwgen.model.onnx_reader import read_onnx
from hwgen.model.onnx_writer import write_onnx
from hwgen.random_zeros import with_random_zeros
from tests.references import compared


def weights(graph: Graph) -> list[np.ndarray]:
    return [op.weight for op in graph.ops if isinstance(op, Conv)]


def test_every_layer_has_its_share() -> None:
    graph = embedded_model()
    for before, after in zip(weights(graph), weights(with_random_zeros(graph, 0.7)), strict=True):
        kept = after != 0
        assert after.dtype == before.dtype and np.array_equal(after[kept], before[kept])
        # Weights that were zero may be among those that are kept.
        assert np.count_nonzero(before) * 0.2 < kept.sum() <= round(0.3 * before.size)


def test_seed_decides_and_the_network_stays() -> None:
    graph = embedded_model()
    before = [w.copy() for w in weights(graph)]
    one, same, other = (weights(with_random_zeros(graph, 0.5, seed))[0] for seed in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(graph), strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(with_random_zeros(graph, 0)), strict=True))
    assert not any(w.any() for w in weights(with_random_zeros(graph, 1)))


def test_it_is_compared_through_a_file(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (hwgen[reference])")
    write_onnx(with_random_zeros(embedded_model(), 0.7), tmp_path / "m.onnx")
    graph = read_onnx(tmp_path / "m.onnx")
    found = compared(tmp_path / "m.onnx", graph, quantize_input(graph, digit_images()[0][:3]))
    assert found.equal, found.summary


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_impossible_shares(share: float) -> None:
    with pytest.raises(ValueError, match=r"in 0\.\.1"):
        with_random_zeros(embedded_model(), share)
