"""The comparison with ONNX Runtime finds differences where there are some."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.embedded import digit_images, embedded_model
from hwgen.golden.graph import run
from hwgen.golden.inputs import quantize_input
from hwgen.reference.onnxruntime import compare_with_onnxruntime


@pytest.mark.parametrize("error", [1, 3])
def test_an_error_in_one_map_is_found(error: int) -> None:
    graph = embedded_model()
    tensors = dict(run(graph, quantize_input(graph, digit_images()[0][:2]), keep=True).tensors)
    clean = {row.name: row for row in compare_with_onnxruntime(graph, tensors)}
    wrong = tensors[graph.output].copy()
    wrong[0, 0, 0, 3] += np.int8(error)
    tensors[graph.output] = wrong
    report = {row.name: row for row in compare_with_onnxruntime(graph, tensors)}
    assert clean["dense"].max_difference == 0
    assert report["dense"] == ("dense", 20, int(error == 1), error)
    assert all(report[name] == clean[name] for name in clean if name != "dense")
