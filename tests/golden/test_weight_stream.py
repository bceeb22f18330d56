"""Weight streams: what is encoded is decoded again, in the size that was promised; what is not whole is refused."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hwgen.golden.weight_stream import (
    CorruptStreamError,
    decode,
    decode_cycles,
    encode,
    kept,
    stream_words,
    value_bits,
)
from hwgen.isa import Format

W = 8


def _weights(rng: np.random.Generator, width: int) -> NDArray[np.int8]:
    """Return weights of random width, density and grain, now and then of a pattern of one or two in four."""
    bits, shape = int(rng.integers(1, 9)), (int(rng.integers(1, 40)), width)
    words = rng.integers(-(1 << bits - 1), 1 << bits - 1, shape)
    grain = int(rng.choice((1, W, width)))
    keep = rng.random((shape[0], width // grain)) < rng.choice((0, 0.03, 0.3, 0.7, 1))
    words = words * np.repeat(keep, grain, axis=1)
    if rng.random() < 0.5:
        groups = words.reshape(-1, 4)
        np.put_along_axis(groups, np.argsort(rng.random(groups.shape), axis=1)[:, int(rng.integers(1, 3)) :], 0, axis=1)
    return words.astype(np.int8)


def _book(words: NDArray[np.int8], keep: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int8]:
    found = np.unique(words[keep])
    book = rng.integers(-128, 128, 1 << max(1, (len(found) - 1).bit_length())).astype(np.int8)
    book[: len(found)] = found
    return rng.permuted(book)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("width", [8, 16, 32])
def test_decoded_is_what_was_encoded(seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    met = set()
    for _ in range(40):
        words = _weights(rng, width)
        for form in Format:
            keep = kept(words, form, W)
            if keep is None:
                assert (np.count_nonzero(words.reshape(-1, 4), axis=1) > (1 if form is Format.ONE_OF_FOUR else 2)).any()
                continue
            met.add(form)
            assert keep[words != 0].all()
            for book in (None, _book(words, keep, rng)):
                bits = value_bits(words[keep]) if book is None else max(1, (len(book) - 1).bit_length())
                marks, values = encode(words, keep, form, bits, W, book)
                assert (len(marks) // width, len(values) // width) == stream_words(keep, form, bits, W)
                back = decode(marks, values, len(words), form, bits, W, width, book)
                assert (back == words).all(), f"{form.name}, {bits} bits, seed {seed}"
    assert met == set(Format)


@pytest.mark.parametrize("form", [Format.BITMAP, Format.VECTOR, Format.RUN])
def test_streams_that_are_not_whole(form: Format) -> None:
    rng = np.random.default_rng(int(form))
    words = (rng.integers(1, 100, (20, 8)) * np.repeat(rng.random((20, 1)) < 0.5, 8, axis=1)).astype(np.int8)
    keep = kept(words, form, W)
    assert keep is not None
    marks, values = encode(words, keep, form, 8, W)

    def refused(marks: NDArray[np.uint8], values: NDArray[np.uint8]) -> None:
        with pytest.raises(CorruptStreamError):
            decode(marks, values, 20, form, 8, W, 8)

    refused(marks[:-8], values)
    refused(np.concatenate([marks, np.zeros(8, np.uint8)]), values)
    refused(marks, values[:-8])
    refused(marks, np.concatenate([values, np.zeros(8, np.uint8)]))
    if form is not Format.RUN:
        refused(np.full_like(marks, 255), values)
    refused(np.zeros_like(marks), values)


def test_falling_indices_are_refused() -> None:
    with pytest.raises(CorruptStreamError, match="do not rise"):
        decode(np.array([0b0001, *[0] * 7], np.uint8), np.ones(8, np.uint8), 1, Format.TWO_OF_FOUR, 8, W, 8)


def test_value_bits() -> None:
    for low, high, bits in ((0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-3, 1, 3), (-128, 127, 8), (0, 64, 8)):
        assert value_bits(np.array([low, high], np.int8)) == bits


def test_words_of_zeros_take_no_cycle() -> None:
    """But the last of four, and of a lane group."""
    words = np.zeros((12, 8), np.int8)
    words[1], words[8] = 1, 1
    keep = kept(words, Format.BITMAP, W)
    assert keep is not None
    assert decode_cycles(keep, Format.BITMAP, 2, 2) == 12
    # 1, 3, 7, 8, 11; with groups of six 1, 3, 5, 7 (the last of a word of marks), 8, 9, 11.
    assert decode_cycles(keep, Format.BITMAP, 1, 2, W, 12, 4) == 5
    assert decode_cycles(keep, Format.BITMAP, 1, 2, W, 6, 4) == 7
