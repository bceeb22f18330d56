"""Weight streams: what is encoded is decoded again, in the size that was promised; what is not whole is refused."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hwgen.derive import Derived
from hwgen.golden.weight_stream import (
    CorruptStreamError,
    Lanes,
    decode,
    decode_cycles,
    encode,
    kept,
    stream_words,
    value_bits,
)
from hwgen.isa import Format
from hwgen.presets import preset

W = 8


def _weights(rng: np.random.Generator, width: int, zero: int) -> NDArray[np.int16]:
    """Return weights of random width, density and grain, now and then of a pattern of one or two in four.

    Those that are not zero are so many bits less the zero point.
    """
    bits, shape = int(rng.integers(1, 9)), (int(rng.integers(1, 40)), width)
    words = rng.integers(-(1 << bits - 1), 1 << bits - 1, shape) - zero
    grain = int(rng.choice((1, W, width)))
    keep = rng.random((shape[0], width // grain)) < rng.choice((0, 0.03, 0.3, 0.7, 1))
    words = words * np.repeat(keep, grain, axis=1)
    if rng.random() < 0.5:
        groups = words.reshape(-1, 4)
        np.put_along_axis(groups, np.argsort(rng.random(groups.shape), axis=1)[:, int(rng.integers(1, 3)) :], 0, axis=1)
    return words.astype(np.int16)


def _book(stored: NDArray[np.int8], rng: np.random.Generator) -> NDArray[np.int8]:
    found = np.unique(stored)
    book = rng.integers(-128, 128, 1 << max(1, (len(found) - 1).bit_length())).astype(np.int8)
    book[: len(found)] = found
    return rng.permuted(book)


@pytest.mark.parametrize("zero", [0, -128, 127, 10])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("width", [8, 16, 32])
def test_decoded_is_what_was_encoded(seed: int, width: int, zero: int) -> None:
    rng = np.random.default_rng(seed)
    met = set()
    for _ in range(40):
        words = _weights(rng, width, zero)
        for form in Format:
            keep = kept(words, form, W)
            if keep is None:
                assert (np.count_nonzero(words.reshape(-1, 4), axis=1) > (1 if form is Format.ONE_OF_FOUR else 2)).any()
                continue
            met.add(form)
            assert keep[words != 0].all()
            lanes = Lanes(W, int(rng.choice([n for n in range(1, len(words) + 1) if len(words) % n == 0])),
                          int(rng.choice((1, 4, 32))))  # fmt: skip
            stored = (words[keep] + zero).astype(np.int8)
            for book in (None, _book(stored, rng)):
                bits = value_bits(stored) if book is None else max(1, (len(book) - 1).bit_length())
                marks, values = encode(words, keep, form, bits, lanes, book, zero)
                assert (len(marks) // width, len(values) // width) == stream_words(keep, form, bits, lanes)
                back = decode(marks, values, len(words) // lanes.count, form, bits, lanes, width, book, zero)
                assert (back == words).all(), f"{form.name}, {bits} bits, seed {seed}"
    assert met == set(Format)


@pytest.mark.parametrize("form", [Format.BITMAP, Format.VECTOR, Format.RUN])
def test_streams_that_are_not_whole(form: Format) -> None:
    rng = np.random.default_rng(int(form))
    words = (rng.integers(1, 100, (20, 8)) * np.repeat(rng.random((20, 1)) < 0.5, 8, axis=1)).astype(np.int8)
    keep = kept(words, form, W)
    assert keep is not None
    lanes = Lanes(W, 10, 4)
    marks, values = encode(words, keep, form, 8, lanes)

    def refused(marks: NDArray[np.uint8], values: NDArray[np.uint8]) -> None:
        with pytest.raises(CorruptStreamError):
            decode(marks, values, 2, form, 8, lanes, 8)

    refused(marks[:-8], values)
    refused(np.concatenate([marks, np.zeros(8, np.uint8)]), values)
    refused(marks, values[:-8])
    refused(marks, np.concatenate([values, np.zeros(8, np.uint8)]))
    if form is not Format.RUN:
        refused(np.full_like(marks, 255), values)
    refused(np.zeros_like(marks), values)


def test_falling_indices_are_refused() -> None:
    with pytest.raises(CorruptStreamError, match="do not rise"):
        decode(np.array([0b0001, *[0] * 7], np.uint8), np.ones(8, np.uint8), 1, Format.TWO_OF_FOUR, 8, Lanes(W, 1), 8)


def test_value_bits() -> None:
    for low, high, bits in ((0, 0, 1), (-1, 0, 1), (0, 1, 2), (-2, 1, 2), (-3, 1, 3), (-128, 127, 8), (0, 64, 8),
                            (-128, -128, 8), (-64, -64, 7), (-64, -1, 7)):  # fmt: skip
        assert value_bits(np.array([low, high], np.int8)) == bits


def test_marks_behind_a_lane_group_are_refused() -> None:
    lanes = Lanes(W, 3, 4)
    words = np.ones((6, 8), np.int8)
    keep = kept(words, Format.VECTOR, W)
    assert keep is not None
    marks, values = encode(words, keep, Format.VECTOR, 8, lanes)
    assert marks[0] == 0b0111_0111
    marks[0] |= 0b1000
    with pytest.raises(CorruptStreamError, match="behind the last word of a lane group"):
        decode(marks, values, 2, Format.VECTOR, 8, lanes, 8)


def test_words_of_zeros_take_no_cycle() -> None:
    """But the last of four, of a lane group and of a word of marks; and a word of marks takes five."""
    words = np.zeros((16, 8), np.int8)
    words[1], words[8] = 1, 1
    keep = kept(words, Format.BITMAP, W)
    assert keep is not None
    assert decode_cycles(keep, Format.BITMAP, 2, 2, Lanes(W, 16)) == 16
    # 1, 3, 7, and five after the start 8, 11, 15; with groups of eight the same, with groups of two every odd word, too
    assert decode_cycles(keep, Format.BITMAP, 2, 2, Lanes(W, 16, 32, 4)) == 5 + 3
    assert decode_cycles(keep, Format.BITMAP, 2, 2, Lanes(W, 8, 32, 4)) == 5 + 3
    assert decode_cycles(keep, Format.BITMAP, 2, 2, Lanes(W, 2, 32, 4)) == 5 + 5


def test_vectors_of_zeros_take_no_cycle() -> None:
    """But one in every row that has no other."""
    words = np.zeros((100, 8), np.int8)
    words[[1, 30, 33]] = 1
    keep = kept(words, Format.VECTOR, W)
    assert keep is not None
    # Rows of 32: two words, one, none, none; the third begins with the second word of marks.
    assert decode_cycles(keep, Format.VECTOR, 2, 3, Lanes(W, 100, 32, 4)) == 5 + 2
    assert decode_cycles(keep, Format.VECTOR, 2, 3, Lanes(W, 100)) == 100


@pytest.mark.parametrize("name", ["base-sparse", "sparse-fine", "sparse-block", "base"])
def test_lanes_of_a_machine(name: str) -> None:
    config = preset(name)
    d = Derived(config)
    lanes = Lanes.of(config, 100)
    assert (lanes.word, lanes.count, lanes.together) == (d.word, 100, d.bits_words)
    assert lanes.row == (d.vector_row if d.leaves_out else 1)
    assert lanes.marked % lanes.row == 0 and 0 <= lanes.marked - 100 < lanes.row
