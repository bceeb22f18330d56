"""Which rows of its inputs an operator needs for some rows of its output."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hwgen.compiler.maps import Layout
from hwgen.model.graph import Conv, Op, Pad, Pool


def _window(op: Op) -> tuple[int, int]:
    """Return stride and padding of an operator's windows along rows."""
    if isinstance(op, Conv | Pool):
        return op.stride[0], op.pad[0]
    return 1, op.pad[0] if isinstance(op, Pad) else 0


def _span(op: Op) -> int:
    """Return the input rows that an operator's window spans."""
    if isinstance(op, Conv):
        return (op.weight.shape[1] - 1) * op.dilation[0] + 1
    return op.kernel[0] if isinstance(op, Pool) else 1


def input_rows(op: Op, rows: range, height: int) -> range:
    """Input rows that an operator needs for output rows ``rows``, clipped to the map."""
    s, p = _window(op)
    first = min(max(rows.start * s - p, 0), height - 1)
    return range(first, max(min((rows.stop - 1) * s - p + _span(op), height), first + 1))


def stripe_rows(op: Op, layouts: dict[str, Layout], name: str, rows: int) -> int:
    """Most rows of map ``name``, an input or the output, that any stripe of ``rows`` output rows needs."""
    return rows if name == op.output else _most_rows(op, layouts[name].height, layouts[op.output].height, rows)


@lru_cache(1 << 14)
def _most_rows(op: Op, height: int, out: int, rows: int) -> int:
    """Return the length of the longest `input_rows` of stripes of ``rows``."""
    s, p = _window(op)
    start = np.arange(0, out, rows)
    first = np.clip(start * s - p, 0, height - 1)
    last = np.minimum((np.minimum(start + rows, out) - 1) * s - p + _span(op), height)
    return int(np.maximum(last - first, 1).max())


@lru_cache(1 << 14)
def _loaded(op: Op, height: int, out: int, rows: int) -> float:
    """Return how often stripes of ``rows`` load a row of a map on average."""
    return sum(len(input_rows(op, range(y, min(y + rows, out)), height)) for y in range(0, out, rows)) / height


def loads(op: Op, maps: list[str], layouts: dict[str, Layout], rows: int) -> float:
    """Return how often stripes of ``rows`` load a row of the one of ``maps`` that they load most often."""
    out = layouts[op.output].height
    return max((_loaded(op, layouts[n].height, out, rows) for n in maps if n != op.output), default=0.0)
