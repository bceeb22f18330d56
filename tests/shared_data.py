"""Where the trained networks and their golden outputs are: outside the repository, absent on most machines."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
INT8_NETWORKS = ("autoencoder_ad_int8", "dscnn_kws_int8", "mobilenetv1_025_vww_int8", "resnet8_int8",
                 "resnet8_large_int8", "streaming_wakeword_int8")


def shared_file(*parts: str) -> Path:
    """A file below ``../shared``; skips the test, saying so, where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return path
