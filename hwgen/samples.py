"""Maps of a network on real inputs, by the golden model: what the compiler chooses mappings by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler.density import Samples
from hwgen.config import Config
from hwgen.golden.graph import run
from hwgen.model.graph import Graph

SAMPLE_IMAGES = 16
"""Whose maps are looked at."""


def samples(graph: Graph, config: Config, x: NDArray[np.int8]) -> Samples | None:
    """Return the maps of some images.

    Parameters
    ----------
    graph : Graph
    config : Config
        Where zero activations are neither skipped nor packed, they have no say.
    x : int8 array, shape (images, height, width, channels)
        At most `SAMPLE_IMAGES` of them are taken, evenly spread, as files are often sorted by class.

    Returns
    -------
    mapping of tensor names to int8 arrays, shape (images, height, width, channels), or None
    """
    if config.skip not in ("activation", "both") and not config.compress_maps:
        return None
    some = np.linspace(0, len(x) - 1, min(len(x), SAMPLE_IMAGES)).round().astype(int)
    kept = run(graph, x[some], keep=True).tensors
    return {name: values for name, values in kept.items() if values.ndim == 4}
