"""Sparse tensor cores: at most N of every four neighbouring weights, in the whole layer."""

from __future__ import annotations

from hwgen.schemes.dense import dense_cycles
from hwgen.schemes.layer import Layer, split
from hwgen.schemes.scheme import Scheme

GROUP = 4


def kept(layer: Layer) -> int:
    """Return N: 1 or 2 when no aligned group of four weights of a filter has more that are not zero, otherwise 4."""
    most = int(split(layer.filters, GROUP).sum(axis=-1).max(initial=0))
    return 1 if most <= 1 else most if most == 2 else GROUP


def n_of_m_cycles(layer: Layer, multipliers: int) -> float:
    """Return the cycles of a dense array that multiplies N of every 4 positions.

    Modelled: the structure is checked on the weights, along the positions of a window (kh, kw, channels); a layer that
    has it in all filters walks N of 4 positions, any other all of them. 2:4 is what the product has (Mishra 2021); 1:4
    as in VEGETA (Jeong et al., HPCA 2023). Not modelled: memory, the fixed tile sizes of the product.
    """
    n = kept(layer)
    return dense_cycles(layer, multipliers, None if n == GROUP else n * -(-layer.positions // GROUP))


def n_of_m_work(layer: Layer) -> float:
    """Products at the positions that are left."""
    return layer.macs * kept(layer) / GROUP


N_OF_M = Scheme(
    "n_of_m",
    "N:4",
    "N:4",
    "weights",
    "Mishra et al., arXiv:2104.08378, 2021",
    "Accelerating Sparse Deep Neural Networks",
    n_of_m_cycles,
    n_of_m_work,
)
