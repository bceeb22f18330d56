"""The metadata of a compressed network's file: what QDQ cannot state, by keys that docs/compression.md describes."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from hwgen.compress.coding import decode
from hwgen.compress.data import Data
from hwgen.compress.execute import run_float
from hwgen.compress.graph import FloatGraph
from hwgen.compress.load import load_float_model
from hwgen.compress.pipeline import Compressed, compress
from hwgen.compress.quantizer import Quantizer
from hwgen.compress.recipe import make_recipe
from hwgen.errors import HwgenError
from hwgen.model.onnx_reader import read_onnx
from tests.compress.networks import images, residual

NET = residual()
DATA = images(NET)
DEEP: list[dict[str, Any]] = [{"name": "prune", "sparsity": 0.5, "grain": "vector", "vector": 4, "layers": ["stem"]},
                              {"name": "share", "entries": 8, "exclude": ["pointwise"]},
                              {"name": "quantize", "weight_bits": 6, "activation_bits": 7}, {"name": "huffman"}]


def made(*steps: dict[str, Any], annotate: bool = False, net: FloatGraph = NET, data: Data = DATA) -> Compressed:
    return compress(net, make_recipe("r", steps), data, data, annotate=annotate)


def read(result: Compressed) -> tuple[onnx.ModelProto, dict[str, Any]]:
    model = onnx.load_from_string(result.onnx)
    onnx.checker.check_model(model, full_check=True)
    props = {entry.key: entry.value for entry in model.metadata_props}
    assert props.pop("hwgen.format") == "1"
    return model, {key.removeprefix("hwgen."): json.loads(value) for key, value in props.items()}


def test_codebooks_huffman_grains_and_widths() -> None:
    result = made(*DEEP)
    model, found = read(result)
    weights = {t.name.removesuffix("/weight"): numpy_helper.to_array(t).transpose(0, 2, 3, 1)
               for t in model.graph.initializer if t.name.endswith("/weight")}
    assert set(found["layers"]) == set(weights) == {op.name for op in NET.convs}
    assert {node.name for node in model.graph.node if node.op_type == "Conv"} == set(weights)
    for name, entry in found["layers"].items():
        q = weights[name]
        assert entry["bits"] == 6 and entry["scheme"] == "symmetric" and entry["zeros"] == int((q == 0).sum())
        if "codebook" in entry:
            assert entry["codebook"] == sorted(set(q[q != 0].tolist()))
            assert len(entry["codebook"]) <= 8 or name == "pointwise"
            assert np.array_equal(decode(base64.b64decode(entry["coded"]), q.size), q.reshape(-1))
    assert found["layers"]["stem"]["grain"] == "vector" and found["layers"]["stem"]["vector"] == 4
    assert "grain" not in found["layers"]["dense"]
    assert found["layers"]["dense"]["storage"] in ("codebook", "huffman") and "codebook" in found["layers"]["dense"]
    assert set(found["maps"]) == set(NET.shapes) and all(entry == {"bits": 7} for entry in found["maps"].values())
    assert [step["name"] for step in found["steps"]] == ["prune", "share", "quantize", "huffman"]
    assert make_recipe("again", [_given(step) for step in found["steps"]]).family == "joint"
    total = sum(entry["bytes"] for entry in found["layers"].values())
    assert total < result.rows[-1].counts.bytes <= total + 5 * len(NET.shapes)


def _given(step: dict[str, Any]) -> dict[str, Any]:
    """A step's parameters as a recipe has them: TOML has no null."""
    return {key: value for key, value in step.items() if value is not None}


def test_plain_int8_says_little(tmp_path: Path) -> None:
    result = made({"name": "quantize"})
    _, found = read(result)
    assert found["maps"] == {} and all(entry["storage"] == "plain" for entry in found["layers"].values())
    (tmp_path / "net.onnx").write_bytes(result.onnx)
    assert len(read_onnx(tmp_path / "net.onnx").ops) == len(NET.ops)


@pytest.mark.parametrize("options", [{"bits": 12}, {"granularity": "group", "group": 1}, {"activation_bits": 16},
                                     {"weights": "affine", "weight_range": "mse"}], ids=str)
def test_what_the_machine_cannot_run(options: dict[str, Any], tmp_path: Path) -> None:
    """Real numbers, and quantizers from which the very network can be built again."""
    step = {"name": "quantize", **options}
    with pytest.raises(HwgenError, match="step 1") as refused:
        made(step)
    assert refused.value.remedy is not None and "--annotate" in refused.value.remedy
    result = made(step, annotate=True)
    assert not result.rows[-1].integer
    _, found = read(result)
    (tmp_path / "net.onnx").write_bytes(result.onnx)
    written = load_float_model(tmp_path / "net.onnx")
    for op in written.convs:
        quantizer = Quantizer.from_json(found["layers"][op.name]["quantizer"])
        assert np.allclose(quantizer.fake(op.weight), op.weight, rtol=1e-6, atol=0)
    assert {name: Quantizer.from_json(entry).bits for name, entry in found["maps"].items()} == {
        name: q.bits for name, q in result.graph.maps.items()}
    # Maps are not rounded in the file: its results are near those of the rounded network, and equal without rounding.
    assert np.allclose(run_float(written, DATA.x), run_float(result.graph, DATA.x), atol=0.1)


def test_documented() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs/compression.md").read_text(encoding="utf-8")
    (section,) = re.findall(r"^## What the file says\n(.*?)^## ", text, re.M | re.S)
    named = set(re.findall(r"`([\w.:]+)`", section))
    _, found = read(made(*DEEP))
    _, whole = read(made({"name": "quantize", "bits": 12}, annotate=True))
    keys = {f"hwgen.{key}" for key in found} | {"hwgen.format"}
    keys |= {key for value in (found, whole) for entry in value["layers"].values() for key in entry}
    assert keys <= named, keys - named
