"""Compressed weights: the format that the compiler writes and WFETCH decodes, one definition of both directions.

A stream holds ``n`` DMA words of D weights. Which of them are *kept* follows from its format, and is told by marks:

===========  ================================================================  ==============================
format       kept                                                              marks
===========  ================================================================  ==============================
PACKED       all                                                               none
BITMAP       those that are not zero                                           a bit for each weight
VECTOR       all of a lane word (W weights) unless all are zero                a bit for each lane word
ONE_OF_FOUR  one of every four neighbours                                      its index, 2 bits
TWO_OF_FOUR  two of every four neighbours                                      their indices, 2 bits each, rising
RUN          those that are not zero, and every 16th of a run of zeros         zeros before it, 4 bits; the last
                                                                               ones are those at the end
===========  ================================================================  ==============================

Marks come first, lowest bit first, then the values in order, both filled up to whole DMA words. Values have 1..8 bits,
two's complement, or are indices into a codebook of bytes. They lie in blocks of D, bit plane after bit plane: bit 0 of
all D, bit 1 of all D, and so on; so that no multiplexer is needed to take them apart (EIE stores zero runs and codebook
indices so: Han et al., ISCA 2016; bitmaps: SparTen, Gondimalla et al., MICRO 2019; Cambricon-S, Zhou et al., MICRO 2018
shares an index among outputs; indices in groups of four: Mishra et al., 2021).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwgen.isa import Format

RUN_BITS = 4
LONGEST = (1 << RUN_BITS) - 1
MARK_CYCLES = 5
"""From the request for a word of marks to the next one."""
GROUP = 4
"""Neighbours among which ONE_OF_FOUR and TWO_OF_FOUR count."""

Bits = NDArray[np.bool_]
Bytes = NDArray[np.uint8]


class CorruptStreamError(ValueError):
    """A stream that cannot have been written by `encode`."""


def value_bits(values: NDArray[np.int8]) -> int:
    """Return the least bits, two's complement, that hold all ``values``."""
    low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
    return max((-low - 1).bit_length() if low < 0 else 0, high.bit_length()) + 1


def kept(words: NDArray[np.int8], form: Format, lane_word: int) -> Bits | None:
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


def mark_bits(keep: Bits, form: Format, lane_word: int) -> int:
    """Return how many bits the marks take."""
    if form is Format.PACKED:
        return 0
    if form is Format.RUN:
        return RUN_BITS * (int(keep.sum()) + 1)
    share = {Format.BITMAP: 1, Format.VECTOR: lane_word, Format.ONE_OF_FOUR: 2, Format.TWO_OF_FOUR: 1}[form]
    return keep.size // share


def stream_words(keep: Bits, form: Format, bits: int, lane_word: int) -> tuple[int, int]:
    """Return the DMA words of the marks and of the values."""
    width = keep.shape[1]
    blocks = -(-int(keep.sum()) // width)
    return -(-mark_bits(keep, form, lane_word) // (8 * width)), -(-blocks * bits // 8)


def encode(words: NDArray[np.int8], keep: Bits, form: Format, bits: int, lane_word: int,
           codebook: NDArray[np.int8] | None = None) -> tuple[Bytes, Bytes]:
    """Return marks and values of a stream, each in whole DMA words.

    Parameters
    ----------
    words : int8 array, shape (n, D)
        Weights in the order in which the lanes get them.
    keep : bool array, shape (n, D)
        As `kept` says.
    form : Format
    bits : int
        Of a value or an index, 1..8.
    lane_word : int
        W.
    codebook : int8 array, shape (2**bits,), optional
        Values, among them all that are kept.
    """
    width = words.shape[1]
    values = words[keep]
    if codebook is not None:
        order = np.argsort(codebook, kind="stable")
        values = order[np.searchsorted(codebook, values, sorter=order)].astype(np.uint8).view(np.int8)
    blocks = np.zeros(-(-len(values) // width) * width, np.uint8)
    blocks[: len(values)] = values.view(np.uint8)
    planes = np.unpackbits(blocks.reshape(-1, width, 1), axis=2, bitorder="little", count=bits).swapaxes(1, 2)
    return _filled(_marks(keep, form, lane_word), width), _filled(planes.reshape(-1), width)


def decode(marks: Bytes, values: Bytes, count: int, form: Format, bits: int, lane_word: int, width: int,
           codebook: NDArray[np.int8] | None = None) -> NDArray[np.int8]:
    """Return the ``count`` DMA words of ``width`` weights of a stream.

    Raises
    ------
    CorruptStreamError
        When marks or values end too early or too late.
    """
    flags = np.unpackbits(marks, bitorder="little").astype(bool)
    keep = _keep(flags, count, form, lane_word, width)
    needed = -(-mark_bits(keep, form, lane_word) // (8 * width)) * width
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
    out = np.zeros((count, width), np.int8)
    out[keep] = raw.view(np.int8)
    return out


def decode_cycles(
    keep: Bits, form: Format, marks: int, values: int, lane_word: int = 0, count: int = 0, together: int = 1
) -> int:
    """Return the cycles of decoding a stream: one a source word or a DMA word of weights, in RUN one a value.

    Parameters
    ----------
    keep, form
        As for `encode`.
    marks, values : int
        Words that they take.
    lane_word : int
        W.
    count : int
        DMA words of a lane group.
    together : int
        Where words of zeros are left out: words in a row of bits, the last of which is written; else 1.
    """
    written = np.ones(len(keep), bool)
    if together > 1 and form in (Format.BITMAP, Format.VECTOR, Format.RUN):
        number = np.arange(len(keep))
        place = number % count
        flags = 8 if form is Format.BITMAP else lane_word
        written = keep.any(axis=1) | (place % together == together - 1) | (place == count - 1)
        written |= (number % flags == flags - 1) & (form is not Format.RUN)
    each = np.maximum(keep.sum(axis=1), 1) if form is Format.RUN else np.ones(len(keep), np.int64)
    steps = int(each[written].sum())
    # Where words are left out, one of marks may be worth many of weights.
    return max(steps, marks + values, MARK_CYCLES * (marks - 1) + 1 if together > 1 else 0)


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


def _marks(keep: Bits, form: Format, lane_word: int) -> NDArray[np.uint8] | Bits:
    if form is Format.PACKED:
        return np.zeros(0, np.uint8)
    if form is Format.BITMAP:
        return keep.reshape(-1)
    if form is Format.VECTOR:
        return keep[:, ::lane_word].reshape(-1)
    if form is Format.RUN:
        at = np.append(np.flatnonzero(keep.reshape(-1)), keep.size)
        marks = (np.diff(at, prepend=-1) - 1).astype(np.uint8)
    else:
        marks = np.flatnonzero(keep.reshape(-1)).astype(np.uint8) % GROUP
    width = RUN_BITS if form is Format.RUN else 2
    return np.unpackbits(marks[:, None], axis=1, bitorder="little", count=width).reshape(-1)


def _keep(flags: Bits, count: int, form: Format, lane_word: int, width: int) -> Bits:
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
        return np.repeat(first(size // lane_word), lane_word).reshape(count, width)
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
