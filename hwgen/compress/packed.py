"""Arrays in plans: JSON text, shorter than lists of numbers and exact."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack(values: NDArray[Any]) -> dict[str, Any]:
    """Float32 numbers, little-endian, deflated, in base 64, and their shape."""
    content = np.ascontiguousarray(values, "<f4").tobytes()
    return {"shape": list(values.shape), "float32": base64.b64encode(zlib.compress(content, 9)).decode()}


def unpack(entry: dict[str, Any]) -> NDArray[np.float32]:
    """The array that `pack` packed."""
    content = zlib.decompress(base64.b64decode(entry["float32"]))
    return np.frombuffer(content, "<f4").astype(np.float32).reshape(entry["shape"])
