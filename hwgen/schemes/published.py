"""Figures that papers state at a density, beside what the rules give there: ``python -m hwgen.schemes.published``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from hwgen.schemes.cambricon_s import CAMBRICON_S, SHARING
from hwgen.schemes.cambricon_x import CAMBRICON_X
from hwgen.schemes.cnvlutin import CNVLUTIN
from hwgen.schemes.eie import EIE
from hwgen.schemes.layer import Layer
from hwgen.schemes.n_of_m import N_OF_M
from hwgen.schemes.scheme import Scheme
from hwgen.schemes.scnn import SCNN
from hwgen.schemes.sparten import SPARTEN

SEED = 1


@dataclass(frozen=True)
class Published:
    """One published figure.

    Attributes
    ----------
    scheme, layer, density : str
        What it is about; density of weights, activations.
    published : str
        What the paper says.
    source : str
        F: found in the paper's abstract or in notes on it; M: from memory of the paper.
    low, high : float
        What the rule may give: from a little below the published figure (of whole networks, memory included) up to
        the bound of the zeros.
    ours : callable
        What it gives.
    """

    scheme: str
    layer: str
    density: str
    published: str
    source: str
    low: float
    high: float
    ours: Callable[[], float]


def random_layer(
    size: int, channels: int, filters: int, kernel: int, weights: float, activations: float, *, share: int = 1,
    some: int | None = None, pad: int = 0,
) -> Layer:  # fmt: skip
    """Return a layer with zeros at independent random places.

    Parameters
    ----------
    size : int
        Height and width of the input.
    weights, activations : float
        Density.
    share : int
        So many neighbouring filters have their zeros at the same places.
    some : int, optional
        Input channels that input-stationary schemes look at.
    """
    rng = np.random.default_rng(SEED)
    w = rng.random((-(-filters // share), kernel, kernel, channels)) < weights
    at: NDArray[np.int64] | None = None if some is None else np.arange(0, channels, channels // some)
    return Layer(
        np.repeat(w, share, axis=0)[:filters],
        rng.random((size, size, channels)) < activations,
        pad=(pad, pad, pad, pad),
        channels=at,
    )


def over_dense(scheme: Scheme, layer: Layer, multipliers: int) -> float:
    """Return the speed-up over the same number of multipliers, always busy."""
    return layer.macs / multipliers / scheme.cycles(layer, multipliers)


def _over(slow: Scheme, fast: Scheme, layer: Layer, multipliers: int) -> float:
    return slow.cycles(layer, multipliers) / fast.cycles(layer, multipliers)


def _two_of_four() -> Layer:
    rng = np.random.default_rng(SEED)
    kept = (rng.random((64 * 9 * 64 // 4, 4)).argsort(axis=1) < 2).reshape(64, 3, 3, 64)
    return Layer(kept, np.ones((8, 8, 64), np.bool_), pad=(1, 1, 1, 1))


def _scnn(density: float) -> Layer:
    return random_layer(28, 96, 128, 3, density, density, some=4, pad=1)


@cache
def _scnn_pruned() -> Layer:
    return random_layer(28, 96, 128, 3, 0.35, 0.45, some=4, pad=1)


def _fc6() -> Layer:
    return random_layer(1, 9216, 4096, 1, 0.09, 0.351)


def _conv3(weights: float, activations: float, share: int = 1) -> Layer:
    return random_layer(15, 256, 96, 3, weights, activations, share=share)


CONV3 = "3x3, 256 channels, to 13x13 (AlexNet conv3)"
INCEPTION = "3x3, 96 to 128 channels, 28x28 (GoogLeNet 3a)"

ROWS: tuple[Published, ...] = (
    Published("Cnvlutin, 256 multipliers", CONV3, "1, 0.56", "1.37x (1.24-1.55x) on networks with 44 % zeros", "F, M",
              1.24, 1 / 0.56, lambda: over_dense(CNVLUTIN, _conv3(1, 0.56), 256)),
    Published("Cambricon-X, 256 multipliers", CONV3, "1/32, 1", "at most 16x: 16 of 256 activations a cycle", "M",
              12.0, 16.0, lambda: over_dense(CAMBRICON_X, _conv3(1 / 32, 1), 256)),
    Published("Cambricon-S over Cambricon-X, 256", CONV3, "0.35 by 16 filters, 0.56", "1.71x", "F",
              1.4, 1 / 0.56, lambda: _over(CAMBRICON_X, CAMBRICON_S, _conv3(0.35, 0.56, SHARING), 256)),
    Published("EIE, 64 multipliers", "9216 to 4096 (AlexNet fc6)", "0.09, 0.351", "3 TOPS for 0.102: 29x", "F, M",
              22.0, 1 / 0.09 / 0.351, lambda: over_dense(EIE, _fc6(), 64)),
    Published("SCNN, 1024 multipliers", INCEPTION, "1, 1", "0.79x on dense networks", "F",
              0.65, 0.90, lambda: over_dense(SCNN, _scnn(1.0), 1024)),
    Published("SCNN, 1024 multipliers", INCEPTION, "0.85, 0.85", "about 1x: it begins to pay", "M",
              0.75, 1.15, lambda: over_dense(SCNN, _scnn(0.85), 1024)),
    Published("SCNN, 1024 multipliers", INCEPTION, "0.35, 0.45", "2.7x on pruned networks", "F, M",
              2.0, 1 / 0.35 / 0.45, lambda: over_dense(SCNN, _scnn_pruned(), 1024)),
    Published("SCNN, 1024 multipliers", INCEPTION, "0.1, 0.1", "24x", "M",
              17.0, 33.0, lambda: over_dense(SCNN, _scnn(0.1), 1024)),
    Published("SparTen, 1024 multipliers", INCEPTION, "0.35, 0.45", "4.7x on pruned networks", "F, M",
              3.8, 1 / 0.35 / 0.45, lambda: over_dense(SPARTEN, _scnn_pruned(), 1024)),
    Published("SparTen over SCNN, 1024", INCEPTION, "0.35, 0.45", "3x", "F",
              1.5, 3.3, lambda: _over(SCNN, SPARTEN, _scnn_pruned(), 1024)),
    Published("N:4", "3x3, 64 channels, 8x8", "2:4, 1", "2x", "F",
              2.0, 2.0, lambda: over_dense(N_OF_M, _two_of_four(), 64)),
)  # fmt: skip


def table() -> str:
    """Return the figures as Markdown."""
    lines = [
        "| scheme | layer | density of weights, activations | published | source | ours | accepted |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        ours = row.ours()
        lines.append(
            f"| {row.scheme} | {row.layer} | {row.density} | {row.published} | {row.source} | **{ours:.2f}x** | "
            f"{row.low:.2f}-{row.high:.2f}x{'' if row.low <= ours <= row.high else ' MISSED'} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
