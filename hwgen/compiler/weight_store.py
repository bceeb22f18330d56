"""How weights are stored: for each stream the smallest of what the configuration can decode at the lanes' pace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.work import Work
from hwgen.config import SMALLEST, WEIGHT_FORMATS, Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.golden import weight_stream
from hwgen.golden.machine_weights import NEEDS
from hwgen.isa import BY_NAME, Format, Mode

CODEBOOK = "codebook"
CHOICES = (SMALLEST, *WEIGHT_FORMATS, CODEBOOK)
"""What may be asked for: that, or one format for all layers, or a codebook in all layers whose values fit in one."""


LONGEST = {f.name: (1 << f.width) - 1 for f in BY_NAME["WSTREAM"].fields if f.name in ("marks", "values")}
"""DMA words that a stream may have."""


@dataclass(frozen=True)
class Part:
    """The weights of one fetch.

    Attributes
    ----------
    words : int
        DMA words stored.
    cycles : int
        That the fetch takes.
    stream : dict of str to int
        Fields of WSTREAM that say how to decode them; none where they are stored as they are.
    unit : int
        Words of a lane's memory that are written as one.
    time, used : float
        Cycles of loading and decoding, and those in which the lanes use them, beside that.
    """

    words: int
    cycles: int
    stream: dict[str, int] = field(default_factory=dict)
    unit: int = 1
    time: float = 0.0
    used: float = 0.0


@dataclass(frozen=True)
class Stored:
    """The weights of a tile as they lie in memory: the codebook, if there is one, then part after part.

    Attributes
    ----------
    raw : uint8 array
        Whole DMA words.
    parts : tuple of Part
    book : bytes
    book_words : int
    zero_point : int
        Of the weights.
    """

    raw: NDArray[np.uint8]
    parts: tuple[Part, ...]
    book: bytes = b""
    book_words: int = 0
    zero_point: int = 0


def check(form: str, config: Config) -> None:
    """Raise HwgenError when ``form`` is none, or not built into the configuration."""
    if form not in CHOICES:
        raise HwgenError(f"weight format must be one of {', '.join(CHOICES)}, not {form!r}")
    built = form == SMALLEST or (form in config.weight_formats if form != CODEBOOK else config.codebook > 0)
    if not built:
        have = ", ".join([*config.weight_formats, *([CODEBOOK] if config.codebook else [])]) or "none"
        raise HwgenError(
            f"weight format {form} is not built into this configuration, which has: {have}",
            where=f"config {config.name!r}",
            remedy="add it to weight_formats (a codebook: codebook = 256), or leave the choice to the compiler",
        )


def store(dense: Sequence[NDArray[Any]], counts: Sequence[int], work: Work, config: Config) -> Stored:
    """Return the weights of one tile in the smallest form that is decoded as fast as the lanes take weights.

    Lanes that use them for few pixels take them fast: there what loads and decodes in the least time comes first. All
    its parts have the same codebook, or none.

    Parameters
    ----------
    dense : sequence of int8 or int16 arrays, shape (n, D)
        DMA words of each part as the lanes get them (`pack.pack_groups`).
    counts : sequence of int
        DMA words of a lane group in each part.
    work : Work
        Whose values (``alphabet``) may make a codebook, and whose ``form`` may ask for a format.
    """
    if not config.weight_formats:
        raw = _bytes(np.concatenate(dense), work).reshape(-1).view(np.uint8)
        return Stored(raw, tuple(Part(len(part), len(part)) for part in dense), zero_point=work.weight_zero)
    found: list[Stored] = []
    # Of a layer with too many values for a codebook, the values themselves, whatever is asked for.
    for books in (_books(work, config), [None]):
        found = found or [s for book in books if (s := _with_book(dense, counts, book, work, config)) is not None]
    if not found:
        raise HwgenError(
            f"weights cannot be stored in the format {work.form}",
            where=f"operator {work.layer}",
            remedy="nm takes two zeros in every four neighbours of a stream, and every format at most "
            f"{LONGEST['marks']} words of marks and {LONGEST['values']} of values; leave the choice to the compiler",
        )

    def cycles(s: Stored) -> float:
        # A codebook is loaded and written, a byte a cycle, once.
        return max(sum(part.time for part in s.parts) + len(s.book), sum(part.used for part in s.parts))

    return min(found, key=lambda s: (cycles(s), len(s.raw)))


def share(work: Work, config: Config) -> float:
    """Return about which share of a byte a weight of a layer takes, to rank choices."""
    if not config.weight_formats:
        return 1.0
    if "stored" not in work.dedupe:
        work.dedupe["stored"] = _share(work, config)
    share = work.dedupe["stored"]
    assert isinstance(share, float)
    return share


def _share(work: Work, config: Config) -> float:
    bits = weight_stream.value_bits(_bytes(work.alphabet, work))
    bits = min([bits] + [_index_bits(book) for book in _books(work, config)[1:]])
    density = work.nonzero
    sizes = {"packed": bits, "bitmap": 1 + density * bits,
             "run": (weight_stream.RUN_BITS + bits) * max(density, 1 / (weight_stream.LONGEST + 1))}
    return min(size for name, size in sizes.items() if name in config.weight_formats) / 8


def _books(work: Work, config: Config) -> list[NDArray[np.int8] | None]:
    """Return what values may be stored as: themselves, or indices into a layer's values other than zero, or all."""
    values = work.alphabet
    books: list[NDArray[np.int8] | None] = [] if work.form == CODEBOOK else [None]
    for table in (values[values != 0], np.union1d(values, [0])) if config.codebook else ():
        if 0 < len(table) <= config.codebook:
            padded = np.full(1 << _index_bits(table), work.weight_zero, np.int8)
            padded[: len(table)] = _bytes(table, work)
            books.append(padded)
    return books


