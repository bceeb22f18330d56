"""The network that comes with the package: handwritten digits, 8 x 8 pixels, for demos and tests.

`hwgen.embedded.train` made all files.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.model.graph import Graph

FLOAT_MODEL = Path(__file__).with_name("digits_float.onnx")
"""The network as it was trained."""

MODEL = Path(__file__).with_name("digits.onnx")
"""The network after ``hwgen compress --recipe int8``, ONNX QDQ."""

TRAIN = Path(__file__).with_name("digits_train.npz")
"""What it was trained on: ``x`` float32 (1437, 8, 8, 1), 0 to 16, and labels ``y``."""

DATA = Path(__file__).with_name("digits_test.npz")
"""Its test images, 360 more."""


def embedded_model() -> Graph:
    """The int8 network, read."""
    from hwgen.model.onnx_reader import read_onnx  # the onnx package loads only when needed

    return read_onnx(MODEL)


def digit_images() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Images (N, 8, 8, 1) in the network's units, 0 to 16, and labels (N,), none of which it was trained on."""
    with np.load(DATA) as data:
        return data["x"], data["y"]
