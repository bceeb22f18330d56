"""The export snippets of README.md, run as they stand in the exporter's environment: hwgen takes what they write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.exporters.environment import run
from tests.exporters.found import result

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")

BEFORE = {
    "tensorflow": """
import keras
import numpy as np
images = np.random.default_rng(1).uniform(0, 1, (16, 16, 16, 3)).astype(np.float32)
model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3, activation="relu"),
                          keras.layers.MaxPooling2D(), keras.layers.Flatten(), keras.layers.Dense(10)])
""",
    "pytorch": """
import numpy as np
from torch import nn
images = np.random.default_rng(1).normal(0, 1, (16, 3, 16, 16)).astype(np.float32)
model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
                      nn.Linear(392, 10))
""",
    "brevitas": """
import numpy as np
from brevitas import nn
from torch import from_numpy
from torch.nn import Flatten, Sequential
images = np.random.default_rng(1).normal(0, 1, (16, 3, 16, 16)).astype(np.float32)
model = Sequential(nn.QuantIdentity(), nn.QuantConv2d(3, 8, 3), nn.QuantReLU(), Flatten(),
                   nn.QuantLinear(1568, 10, True), nn.QuantIdentity())
model(from_numpy(images))
""",
}
"""What a snippet takes for given, ``model`` and ``images``, by tool."""

WRITES = {"tensorflow": "keras_int8.tflite", "pytorch": "pytorch_int8.onnx", "brevitas": "brevitas_qcdq.onnx"}


@pytest.mark.nightly
@pytest.mark.parametrize("tool", BEFORE)
def test_snippet(tool: str, tmp_path: Path) -> None:
    (snippet,) = [text for text in re.findall(r"```python\n(.*?)```", README, re.S) if WRITES[tool] in text]
    script = tmp_path / "snippet.py"
    script.write_text(BEFORE[tool] + snippet, encoding="utf-8")
    run(tool, script, cwd=tmp_path)
    assert result(tmp_path / WRITES[tool]) == "exact"