def _bytes(weights: NDArray[Any], work: Work) -> NDArray[np.int8]:
    return (weights + work.weight_zero).astype(np.int8)


def _index_bits(table: NDArray[Any] | None) -> int:
    assert table is not None
    return max(1, (len(table) - 1).bit_length())


def _forms(work: Work, config: Config) -> Iterable[Format]:
    wanted = config.weight_formats if work.form in (SMALLEST, CODEBOOK) else (work.form,)
    # Of the words of such a stream lanes that skip know which vectors are zero, not which values.
    never = Format.VECTOR if Derived(config).leaves_rows and work.mode is Mode.PIXEL else None
    return [form for form, name in NEEDS.items() if name in wanted and form is not never]


def _with_book(
    words: Sequence[NDArray[Any]],
    counts: Sequence[int],
    book: NDArray[np.int8] | None,
    work: Work,
    config: Config,
) -> Stored | None:
    """Return the smallest form of each part with one codebook or none; None where a part has no form."""
    d = Derived(config)
    raw: list[NDArray[np.uint8]] = []
    parts = []
    if book is not None:
        first = np.zeros(max(len(book), d.dma_bytes), np.uint8)
        first[: len(book)] = book.view(np.uint8)
        raw.append(first)
    for part, count in zip(words, counts, strict=True):
        options = [o for form in _forms(work, config) if (o := _option(part, form, count, book, work, config))]
        if not options:
            return None
        best = min(options, key=lambda o: (max(o.time, o.used), o.words))
        form, lanes = Format(best.stream["format"]), weight_stream.Lanes.of(config, count)
        keep = weight_stream.kept(part, form, d.word)
        assert keep is not None
        raw += weight_stream.encode(part, keep, form, best.stream["bits"] + 1, lanes, book, work.weight_zero)
        parts.append(best)
    held = b"" if book is None else book.tobytes()
    book_words = 0 if book is None else len(raw[0]) // d.dma_bytes
    return Stored(np.concatenate(raw), tuple(parts), held, book_words, work.weight_zero)


def _option(
    part: NDArray[Any], form: Format, count: int, book: NDArray[np.int8] | None, work: Work, config: Config
) -> Part | None:
    """Return what a stream of one form takes; None where that cannot be, or is slower than plain bytes."""
    d, lanes = Derived(config), weight_stream.Lanes.of(config, count)
    keep = weight_stream.kept(part, form, d.word)
    if keep is None:
        return None
    values = _bytes(part[keep], work)
    if book is not None and not np.isin(values, book).all():
        return None
    bits = weight_stream.value_bits(values) if book is None else _index_bits(book)
    marks, held = weight_stream.stream_words(keep, form, bits, lanes)
    size, cycles = marks + held, weight_stream.decode_cycles(keep, form, marks, held, lanes)
    slow = cycles > max(len(part), size) and work.form != NEEDS[form]
    if slow or marks > LONGEST["marks"] or held > LONGEST["values"]:
        return None
    used = np.count_nonzero(part) * work.height * work.width / d.multipliers
    return Part(
        size,
        cycles,
        {"format": int(form), "bits": bits - 1, "codebook": int(book is not None), "marks": marks, "values": held},
        d.unit(vector=True) if form is Format.VECTOR else 1,
        max(cycles, size * d.dma_bytes * 8 // config.axi_bits),
        used,
    )
