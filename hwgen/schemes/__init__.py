"""Cycle models of published skip schemes, computed from the zeros of a network's weights and of its inputs' maps.

Each rule is a golden model of one machine on a given number of multipliers: lanes and their groups, what is broadcast,
where they wait for each other. Memory is free and never late, which is in favour of every scheme.
"""

from hwgen.schemes.cambricon_s import CAMBRICON_S
from hwgen.schemes.cambricon_x import CAMBRICON_X
from hwgen.schemes.cnvlutin import CNVLUTIN
from hwgen.schemes.dense import DENSE, EYERISS
from hwgen.schemes.eie import EIE
from hwgen.schemes.lanes import ACTIVATION_ONLY, INNER_JOIN, WEIGHT_ONLY
from hwgen.schemes.layer import Layer
from hwgen.schemes.n_of_m import N_OF_M
from hwgen.schemes.scheme import Scheme
from hwgen.schemes.scnn import SCNN
from hwgen.schemes.sparten import SPARTEN

SCHEMES: tuple[Scheme, ...] = (
    DENSE, EYERISS, N_OF_M, WEIGHT_ONLY, CAMBRICON_X, ACTIVATION_ONLY, CNVLUTIN, INNER_JOIN, CAMBRICON_S, EIE, SCNN,
    SPARTEN,
)  # fmt: skip
"""In the order of the tables: no skipping, weights, activations, both."""

__all__ = ["SCHEMES", "Layer", "Scheme"]
