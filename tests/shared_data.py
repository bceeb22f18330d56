"""Where the trained networks and their golden outputs are: outside the repository, absent on most machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

SHARED = Path(__file__).resolve().parents[2] / "shared"
INT8_NETWORKS = ("autoencoder_ad_int8", "dscnn_kws_int8", "mobilenetv1_025_vww_int8", "resnet8_int8",
                 "resnet8_large_int8", "streaming_wakeword_int8")


def shared_file(*parts: str) -> Path:
    """A file below ``../shared``; skips the test, saying so, where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return path


def real_inputs(network: str, count: int) -> NDArray[Any]:
    """Real inputs of a network in ``INT8_NETWORKS``, evenly spread over its data (the image files are sorted)."""
    if network.startswith("resnet8"):
        with np.load(shared_file("data", "cifar10_test.npz")) as data:
            x = data["x"]
    elif network.startswith("dscnn"):
        with np.load(shared_file("data", "kws01.npz")) as data:
            x = data["x"]
    elif network.startswith("mobilenet"):
        with np.load(shared_file("data", "photos.npz")) as data:
            x = data["x96"]
    elif network.startswith("autoencoder"):
        with np.load(shared_file("data", "ad_sample_1clip.npz")) as data:
            frames = data["x"]
        x = np.stack([frames[i : i + 5].reshape(1, 1, 640) for i in range(len(frames) - 4)])
    else:
        with np.load(shared_file("data", "sww_calibration.npz")) as data:
            x = data["specs"]
    return x[np.linspace(0, len(x) - 1, count).astype(int)]
