"""Lossless coding of weights: codebooks with indices, and Huffman codes, to the byte.

A layer's integers become one string of bytes and back; the number of weights is known from the network. Numbers are
little-endian, bits come first bit first, and only the end of the string is filled to a byte.

====================  =====================================================================================
form                  after a byte for form and width of a value, 32 bits for the number of different values
====================  =====================================================================================
0, indices            the values; an index for every weight
1, bitmap             the values, zero left out; a bit for every weight; an index for each that is not zero
2, Huffman            values and code lengths; a code for every weight
3, Huffman and runs   the same for values that are not zero; 16 bits for the number of run lengths, those with
                      their code lengths; 32 bits for how many are coded; their codes; the codes of the values
====================  =====================================================================================

A run length is how many zeros precede a weight that is not zero; 255 means 255 zeros and no weight after them. Codes
are canonical: of one length they rise with the value.
"""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

INDICES, BITMAP, HUFFMAN, HUFFMAN_RUNS = range(4)
MOST_ENTRIES = 257
"""Values of a codebook: 256, and zero."""

_RUN = 255


def encode_indices(values: NDArray[Any]) -> bytes | None:
    """The shorter of the forms with indices; None when there are more values than a codebook has entries."""
    flat = values.reshape(-1).astype(np.int64)
    book, index = np.unique(flat, return_inverse=True)
    if len(book) > MOST_ENTRIES:
        return None
    whole = _values(INDICES, book) + _pack(_fixed(index, len(book)))
    used = flat != 0
    book, index = np.unique(flat[used], return_inverse=True)
    return min(whole, _values(BITMAP, book) + _pack(used.astype(np.uint8), _fixed(index, len(book))), key=len)


def encode_huffman(values: NDArray[Any]) -> bytes:
    """The shorter of the Huffman forms."""
    flat = values.reshape(-1).astype(np.int64)
    book, lengths, bits = _coded(flat)
    whole = _values(HUFFMAN, book) + lengths.tobytes() + _pack(bits)
    runs = zero_runs(flat)
    book, lengths, bits = _coded(flat[flat != 0])
    run_book, run_lengths, run_bits = _coded(runs)
    sparse = (_values(HUFFMAN_RUNS, book) + lengths.tobytes() + np.uint16(len(run_book)).tobytes()
              + run_book.astype(np.uint8).tobytes() + run_lengths.tobytes() + np.uint32(len(runs)).tobytes()
              + _pack(run_bits, bits))
    return min(whole, sparse, key=len)


def decode(content: bytes, size: int) -> Integers:
    """The ``size`` integers that either function coded."""
    reader = _Reader(content)
    head = int(reader.take(1, "u1")[0])
    form = head & 15
    count = int(reader.take(1, "<u4")[0])
    book = reader.take(count, f"<i{head >> 4}").astype(np.int64)
    result = np.zeros(size, np.int64)
    if form == INDICES:
        return book[reader.fixed(size, count)] if count else result
    if form == BITMAP:
        used = reader.bits(size).astype(bool)
        if count:
            result[used] = book[reader.fixed(int(used.sum()), count)]
        return result
    lengths = reader.take(count, "u1")
    if form == HUFFMAN:
        return reader.codes(size, book, lengths)
    run_count = int(reader.take(1, "<u2")[0])
    run_book, run_lengths = reader.take(run_count, "u1").astype(np.int64), reader.take(run_count, "u1")
    runs = reader.codes(int(reader.take(1, "<u4")[0]), run_book, run_lengths)
    # Every run length moves on by its zeros and, but for the one that stands for zeros alone, by its weight.
    ends = np.cumsum(runs + (runs != _RUN)) - 1
    places = ends[runs != _RUN]
    result[places] = reader.codes(len(places), book, lengths)
    return result


def zero_runs(flat: Integers) -> Integers:
    """The run lengths of a layer; zeros at its end have none."""
    places = np.flatnonzero(flat)
    gaps = np.diff(np.concatenate([[-1], places])) - 1
    escapes = gaps // _RUN
    runs = np.full(int(escapes.sum()) + len(gaps), _RUN, np.int64)
    runs[np.cumsum(escapes + 1) - 1] = gaps % _RUN
    return runs


