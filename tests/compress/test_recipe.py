"""Recipes: everything wrong in one is said with step, layer and rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwgen.compress.recipe import load_recipe, make_recipe
from hwgen.errors import HwgenError

QUANTIZE = '[[step]]\nname = "quantize"\n'


def test_family() -> None:
    quantize, prune, svd = {"name": "quantize"}, {"name": "prune", "sparsity": 0.5}, {"name": "svd", "rank": 2}
    assert make_recipe("r", [quantize, {"name": "bias_correction"}]).family == "quantization"
    assert make_recipe("r", [prune]).family == "sparsification"
    assert make_recipe("r", [svd]).family == "decomposition"
    assert make_recipe("r", [prune, quantize]).family == "joint"


@pytest.mark.parametrize(("text", "message"), [
    ("", "a recipe must have at least one [[step]]"),
    ("[[step]]\nbits = 8\n", "step 1 (?): every step must have a name"),
    ('[[step]]\nname = "quantise"\n', "step 1 (quantise): unknown step 'quantise'"),
    (QUANTIZE + "bit = 8\n", "step 1 (quantize): unknown parameter bit"),
    (QUANTIZE + "bits = 17\n", "step 1 (quantize): bits must be in 1..16, not 17"),
    (QUANTIZE + "bits = 8.5\n", "step 1 (quantize): bits must be an integer, not 8.5"),
    (QUANTIZE + "bits = true\n", "step 1 (quantize): bits must be an integer, not True"),
    (QUANTIZE + 'weights = "log"\n', "step 1 (quantize): weights must be one of symmetric, affine, not 'log'"),
    (QUANTIZE + "layer_bits = { a = 0 }\n", "step 1 (quantize): layer_bits must be in 1..16, not 0"),
    (QUANTIZE + 'layer_bits = { a = "x" }\n', "layer_bits must be a table of layer names and integers"),
    (QUANTIZE + "samples = 3\n", "step 1 (quantize): samples must be at least 16, not 3"),
    (QUANTIZE + "percentile = nan\n", "step 1 (quantize): percentile must be finite, not nan"),
    ('[[step]]\nname = "prune"\nsparsity = 1.5\n' + QUANTIZE, "step 1 (prune): sparsity must be in 0..1, not 1.5"),
    ('[[step]]\nname = "prune"\n' + QUANTIZE, "step 1 (prune): give exactly one of sparsity, keep and layer_sparsity"),
    ('[[step]]\nname = "svd"\nrank = 0\n' + QUANTIZE, "step 1 (svd): rank must be at least 1, not 0"),
    ('[[step]]\nname = "svd"\nlayers = [1]\nrank = 1\n', "layers must be a list of strings, not (1,)"),
    (QUANTIZE + QUANTIZE, "step 2 (quantize): may stand only once"),
    (QUANTIZE + '[[step]]\nname = "equalize"\n', "step 2 (equalize): must stand before quantize"),
    ('[[step]]\nname = "bias_correction"\n' + QUANTIZE, "step 1 (bias_correction): must stand after quantize"),
    ("x = 1\n", "a recipe holds [[step]] tables and nothing else, not x"),
    ("step = 3\n", "a recipe holds [[step]] tables and nothing else"),
    ("[[step\n", "not a TOML file"),
])
def test_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(HwgenError) as found:
        load_recipe(path)
    assert message in str(found.value) and "recipe.toml" in str(found.value)


def test_absent(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match="cannot read the recipe: No such file"):
        load_recipe(tmp_path / "none.toml")
