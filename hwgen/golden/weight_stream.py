"""Compressed weights: the format that the compiler writes and WFETCH decodes, one definition of both directions.

A stream holds ``n`` DMA words of D weights. Which of them are *kept* follows from its format, and is told by marks:

===========  ================================================================  ==============================
format       kept                                                              marks
===========  ================================================================  ==============================
PACKED       all                                                               none
BITMAP       those that are not zero                                           a bit for each weight
VECTOR       all of a lane word (W weights) unless all are zero                a bit for each lane word, in rows
ONE_OF_FOUR  one of every four neighbours                                      its index, 2 bits
TWO_OF_FOUR  two of every four neighbours                                      their indices, 2 bits each, rising
RUN          those that are not zero, and every 16th of a run of zeros         zeros before it, 4 bits; the last
                                                                               ones are those at the end
===========  ================================================================  ==============================

Rows of VECTOR: each lane group begins a row of `Lanes.row` DMA words, of which those behind its last have clear bits.

Weights may have a zero point: values, and entries of the codebook, are weights plus that. What is not kept is weight 0.

Marks come first, lowest bit first, then the values in order, both filled up to whole DMA words. Values have 1..8 bits,
two's complement, or are indices into a codebook of bytes. They lie in blocks of D, bit plane after bit plane: bit 0 of
all D, bit 1 of all D, and so on; so that no multiplexer is needed to take them apart (EIE stores zero runs and codebook
indices so: Han et al., ISCA 2016; bitmaps: SparTen, Gondimalla et al., MICRO 2019; Cambricon-S, Zhou et al., MICRO 2018
shares an index among outputs; indices in groups of four: Mishra et al., 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.isa import Format

RUN_BITS = 4
LONGEST = (1 << RUN_BITS) - 1
MARK_CYCLES = 5
"""From the request for a word of marks to the next one."""
GROUP = 4
"""Neighbours among which ONE_OF_FOUR and TWO_OF_FOUR count."""

Bits = NDArray[np.bool_]
Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Lanes:
    """Where the words of a stream go.

    Attributes
    ----------
    word : int
        W, weights of a lane word.
    count : int
        DMA words of a lane group.
    row : int
        Of how many DMA words marks of VECTOR lie together.
    together : int
        Where words of zeros are left out: words in a row of bits, the last of which is written; else 1.
    """

    word: int
    count: int
    row: int = 1
    together: int = 1

    @classmethod
    def of(cls, config: Config, count: int) -> Self:
        """Return those of a machine."""
        d = Derived(config)
        return cls(d.word, count, d.vector_row, d.bits_words) if d.leaves_out else cls(d.word, count)

    @property
    def marked(self) -> int:
        """DMA words that VECTOR has marks for, of a lane group."""
        return -(-self.count // self.row) * self.row


class CorruptStreamError(ValueError):
    """A stream that cannot have been written by `encode`."""


def value_bits(values: NDArray[np.int8]) -> int:
    """Return the least bits, two's complement, that hold all ``values``."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    return max(-low - 1, high, 0).bit_length() + 1


def kept(words: NDArray[np.integer], form: Format, lane_word: int) -> Bits | None:
    """Return which weights of ``words`` (n, D) a format keeps, or None where they do not follow its pattern."""
    nonzero = words != 0
    if form is Format.PACKED:
        return np.ones_like(nonzero)
    if form is Format.BITMAP:
        return nonzero
    if form is Format.VECTOR:
        return np.repeat(nonzero.reshape(len(words), -1, lane_word).any(axis=2), lane_word, axis=1)
    if form is Format.RUN:
        return _with_fillers(nonzero.reshape(-1)).reshape(words.shape)
    wanted = 1 if form is Format.ONE_OF_FOUR else 2
    groups = nonzero.reshape(-1, GROUP)
    if (groups.sum(axis=1) > wanted).any():
        return None
    # Those that are not zero, filled up with the first that are.
    order = np.argsort(~groups, axis=1, kind="stable")[:, :wanted]
    out = np.zeros_like(groups)
    np.put_along_axis(out, order, True, axis=1)
    return out.reshape(words.shape)


def mark_bits(keep: Bits, form: Format, lanes: Lanes) -> int:
    """Return how many bits the marks take."""
    if form is Format.PACKED:
        return 0
    if form is Format.RUN:
        return RUN_BITS * (int(keep.sum()) + 1)
    if form is Format.VECTOR:
        return keep.size // lanes.word // lanes.count * lanes.marked
    return keep.size // {Format.BITMAP: 1, Format.ONE_OF_FOUR: 2, Format.TWO_OF_FOUR: 1}[form]


