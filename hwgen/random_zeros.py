"""A network with some of its weights set to zero at random: what skipping gives, accuracy aside."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwgen.model.graph import Conv, Graph
from hwgen.sparse_layer import keep


def with_random_zeros(graph: Graph, share: float, seed: int = 0) -> Graph:
    """Return a copy where that share of every layer's weights, rounded to whole ones, is zero; others are as they were.

    No file holds it; its ``source`` is ``synthetic``.

    Raises
    ------
    ValueError
        When ``share`` is not in 0..1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of zeros must be in 0..1, not {share}")
    rng = np.random.default_rng(seed)
    ops = tuple(
        replace(op, weight=op.weight * keep(1 - share, op.weight.shape, rng)) if isinstance(op, Conv) else op
        for op in graph.ops
    )
    return replace(graph, source="synthetic", ops=ops)
