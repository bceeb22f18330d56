"""Where in a map zeros usually are: a lane whose outputs lie amid few of them is what the others wait for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.shape import Shape
from hwgen.compiler.work import Chunk, Work
from hwgen.config import Config


def relative_activity(
    work: Work, config: Config, shape: Shape, chunk: Chunk, y: int, x: int
) -> NDArray[np.float64] | None:
    """Return by what factor each lane's inputs are more often not zero than the map's, shape (rows, columns).

    None where that is not known, or zero activations are not skipped. Padding counts as zeros.
    """
    where = work.density.where
    if where is None or work.maximum or config.skip not in ("activation", "both"):
        return None
    # The map may be walked as one row, or as a column.
    height, width = work.source.layout.size
    if where.size != height * width:
        return None
    where = where.reshape(height, width)
    key = ("near", shape, chunk.ky, chunk.rows, y, x)
    if key not in work.dedupe:
        out = np.ones((config.rows, config.columns))
        for r in range(config.rows):
            for c in range(config.columns):
                rp, cp = r // shape.rc, c // shape.cc
                down, across = (y, x) + rp * np.array(shape.rp_step) + cp * np.array(shape.cp_step)
                out[r, c] = _mean(where, work, chunk, shape, int(down), int(across))
        work.dedupe[key] = out / max(float(where.mean()), 1e-9)
    found = work.dedupe[key]
    assert isinstance(found, np.ndarray)
    return found


def _mean(where: NDArray[np.float64], work: Work, chunk: Chunk, shape: Shape, y: int, x: int) -> float:
    """Return the mean share that a lane's outputs from (y, x) on read; outputs outside of the map read nothing."""
    (sy, sx), (dy, dx) = work.stride, work.dilation
    spans = []
    for at, outputs, stride, pad, first, taps, step in (
        (y, shape.th, sy, work.pad[0], chunk.ky, chunk.rows, dy),
        (x, shape.tw, sx, work.pad[1], 0, work.kernel[1], dx),
    ):
        start = at * stride - pad + first * step
        spans.append((max(start, 0), start, start + (outputs - 1) * stride + (taps - 1) * step + 1))
    (y0, ya, y1), (x0, xa, x1) = spans
    return float(where[y0 : max(y1, 0), x0 : max(x1, 0)].sum()) / ((y1 - ya) * (x1 - xa))
