"""Ranges of feature maps on a sample of inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.data import Data
from hwgen.compress.execute import Maps, gather
from hwgen.compress.graph import FloatGraph
from hwgen.compress.ranges import BINS, choose
from hwgen.errors import HwgenError

Range = tuple[float, float]

_NARROW = 1e-9
"""Width of a range relative to its ends below which its values count as one."""


def map_ranges(graph: FloatGraph, data: Data, bits: int, *, method: str, symmetric: bool,
               percentile: float) -> dict[str, Range]:
    """The range of every map of a float network, see `hwgen.compress.ranges.choose`.

    The network runs once to find minima and maxima, and for methods that need the distribution once more.
    """
    def extremes(maps: Maps) -> dict[str, Range]:
        return {name: (float(value.min()), float(value.max())) for name, value in maps.items()}

    parts = gather(graph, data.x, extremes, fake=False)
    ends = {name: (min(part[name][0] for part in parts), max(part[name][1] for part in parts)) for name in parts[0]}
    for name, pair in ends.items():
        if not np.isfinite(pair).all():
            raise HwgenError("the map must be finite on the sample, but holds NaN or infinity", where=name,
                             remedy="give inputs in the network's own range")
    # Where all values are nearly one, bins would fall together.
    wide = {} if method == "min-max" else {
        name: pair for name, pair in ends.items() if pair[1] - pair[0] > _NARROW * max(map(abs, pair))}
    result = {name: choose(np.array(pair), np.ones(2), bits, method="min-max", symmetric=symmetric)
              for name, pair in ends.items() if name not in wide}
    if not wide:
        return result

    def histogram(maps: Maps) -> dict[str, NDArray[np.int64]]:
        return {name: np.histogram(maps[name].astype(np.float64), BINS, wide[name])[0] for name in wide}

    filled = gather(graph, data.x, histogram, fake=False)
    for name, (low, high) in wide.items():
        counts = np.sum([part[name] for part in filled], axis=0)
        centres = low + (np.arange(BINS) + 0.5) * (high - low) / BINS
        result[name] = choose(centres, counts, bits, method=method, symmetric=symmetric, percentile=percentile)
    return result
