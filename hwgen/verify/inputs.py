"""Which images a verification runs on."""

from __future__ import annotations

from pathlib import Path

from hwgen.errors import HwgenError
from hwgen.golden.graph import Maps
from hwgen.golden.inputs import random_inputs, to_maps
from hwgen.inputs import Inputs, read_inputs
from hwgen.model.graph import Graph


def chosen_inputs(
    graph: Graph, path: Path | None, random: int | None = None, seed: int = 1, limit: int | None = None
) -> Inputs:
    """Return the inputs of an .npz file, or ``random`` seeded images (one when neither is given)."""
    if path is not None and random is not None:
        raise HwgenError("give either --inputs or --random, not both")
    if path is not None:
        return read_inputs(graph, path, limit)
    if limit is not None:
        raise HwgenError("--limit takes the first inputs of a file, but none is given", remedy="give --inputs FILE.npz")
    count = 1 if random is None else random
    if count < 1:
        raise HwgenError(f"--random must be >= 1, not {count}")
    return Inputs(random_inputs(graph, count, seed))


def image_maps(
    graph: Graph, path: Path | None, random: int | None = None, seed: int = 1, limit: int | None = None
) -> Maps:
    """The maps of `chosen_inputs`, int8, shape (N, H, W, C), by name."""
    return to_maps(graph, chosen_inputs(graph, path, random, seed, limit).values)
