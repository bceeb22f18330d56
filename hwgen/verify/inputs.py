"""Which images a verification runs on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.inputs import quantize_input
from hwgen.inputs import load_inputs
from hwgen.model.graph import Graph


def images(graph: Graph, path: Path | None, random: int | None = None, seed: int = 1) -> NDArray[np.int8]:
    """Return the quantised batch: from a file, or ``random`` seeded images (one when neither is given)."""
    if path is not None and random is not None:
        raise HwgenError("give either --inputs or --random, not both")
    if path is not None:
        return quantize_input(graph, load_inputs(path)[0])
    count = 1 if random is None else random
    if count < 1:
        raise HwgenError(f"--random must be >= 1, not {count}")
    shape = graph.tensors[graph.input].shape[1:]
    return np.random.default_rng(seed).integers(-128, 128, (count, *shape), dtype=np.int8)
