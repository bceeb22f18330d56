"""What a RUN costs where zeros are skipped: by the weights themselves, and by how dense a map usually is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.shape import Shape
from hwgen.compiler.work import Chunk, Work
from hwgen.config import Config
from hwgen.isa import Mode


def _weights(config: Config) -> bool:
    return config.skip in ("weight", "both")


def activation_share(work: Work, config: Config) -> float:
    """Return the share of positions whose activation is not zero, as far as those are skipped."""
    if config.skip not in ("activation", "both") or work.maximum:
        return 1.0
    d = work.density
    return {Mode.CHANNEL: d.values, Mode.PIXEL: d.pixels, Mode.DEPTHWISE: d.channels}[work.mode]


def whole(work: Work, word: int) -> Chunk:
    """Return the reduction as one chunk."""
    if work.mode is Mode.DEPTHWISE:
        return Chunk(0, work.kernel[0], 0, 1, word)
    first, last = work.channels.start // word, -(-work.channels.stop // word)
    return Chunk(0, work.kernel[0], first, last - first, len(work.channels))


def share(work: Work, config: Config, chunk: Chunk) -> float:
    """Return the share of all positions that a lane walks (to rank choices; ``chunk`` is the whole reduction)."""
    if config.skip == "none" or work.maximum:
        return 1.0
    key = ("share", work.mode)
    if key not in work.dedupe:
        found = 1.0
        if _weights(config) and not work.scalar:
            count = len(work.outputs) if work.mode is Mode.PIXEL else -(-len(work.outputs) // config.vector)
            w = work.weights(0, count, chunk)
            found = float((w != 0).mean() if work.mode is Mode.PIXEL else (w != 0).any(axis=2).mean())
        work.dedupe[key] = found
    weights = work.dedupe[key]
    assert isinstance(weights, float)
    return weights * activation_share(work, config)


def lane_cycles(
    work: Work, config: Config, shape: Shape, chunk: Chunk, groups: list[tuple[int, int]], rounds: int, positions: int,
    near: NDArray[np.float64] | None = None,
) -> NDArray[np.float64] | None:
    """Return the expected cycles of a RUN in every lane, shape (rows, columns), 0 in lanes without work.

    None where lanes do not skip.

    Parameters
    ----------
    groups : list of (int, int)
        First and number of the units (P or single channels, as ``work.weights`` counts) of each channel group.
    rounds, positions : int
        Of the RUN.
    near : float64 array, shape (rows, columns), optional
        By what factor activations are not zero more often in each lane's part of the map than in all of it.
    """
    if config.skip == "none":
        return None
    mean = activation_share(work, config)
    acts = np.minimum(np.full((config.rows, config.columns), mean) * (1 if near is None else near), 1)
    # The lanes' shares often are equal, and then so are their cycles.
    cycles: list[dict[float, float]] = []
    for first, count in groups:
        key = ("lane", first, count, chunk, work.mode)
        if key not in work.dedupe:
            work.dedupe[key] = _effectual(work, config, chunk, first, count)
        per_round = work.dedupe[key]
        assert per_round is None or isinstance(per_round, np.ndarray)
        cycles.append({a: rounds * max(1.0, positions * a) if per_round is None else
                       float(np.maximum(per_round * a, 1).sum() * (rounds / len(per_round)))
                       for a in np.unique(acts).tolist()})  # fmt: skip
    out = np.zeros((config.rows, config.columns))
    for r in range(config.rows):
        for c in range(config.columns):
            group = c % shape.cc * shape.rc + r % shape.rc
            out[r, c] = cycles[group][float(acts[r, c])] if group < len(cycles) else 0
    return out


def _effectual(work: Work, config: Config, chunk: Chunk, first: int, count: int) -> NDArray[np.int64] | None:
    """Return positions of each round (or of every one) whose weights are not zero; None when all count."""
    if not _weights(config) or work.maximum or work.scalar:
        return None
    if work.mode is Mode.PIXEL:
        there = max(0, min(count, len(work.outputs) - first))
        w = work.weights(first, there, chunk)
        return np.concatenate([(w != 0).sum(axis=1), np.zeros(count - there, np.int64)])
    return (work.weights(first, 1, chunk) != 0).any(axis=2).sum(axis=1)