def huffman_lengths(counts: NDArray[Any]) -> NDArray[np.uint8]:
    """Lengths of the codes of symbols that occur ``counts`` times; a symbol that is alone needs no bit."""
    heap: list[tuple[int, int, list[int]]] = [(int(c), i, [i]) for i, c in enumerate(counts)]
    heapq.heapify(heap)
    lengths = np.zeros(len(counts), np.uint8)
    order = len(heap)
    while len(heap) > 1:
        (first, _, left), (second, _, right) = heapq.heappop(heap), heapq.heappop(heap)
        lengths[left + right] += 1
        heapq.heappush(heap, (first + second, order, left + right))
        order += 1
    return lengths


def _codes(lengths: NDArray[np.uint8]) -> Integers:
    """Canonical codes: in order of length, then of symbol, each the one before plus 1."""
    codes = np.zeros(len(lengths), np.int64)
    code = last = 0
    for symbol in np.argsort(lengths, kind="stable"):
        code <<= int(lengths[symbol]) - last
        last = int(lengths[symbol])
        codes[symbol] = code
        code += 1
    return codes


def _coded(flat: Integers) -> tuple[Integers, NDArray[np.uint8], NDArray[np.uint8]]:
    """The different values, their code lengths, and the bits of all codes."""
    book, index, counts = np.unique(flat, return_inverse=True, return_counts=True)
    lengths = huffman_lengths(counts)
    return book, lengths, _bits(_codes(lengths)[index], lengths.astype(np.int64)[index])


def _bits(codes: Integers, lengths: Integers) -> NDArray[np.uint8]:
    """Codes one after the other."""
    starts = np.cumsum(lengths) - lengths
    within = np.arange(int(lengths.sum())) - np.repeat(starts, lengths)
    return (np.repeat(codes, lengths) >> (np.repeat(lengths, lengths) - 1 - within) & 1).astype(np.uint8)


def _width(count: int) -> int:
    """Bits of an index into ``count`` values."""
    return max(count - 1, 0).bit_length()


def _fixed(index: Integers, count: int) -> NDArray[np.uint8]:
    return _bits(index, np.full(len(index), _width(count), np.int64))


def _pack(*bits: NDArray[np.uint8]) -> bytes:
    return np.packbits(np.concatenate(bits)).tobytes()


def _values(form: int, book: Integers) -> bytes:
    """Form, width, number of values and the values."""
    largest = max(int(book.max()), -1 - int(book.min())) if len(book) else 0
    width = 1 if largest < 1 << 7 else 2 if largest < 1 << 15 else 4
    head = np.uint8(form | width << 4).tobytes() + np.uint32(len(book)).tobytes()
    return head + book.astype(f"<i{width}").tobytes()


class _Reader:
    """Bytes, then bits."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0
        self.stream: NDArray[np.uint8] | None = None

    def take(self, count: int, kind: str) -> NDArray[Any]:
        """Numbers, before the first bit is read."""
        found = np.frombuffer(self.content, kind, count, self.at)
        self.at += found.nbytes
        return found

    def bits(self, count: int) -> NDArray[np.uint8]:
        if self.stream is None:
            self.stream = np.unpackbits(np.frombuffer(self.content, np.uint8, offset=self.at))
            self.at = 0
        self.at += count
        return self.stream[self.at - count : self.at]

    def fixed(self, count: int, entries: int) -> Integers:
        width = _width(entries)
        weights = 1 << np.arange(width - 1, -1, -1, dtype=np.int64)
        return np.asarray(self.bits(count * width).reshape(count, width).astype(np.int64) @ weights)

    def codes(self, count: int, book: Integers, lengths: NDArray[np.uint8]) -> Integers:
        if not count or len(book) == 1:
            return np.full(count, book[0] if len(book) else 0, np.int64)
        table = {(int(n), int(c)): int(v) for n, c, v in zip(lengths, _codes(lengths), book, strict=True)}
        self.bits(0)
        assert self.stream is not None
        stream = self.stream.tolist()
        result = np.empty(count, np.int64)
        for place in range(count):
            code = length = 0
            while (length, code) not in table or not length:
                code, length = code << 1 | stream[self.at], length + 1
                self.at += 1
            result[place] = table[length, code]
        return result
