"""Maps of a network on real inputs, by the golden model: what the compiler chooses mappings by."""

from __future__ import annotations

import numpy as np

from hwgen.compiler.density import Samples
from hwgen.config import Config
from hwgen.golden.graph import Batch, batch_of, run
from hwgen.model.graph import Graph

SAMPLE_IMAGES = 16
"""Whose maps are looked at."""


def samples(graph: Graph, config: Config, x: Batch) -> Samples | None:
    """Return the maps of some images.

    Parameters
    ----------
    graph : Graph
    config : Config
        Where zero activations are neither skipped nor packed, they have no say.
    x : int8 array, shape (images, height, width, channels), or mapping of map names to such arrays
        At most `SAMPLE_IMAGES` of them are taken, evenly spread, as files are often sorted by class.

    Returns
    -------
    mapping of tensor names to int8 arrays, shape (images, height, width, channels), or None
    """
    if config.skip not in ("activation", "both") and not config.compress_maps:
        return None
    given = batch_of(graph, x)
    count = len(given[graph.input])
    some = np.linspace(0, count - 1, min(count, SAMPLE_IMAGES)).round().astype(int)
    kept = run(graph, {name: values[some] for name, values in given.items()}, keep=True).tensors
    return {name: values for name, values in kept.items() if values.ndim == 4}
