"""Which images a verification runs on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.inputs import file_inputs, random_inputs, to_maps
from hwgen.inputs import load_inputs
from hwgen.model.graph import Graph


def images(graph: Graph, path: Path | None, random: int | None = None, seed: int = 1) -> list[NDArray[Any]]:
    """Return the file's inputs: from an .npz file, or ``random`` seeded images (one when neither is given)."""
    if path is not None and random is not None:
        raise HwgenError("give either --inputs or --random, not both")
    if path is not None:
        return file_inputs(graph, {"x": load_inputs(path)[0]})
    count = 1 if random is None else random
    if count < 1:
        raise HwgenError(f"--random must be >= 1, not {count}")
    return random_inputs(graph, count, seed)


def image_maps(graph: Graph, path: Path | None, random: int | None = None, seed: int = 1) -> NDArray[np.int8]:
    """The first input's map of `images`, int8, shape (N, H, W, C)."""
    return to_maps(graph, images(graph, path, random, seed))[graph.input]
