"""ResNet-8 on CIFAR-10: 8 bits after training cost at most 0.3 points, over all 10,000 test images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.compress.data import make_data
from hwgen.compress.load import load_float_model
from hwgen.compress.pipeline import compress
from hwgen.compress.recipe import load_recipe
from tests.shared_data import shared_file

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["int8", "int8_mse"])
def test_int8(recipe: str) -> None:
    graph = load_float_model(shared_file("models", "resnet8_float.tflite"))
    with np.load(shared_file("data", "cifar10_test.npz")) as file:
        data = make_data(graph, file["x"], file["y"].astype(np.int64))
    rows = compress(graph, load_recipe(RECIPES / f"{recipe}.toml"), data, data).rows
    before, after = rows[0].accuracy, rows[-1].accuracy
    assert before is not None and after is not None
    assert before.top1 == pytest.approx(0.8719, abs=1e-4) and rows[-1].integer
    assert after.top1 >= 0.8719 - 0.003
    assert sum(row.seconds for row in rows) < 60
