"""Golden machine: weights to the lanes (WFETCH; WSTREAM and CODEBOOK)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwgen.golden import weight_stream
from hwgen.golden.machine_state import State, Work, wrap
from hwgen.isa import Format

NEEDS = {Format.PACKED: "packed", Format.BITMAP: "bitmap", Format.VECTOR: "vector", Format.ONE_OF_FOUR: "nm",
         Format.TWO_OF_FOUR: "nm", Format.RUN: "run"}
"""What of ``weight_formats`` a format takes."""


def wfetch(s: State) -> Work:
    """Weight buffer to the lanes' weight memories, less the zero point where weights have one."""
    s.require(not s.config.weight_formats, "the machine", "one without weight_formats")
    a, d = s.command.args, s.derived
    total = a["groups"] * a["count"]
    s.within("src", a["src"], a["src"] + total - 1, d.weight_words, "WEIGHT DMA word")
    raw = _words(s, a["src"], total).view(np.int8).reshape(total, d.dma_bytes)
    _to_lanes(s, raw.astype(np.int16) - _zero_point(s))
    return Work(items=total)


def wstream(s: State) -> Work:
    """Weight buffer to the lanes' weight memories, decoded."""
    a, c, d = s.command.args, s.config, s.derived
    s.require(a["format"] in tuple(Format) and NEEDS[Format(a["format"])] in c.weight_formats, "format",
              "one that the machine has")
    s.require(not a["codebook"] or c.codebook > 0, "codebook", "0 on a machine without one")
    fits = not a["codebook"] or 1 << a["bits"] + 1 <= len(s.codebook)
    s.require(fits, "weight stream", f"one whose indices all have an entry in a codebook of {len(s.codebook)}")
    s.within("src", a["src"], a["src"] + a["marks"] + a["values"] - 1, d.weight_words, "WEIGHT DMA word")
    marks, values = _words(s, a["src"], a["marks"]), _words(s, a["src"] + a["marks"], a["values"])
    total = a["groups"] * a["count"]
    s.require(total >= 1, "count and groups", ">= 1")
    try:
        words = weight_stream.decode(marks, values, a["groups"], Format(a["format"]), a["bits"] + 1,
                                     weight_stream.Lanes.of(c, a["count"]), d.dma_bytes,
                                     s.codebook if a["codebook"] else None, _zero_point(s))
    except weight_stream.CorruptStreamError as error:
        s.require(False, "weight stream", f"whole: {error}")
    vector = a["format"] == Format.VECTOR
    unit = d.unit(vector=vector)
    s.require(a["dst"] % unit == 0, "dst", f"a multiple of {unit}")
    lanes = _to_lanes(s, words)
    # Bits of words that share a word of memory are set together.
    end = a["dst"] + a["count"]
    s.wmem[*lanes, end:-(-end // unit) * unit] = 0
    s.vectors_only[*lanes, a["dst"]:-(-end // unit) * unit] = vector and d.leaves_rows
    return Work(items=total)


def codebook(s: State) -> Work:
    """Weight buffer to the codebook."""
    a, d = s.command.args, s.derived
    s.require(a["log2_entries"] >= 1 and 1 << a["log2_entries"] <= s.config.codebook, "log2_entries",
              f"of 2..{s.config.codebook} entries")
    entries = 1 << a["log2_entries"]
    words = -(-entries // d.dma_bytes)
    s.within("src", a["src"], a["src"] + words - 1, d.weight_words, "WEIGHT DMA word")
    s.codebook = _words(s, a["src"], words).view(np.int8)[:entries].copy()
    return Work(items=words)


def _words(s: State, at: int, count: int) -> NDArray[np.uint8]:
    width = s.derived.dma_bytes
    return s.weight[at * width:(at + count) * width]


def _zero_point(s: State) -> int:
    return s.register("WF_ZERO")["zero_point"] if s.derived.weight_zero else 0


def _to_lanes(s: State, raw: NDArray[np.int16]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Write DMA words of weights to lane group after lane group; return columns and rows of the lanes that got some."""
    a, c, d = s.command.args, s.config, s.derived
    count, groups, dst = a["count"], a["groups"], a["dst"]
    rc_count, cc_count = 1 << a["log2_rc"], 1 << a["log2_cc"]
    s.require(count >= 1, "count", ">= 1")
    s.require(rc_count <= c.rows, "log2_rc", f"<= log2 of {c.rows} rows")
    s.require(cc_count <= c.columns, "log2_cc", f"<= log2 of {c.columns} columns")
    buses = min(rc_count, d.weight_buses)
    per_column = rc_count // buses
    s.require(1 <= groups <= per_column * cc_count, "groups", f"in 1..{per_column * cc_count}")
    s.within("dst", dst, dst + count - 1, c.wmem_words, "wmem word")
    words = wrap(raw.astype(np.int64), c.weight_bits).reshape(groups, count, d.dma_words, d.word)
    column, row = np.indices((c.columns, c.rows))
    group = column % cc_count * per_column + row % rc_count // buses
    lanes = group < groups
    column, row, group = column[lanes], row[lanes], group[lanes]
    s.wmem[column, row, dst:dst + count] = words[group, :, row % buses]
    return column, row
