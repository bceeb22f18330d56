"""What the remedy of a network says that its quantiser left partly in float: quantised whole, it runs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hwgen.cli import app
from hwgen.errors import HwgenError
from hwgen.golden.inputs import random_inputs
from hwgen.model.onnx_reader import read_onnx
from hwgen.reference.runtime import RUNTIMES
from hwgen.verify.reference import compare, keys
from tests.shared_data import shared_file

pytest.importorskip("onnxruntime")

NAMES = ("add_unquantised_conv", "global_mean_last_not_quantised_by_ort", "nncf_last_layer_not_quantised_resnet",
         "pt2e_x86_conv_add_not_quantised_resnet", "tao_21")


@pytest.mark.parametrize("name", NAMES)
def test_the_remedy_helps(name: str, tmp_path: Path) -> None:
    path = shared_file("cases", f"{name}.onnx")
    with pytest.raises(HwgenError) as error:
        read_onnx(path)
    (command,) = set(re.findall(r"hwgen (compress \S+ --recipe int8 --data INPUTS.npz -o \S+)", str(error.value)))
    np.savez(tmp_path / "INPUTS.npz", x=np.random.default_rng(1).normal(0, 1, (24, *_shape(path))).astype(np.float32))
    words = [str(path) if word == f"{name}.onnx" else str(tmp_path / word) if word.endswith((".npz", ".onnx")) else word
             for word in command.split()]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    made = tmp_path / f"{name}_int8.onnx"
    graph = read_onnx(made)
    given = random_inputs(graph, 2, 1)
    report = compare(graph, given, [(RUNTIMES["onnx"][0], RUNTIMES["onnx"][0].run(made, given, keys(graph)))])
    assert report.equal, report.summary


def _shape(path: Path) -> tuple[int, ...]:
    import onnx

    dims = onnx.load(path).graph.input[0].type.tensor_type.shape.dim
    return tuple(dim.dim_value for dim in dims[1:])
