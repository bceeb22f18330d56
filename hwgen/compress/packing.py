"""Arrays as text, for plans: shape and type in clear, the numbers deflated and in base 64."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack(array: NDArray[Any]) -> str:
    """``float32 8x3x3x4 <base 64>``; truth values take a bit each."""
    content = np.packbits(array) if array.dtype == np.bool_ else array
    text = base64.b64encode(zlib.compress(np.ascontiguousarray(content).tobytes(), 9)).decode()
    return f"{array.dtype.name} {'x'.join(map(str, array.shape))} {text}"


def unpack(text: str) -> NDArray[Any]:
    """The array that `pack` made text of."""
    kind, form, content = text.split(" ")
    shape = tuple(int(n) for n in form.split("x"))
    numbers = zlib.decompress(base64.b64decode(content))
    if kind == "bool":
        return np.unpackbits(np.frombuffer(numbers, np.uint8), count=int(np.prod(shape))).astype(bool).reshape(shape)
    return np.frombuffer(numbers, kind).reshape(shape)
