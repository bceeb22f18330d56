"""One layer (or a stripe or a slice of one) as the emitters see it: geometry, operands, requantisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.density import Density
from hwgen.compiler.maps import View
from hwgen.compiler.pack import rounding_bits
from hwgen.config import SMALLEST
from hwgen.isa import Mode
from hwgen.model.graph import Requant


@dataclass(frozen=True)
class Chunk:
    """A part of the reduction: kernel rows ``ky`` .. ``ky + rows`` - 1, input words ``word`` .. ``word + words``
    - 1."""

    ky: int
    rows: int
    word: int
    words: int
    channels: int
    """Valid channels in these words (channel and pixel mapping) ."""


@dataclass(frozen=True, eq=False)
class Work:
    """A convolution-like layer over a window of its output.

    ``weights(first, count, chunk)`` returns the int8 or int16 values of ``count`` channel groups from ``first`` on,
    shape (count, positions, P) for channel and depthwise mapping, (channels, positions) for pixel mapping (``first``
    and ``count`` then count channels).
    """

    layer: int
    mode: Mode
    source: View
    result: View
    rows: range
    """Output rows to compute."""
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int]
    """Top and left padding."""
    zero_point: int
    fill: int
    requant: Requant
    bias: NDArray[np.int64]
    channels: range
    """Input channels of the reduction (starts on a word)."""
    outputs: range
    """Output channels; the first is a multiple of P."""
    weights: Callable[[int, int, Chunk], NDArray[Any]]
    scalar: bool = False
    """One requantisation for all channels (PO_SCALAR) instead of parameter blocks."""
    maximum: bool = False
    mask: int | None = None
    """Bytes written of every result vector; all when None."""
    columns: range | None = None
    """Output columns to compute; all when None."""
    dedupe: dict[object, object] = field(default_factory=dict)
    """Constants shared between the stripes of one layer."""
    density: Density = field(default_factory=Density)
    """Of the source."""
    weight_zero: int = 0
    """With it every weight is a byte."""
    alphabet: NDArray[Any] = field(default_factory=lambda: np.ones(1, np.int8))
    """Values that weights have, rising."""
    nonzero: float = 1.0
    """Share of the weights that are not zero."""
    form: str = SMALLEST
    """How weights are stored (`hwgen.compiler.weight_store`)."""

    @property
    def height(self) -> int:
        return len(self.rows)

    @property
    def width(self) -> int:
        return len(self.columns) if self.columns is not None else self.result.layout.width

    def span(self, y: int, x: int, block: tuple[int, int]) -> tuple[int, int]:
        """Return the words of the result, counted from its first, between which a block of outputs lies."""
        layout, first = self.result.layout, self.result.first
        if layout.height == 1:
            return x * layout.pixel, min(x + block[1], layout.width) * layout.pixel
        return (y - first) * layout.pitch, (min(y + block[0], self.rows.stop) - first) * layout.pitch

    def quant_fields(self) -> dict[str, int]:
        """Return the fields of PO_QUANT that follow from the layer."""
        last = self.columns.stop if self.columns is not None else self.result.layout.width
        return {
            "height": self.rows.stop - self.result.origin,
            "width": last,
            "zero_point": self.requant.zero_point,
            "qmin": self.requant.qmin,
            "qmax": self.requant.qmax,
            "scalar": int(self.scalar),
            **rounding_bits(self.requant),
        }
