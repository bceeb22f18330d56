"""Where a feature map lives and how its pixels are addressed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hwgen.config import Config
from hwgen.derive import Derived


@dataclass(frozen=True)
class Layout:
    """Channel-last layout of a map of ``height`` x ``width`` x ``channels`` in activation words (on chip and in DRAM).

    A pixel takes ``pixel`` words; a row ``pitch`` words, a multiple of the DMA word so that rows can be copied.

    Pixels of a *tight* map follow each other byte by byte. It is addressed as a map of ``width`` words in a row, with
    as many channels as a word has; ``tight`` is then (pixels of a row, channels).

    ``turned``: rows of the machine's map are columns of the network's (`hwgen.compiler.turn`).
    """

    height: int
    width: int
    channels: int
    pixel: int
    pitch: int
    tight: tuple[int, int] | None = None
    turned: bool = False

    @classmethod
    def tightly(cls, shape: tuple[int, int, int, int], config: Config) -> Layout:
        """Return the tight layout of a map."""
        d = Derived(config)
        _, height, width, channels = shape
        return replace(cls.of((1, height, -(-width * channels // d.word), d.word), config), tight=(width, channels))

    @classmethod
    def of(cls, shape: tuple[int, int, int, int], config: Config) -> Layout:
        d = Derived(config)
        _, height, width, channels = shape
        pixel = -(-channels // d.word)
        pitch = -(-width * pixel // d.dma_words) * d.dma_words
        return cls(height, width, channels, pixel, pitch)

    @property
    def words(self) -> int:
        return self.height * self.pitch

    @property
    def size(self) -> tuple[int, int]:
        """Rows and pixels of a row of the machine's map."""
        return self.height, self.tight[0] if self.tight else self.width

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the network's map."""
        rows, columns = self.size
        channels = self.tight[1] if self.tight else self.channels
        return (columns, rows, channels) if self.turned else (rows, columns, channels)

    @property
    def pixel_values(self) -> int:
        """Values from one pixel to the next where they are tight, otherwise 0."""
        return self.tight[1] if self.tight else 0

    @property
    def linear(self) -> bool:
        """True when all pixels of the map are evenly spaced, so that it can be walked as one row."""
        return self.height == 1 or self.pitch == self.width * self.pixel

    def rows(self, first: int, last: int) -> tuple[int, int]:
        """Return (offset, count) in words of rows ``first`` .. ``last`` - 1."""
        return first * self.pitch, (last - first) * self.pitch

    def pack(self, x: NDArray[np.int8], word: int) -> NDArray[np.int8]:
        """Return the bytes of one image (H, W, C), pads zero."""
        x = x.swapaxes(0, 1) if self.turned else x
        out = np.zeros((self.height, self.pitch * word), np.int8)
        if self.tight:
            out[:, : x[0].size] = x.reshape(self.height, -1)
            return out.reshape(-1)
        full = np.zeros((self.height, self.width, self.pixel * word), np.int8)
        full[:, :, : self.channels] = x
        out[:, : self.width * self.pixel * word] = full.reshape(self.height, -1)
        return out.reshape(-1)

    def unpack(self, raw: NDArray[np.int8], word: int) -> NDArray[np.int8]:
        """Inverse of `pack`."""
        rows = raw.reshape(self.height, self.pitch * word)[:, : self.width * self.pixel * word]
        if self.tight:
            x = rows[:, : self.tight[0] * self.tight[1]].reshape(self.height, *self.tight)
        else:
            x = rows.reshape(self.height, self.width, self.pixel * word)[:, :, : self.channels]
        return (x.swapaxes(0, 1) if self.turned else x).copy()


ROWS = (1 << 12) - 1
"""Most rows that commands can name (docs/architecture.md: `y` of AFETCH and DRAIN)."""


@dataclass(frozen=True)
class View:
    """A map, or a stripe of its rows, in the activation buffer.

    ``base`` is the (possibly virtual) word address of row 0: a stripe that starts at row r is stored at
    ``base + r * pitch``. ``first`` .. ``last`` - 1 are the rows that are really there. Commands count rows from
    ``origin`` on: that is ``first`` where the map has more of them than commands can name.
    """

    name: str
    layout: Layout
    base: int
    first: int
    last: int
    origin: int = 0

    def address(self, y: int, x: int, word: int = 0) -> int:
        return self.base + y * self.layout.pitch + x * self.layout.pixel + word

    def rectangle(self, ys: range, xs: range, words: range) -> NDArray[np.int64]:
        """Return the word addresses of the part of a rectangle that lies inside the map."""
        y = np.arange(max(ys.start, self.first), min(ys.stop, self.last), dtype=np.int64)
        x = np.arange(max(xs.start, 0), min(xs.stop, self.layout.width), dtype=np.int64)
        w = np.arange(words.start, min(words.stop, self.layout.pixel), dtype=np.int64)
        return (self.base + (y * self.layout.pitch)[:, None, None] + (x * self.layout.pixel)[:, None] + w).reshape(-1)

    def flat(self) -> View:
        """Return the same map as one row (only when the layout is linear and the view is whole)."""
        n = self.layout
        flat = Layout(1, n.height * n.width, n.channels, n.pixel, n.words)
        return View(self.name, flat, self.base, 0, 1)


def banks(words: NDArray[np.int64], config: Config) -> NDArray[np.int64]:
    """Return the bank of each word of the activation buffer (`hwgen.hardware.act_buffer`; only the cycle model
    asks)."""
    d = Derived(config)
    low, digits = d.dma_words, config.banks // d.dma_words
    group, rest = np.zeros_like(words), words // low
    while digits > 1 and rest.any():
        group ^= rest % digits
        rest = rest // digits
    return group * low + words % low