def stream_words(keep: Bits, form: Format, bits: int, lanes: Lanes) -> tuple[int, int]:
    """Return the DMA words of the marks and of the values."""
    width = keep.shape[1]
    blocks = -(-int(keep.sum()) // width)
    return -(-mark_bits(keep, form, lanes) // (8 * width)), -(-blocks * bits // 8)


def encode(words: NDArray[np.int8] | NDArray[np.int16], keep: Bits, form: Format, bits: int, lanes: Lanes,
           codebook: NDArray[np.int8] | None = None, zero_point: int = 0) -> tuple[Bytes, Bytes]:
    """Return marks and values of a stream, each in whole DMA words.

    Parameters
    ----------
    words : int8 or int16 array, shape (n, D)
        Weights in the order in which the lanes get them.
    keep : bool array, shape (n, D)
        As `kept` says.
    form : Format
    bits : int
        Of a value or an index, 1..8.
    lanes : Lanes
    codebook : int8 array, shape (2**bits,), optional
        Values, among them all that are kept.
    zero_point : int
        With it every kept weight is a byte.
    """
    width = words.shape[1]
    values = (words[keep] + zero_point).astype(np.int8)
    if codebook is not None:
        order = np.argsort(codebook, kind="stable")
        values = order[np.searchsorted(codebook, values, sorter=order)].astype(np.uint8).view(np.int8)
    blocks = np.zeros(-(-len(values) // width) * width, np.uint8)
    blocks[: len(values)] = values.view(np.uint8)
    planes = np.unpackbits(blocks.reshape(-1, width, 1), axis=2, bitorder="little", count=bits).swapaxes(1, 2)
    return _filled(_marks(keep, form, lanes), width), _filled(planes.reshape(-1), width)


def decode(marks: Bytes, values: Bytes, groups: int, form: Format, bits: int, lanes: Lanes, width: int,
           codebook: NDArray[np.int8] | None = None, zero_point: int = 0) -> NDArray[np.int16]:
    """Return the DMA words of ``width`` weights of a stream for so many lane groups, the rest as in `encode`.

    Raises
    ------
    CorruptStreamError
        When marks or values end too early or too late.
    """
    flags, count = np.unpackbits(marks, bitorder="little").astype(bool), groups * lanes.count
    keep = _keep(flags, count, form, lanes, width)
    needed = -(-mark_bits(keep, form, lanes) // (8 * width)) * width
    if len(marks) != needed:
        raise CorruptStreamError(f"marks take {needed} bytes, not {len(marks)}")
    total = int(keep.sum())
    blocks = -(-total // width)
    needed = -(-blocks * bits // 8) * width
    if len(values) != needed:
        raise CorruptStreamError(f"{total} values of {bits} bits take {needed} bytes, not {len(values)}")
    planes = np.unpackbits(values, bitorder="little")[: blocks * bits * width].reshape(blocks, bits, width)
    found = planes.swapaxes(1, 2).reshape(-1, bits)[:total]
    sign = found[:, -1:] if codebook is None else np.zeros((total, 1), np.uint8)
    raw = np.packbits(np.concatenate([found, np.repeat(sign, 8 - bits, axis=1)], axis=1), axis=1, bitorder="little")
    raw = raw.reshape(-1)
    if codebook is not None:
        raw = codebook[raw].view(np.uint8)
    out = np.zeros((count, width), np.int16)
    out[keep] = raw.view(np.int8).astype(np.int16) - zero_point
    return out


def decode_cycles(keep: Bits, form: Format, marks: int, values: int, lanes: Lanes) -> int:
    """Return the cycles of decoding a stream: one a source word or a DMA word of weights, in RUN one a value.

    Parameters
    ----------
    keep, form, lanes
        As for `encode`.
    marks, values : int
        Words that they take.
    """
    each = np.maximum(keep.sum(axis=1), 1) if form is Format.RUN else np.ones(len(keep), np.int64)
    of_marks = 8
    if lanes.together > 1 and form is Format.VECTOR:
        # A row without any word takes a cycle too.
        rows = _in_rows(keep, lanes).any(axis=2).reshape(-1, lanes.row)
        of_marks, each = 8 * lanes.word // lanes.row, np.maximum(rows.sum(axis=1), 1)
    elif lanes.together > 1 and form in (Format.BITMAP, Format.RUN):
        number = np.arange(len(keep))
        place = number % lanes.count
        written = keep.any(axis=1) | (place % lanes.together == lanes.together - 1) | (place == lanes.count - 1)
        each *= written | ((number % of_marks == of_marks - 1) & (form is Format.BITMAP))
    steps = int(each.sum())
    if lanes.together > 1 and form in (Format.BITMAP, Format.VECTOR):
        # Where words are left out, one of marks may be worth many of weights: from each on, the rest takes its cycles.
        rest = np.cumsum(np.add.reduceat(each, np.arange(0, len(each), of_marks))[::-1])[::-1]
        steps = int((rest + MARK_CYCLES * np.arange(len(rest))).max())
    elif lanes.together > 1:
        steps = max(steps, MARK_CYCLES * (marks - 1) + 1)
    return max(steps, marks + values)


def _in_rows(flags: Bits, lanes: Lanes) -> Bits:
    """Return flags (DMA words, any number of each), the words of each lane group filled up to whole rows."""
    groups = flags.reshape(-1, lanes.count, flags.shape[1])
    padded: Bits = np.pad(groups, ((0, 0), (0, lanes.marked - lanes.count), (0, 0)))
    return padded


def _filled(bits: NDArray[np.uint8] | Bits, width: int) -> Bytes:
    out = np.zeros(-(-len(bits) // (8 * width)) * 8 * width, np.uint8)
    out[: len(bits)] = bits
    return np.packbits(out, bitorder="little")


def _with_fillers(nonzero: Bits) -> Bits:
    """Keep what is not zero, and every 16th zero of a run, also of the one that ends the stream."""
    at = np.append(np.flatnonzero(nonzero), nonzero.size)
    runs = np.diff(at, prepend=-1) - 1
    long = runs > LONGEST
    keep = nonzero.copy()
    for end, run in zip(at[long], runs[long], strict=True):
        keep[end - run + LONGEST : end : LONGEST + 1] = True
    return keep


def _marks(keep: Bits, form: Format, lanes: Lanes) -> NDArray[np.uint8] | Bits:
    if form is Format.PACKED:
        return np.zeros(0, np.uint8)
    if form is Format.BITMAP:
        return keep.reshape(-1)
    if form is Format.VECTOR:
        return _in_rows(keep[:, :: lanes.word], lanes).reshape(-1)
    if form is Format.RUN:
        at = np.append(np.flatnonzero(keep.reshape(-1)), keep.size)
        marks = (np.diff(at, prepend=-1) - 1).astype(np.uint8)
    else:
        marks = np.flatnonzero(keep.reshape(-1)).astype(np.uint8) % GROUP
    width = RUN_BITS if form is Format.RUN else 2
    return np.unpackbits(marks[:, None], axis=1, bitorder="little", count=width).reshape(-1)


def _keep(flags: Bits, count: int, form: Format, lanes: Lanes, width: int) -> Bits:
    """Return what marks say is kept."""
    size = count * width

    def first(bits: int) -> Bits:
        if len(flags) < bits:
            raise CorruptStreamError(f"marks of {bits} bits in {len(flags) // 8} bytes")
        return flags[:bits]

    if form is Format.PACKED:
        return np.ones((count, width), bool)
    if form is Format.BITMAP:
        return first(size).reshape(count, width)
    if form is Format.VECTOR:
        each = width // lanes.word
        rows = first(count // lanes.count * lanes.marked * each).reshape(-1, lanes.marked, each)
        if rows[:, lanes.count :].any():
            raise CorruptStreamError("marks behind the last word of a lane group")
        return np.repeat(rows[:, : lanes.count].reshape(count, each), lanes.word, axis=1)
    keep = np.zeros(size, bool)
    if form is Format.RUN:
        runs = np.packbits(flags.reshape(-1, RUN_BITS), axis=1, bitorder="little").reshape(-1).astype(np.int64)
        at = np.cumsum(runs + 1) - 1
        if not len(at) or at[-1] < size:
            raise CorruptStreamError("zero runs end before the weights do")
        keep[at[at < size]] = True
        return keep.reshape(count, width)
    each = 1 if form is Format.ONE_OF_FOUR else 2
    raw = first(size // GROUP * each * 2).reshape(-1, each, 2)
    index = raw[..., 0] + 2 * raw[..., 1].astype(np.int64)
    if each == 2 and (index[:, 0] >= index[:, 1]).any():
        raise CorruptStreamError("the two indices of a group do not rise")
    keep.reshape(-1, GROUP)[np.arange(len(index))[:, None], index] = True
    return keep.reshape(count, width)
