"""Packed blocks of a feature map: a bit a byte, then the bytes that are not the zero point (zero-value compression).

Word i of a block has its bits in bitmap word i // `GROUP`, byte j in bit i % `GROUP` * bytes + j. All bitmap words come
first, then the bytes in whole words, at least one.

Source: Rhu et al., "Compressing DMA Engine", HPCA 2018 (ZVC).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GROUP = 8
"""Words whose bits fill a word of the bitmap, whatever the width."""


def bitmap_words(block: int) -> int:
    """Return the bitmap words of a block of ``block`` words."""
    return -(-block // GROUP)


def slot_words(block: int) -> int:
    """Return the most words that a packed block takes, which its slot has."""
    return block + bitmap_words(block)


def pack(words: NDArray[np.uint8], zero_point: int) -> NDArray[np.uint8]:
    """Return the packed form of a block.

    Parameters
    ----------
    words : uint8 array, shape (block, bytes of a word)
    zero_point : int
        Left out; int8 or uint8.

    Returns
    -------
    uint8 array, shape (length, bytes of a word)
    """
    block, width = words.shape
    there = words != zero_point & 0xFF
    bits = np.zeros(bitmap_words(block) * GROUP * width, bool)
    bits[:words.size] = there.reshape(-1)
    kept = words[there]
    data = np.zeros(max(-(-len(kept) // width), 1) * width, np.uint8)
    data[:len(kept)] = kept
    return np.concatenate([np.packbits(bits, bitorder="little"), data]).reshape(-1, width)


def unpack(packed: NDArray[np.uint8], block: int, zero_point: int) -> NDArray[np.uint8] | None:
    """Return the block of ``block`` words, shape (block, bytes of a word); None when bits and length disagree."""
    length, width = packed.shape
    count = bitmap_words(block)
    bits = np.unpackbits(packed[:count].reshape(-1), bitorder="little").astype(bool)
    there = bits[:block * width]
    if len(bits) < len(there) or length != count + max(-(-int(there.sum()) // width), 1):
        return None
    out = np.full(block * width, zero_point & 0xFF, np.uint8)
    out[there] = packed[count:].reshape(-1)[:int(there.sum())]
    return out.reshape(block, width)
