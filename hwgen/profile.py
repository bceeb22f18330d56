"""How dense a network's maps are on real inputs, by the golden model: what the compiler chooses mappings by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.density import Profile, measure
from hwgen.config import Config
from hwgen.golden.graph import run
from hwgen.model.graph import Graph

PROFILE_IMAGES = 16
"""Whose maps are looked at."""


def profile(graph: Graph, config: Config, x: NDArray[np.int8]) -> Profile | None:
    """Measure the maps of a network.

    Parameters
    ----------
    graph : Graph
    config : Config
        Where zero activations are neither skipped nor packed, densities have no say.
    x : int8 array, shape (images, height, width, channels)
        At most `PROFILE_IMAGES` of them are taken, evenly spread, as files are often sorted by class.

    Returns
    -------
    mapping of tensor names to Density, or None
    """
    if config.skip not in ("activation", "both") and not config.compress_maps:
        return None
    some = np.linspace(0, len(x) - 1, min(len(x), PROFILE_IMAGES)).round().astype(int)
    kept = run(graph, x[some], keep=True).tensors
    return {
        name: measure(values, graph.tensors[name].zero_point, config.vector)
        for name, values in kept.items()
        if values.ndim == 4
    }
