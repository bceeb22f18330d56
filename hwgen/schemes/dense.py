"""Machines that spend a cycle on every product, whatever its factors: DaDianNao, and Eyeriss, which gates."""

from __future__ import annotations

from hwgen.schemes.layer import Layer
from hwgen.schemes.scheme import LANES, Scheme, all_work


def dense_cycles(layer: Layer, multipliers: int, positions: int | None = None) -> float:
    """Return the cycles of a broadcast array: 16 activations a cycle to ``multipliers / 16`` filters.

    Modelled: filters and positions of a window that do not fill the array. Not modelled: memory, pipeline, overlap of
    layers.

    Parameters
    ----------
    positions : int, optional
        Products of one output, K by default.
    """
    lanes = min(LANES, multipliers)
    groups, filters, _ = layer.filters.shape
    height, width = layer.output_shape
    bricks = -(-(layer.positions if positions is None else positions) // lanes)
    return height * width * groups * bricks * -(-filters // (multipliers // lanes))


DENSE = Scheme(
    "dense",
    "DaDianNao",
    "DaDN",
    "none",
    "Chen et al., MICRO 2014",
    "DaDianNao: A Machine-Learning Supercomputer",
    dense_cycles,
    all_work,
)

EYERISS = Scheme(
    "eyeriss",
    "Eyeriss",
    "Eyeriss",
    "none (gates)",
    "Chen, Emer, Sze, ISCA 2016",
    "Eyeriss: A Spatial Architecture for Energy-Efficient Dataflow for Convolutional Neural Networks",
    # A zero activation keeps its multiplier still, which saves energy and no time. Its row-stationary mapping is not
    # modelled: the array counts as full.
    lambda layer, multipliers: -(-layer.macs // multipliers),
    all_work,
)
