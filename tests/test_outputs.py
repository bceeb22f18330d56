"""What ``hwgen run -o`` writes: every output as the file defines it, by its name."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from hwgen.model.graph import Graph
from hwgen.outputs import named, npz
from tests.test_inputs import network


def two(first: str, second: str) -> Graph:
    """A network of two outputs of these names, the first of shape (1, 12) and the second without batch."""
    graph = network("a", "b")
    a, b = graph.outputs
    return replace(graph, outputs=(replace(a, name=first, shape=(1, 12), scale=0.5, zero_point=2),
                                   replace(b, name=second, shape=(2, 2, 3), type="float32", scale=0.0)))


VALUES = [np.arange(24, dtype=np.int8).reshape(2, 1, 12), np.ones((2, 2, 2, 3), np.float32)]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("logits", "map", {"logits": 0, "map": 1, "y": 0}),
        ("a/b:0", "file", {"a/b:0": 0, "file": 1, "y": 0}),
        ("out", "out", {"out": 0, "out:1": 1, "y": 0}),
        ("logits", "y", {"logits": 0, "y": 1}),
        ("y", "map", {"y": 0, "map": 1}),
    ],
)
def test_names(first: str, second: str, expected: dict[str, int]) -> None:
    graph = two(first, second)
    shapes = [(2, 12), (2, 2, 2, 3)]
    with np.load(io.BytesIO(npz(graph, VALUES))) as file:
        assert set(file.files) == {*expected, "real"}
        for name, i in expected.items():
            assert file[name].dtype == VALUES[i].dtype and file[name].shape == shapes[i]
            assert np.array_equal(file[name].ravel(), VALUES[i].ravel())


def test_real_numbers_of_the_first_output() -> None:
    real = named(two("a", "b"), VALUES)["real"]
    assert real.dtype == np.float32 and np.array_equal(real.ravel(), (np.arange(24) - 2) * 0.5)
    own = named(two("a", "real"), VALUES)["real"]
    assert own is VALUES[1]


def test_the_same_bytes_for_the_same_values() -> None:
    assert npz(two("a", "b"), VALUES) == npz(two("a", "b"), VALUES)
