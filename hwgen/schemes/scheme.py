"""A published skip scheme: its paper, its rule, and what of the work it cannot avoid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hwgen.schemes.layer import Layer

LANES = 16
"""Products that are summed up in the units of DianNao's descendants; of a small machine all."""

Rule = Callable[[Layer, int], float]
"""Of a layer and a number of multipliers."""


@dataclass(frozen=True)
class Scheme:
    """How a machine skips zeros.

    Parameters
    ----------
    key : str
        Of the JSON file and the tables.
    title, short : str
        Its name, and one for the head of a narrow column.
    skips : str
        Whose zeros.
    source, paper : str
        Authors, venue and year; title.
    rule : callable
        Cycles of a layer on a number of multipliers, computing alone.
    work : callable
        Products that the scheme cannot avoid, at best one a cycle and multiplier.
    wide : bool
        It skips zero weights by position, so a grouped layer may also run as one matrix with zeros between its groups.
    """

    key: str
    title: str
    short: str
    skips: str
    source: str
    paper: str
    rule: Rule
    work: Callable[[Layer], float]
    wide: bool = False

    def cycles(self, layer: Layer, multipliers: int) -> float:
        """Return the cycles of a layer on so many multipliers, whichever form of a grouped one is faster."""
        return min(self.rule(form, multipliers) for form in (layer.forms() if self.wide else (layer,)))

    def bound(self, layer: Layer, multipliers: int) -> float:
        """Return the cycles if every multiplier had work in every cycle."""
        return self.work(layer) / multipliers


def all_work(layer: Layer) -> float:
    """Every product."""
    return layer.macs


def weight_work(layer: Layer) -> float:
    """Products whose weight is not zero."""
    height, width = layer.output_shape
    return int(layer.weights.sum()) * height * width


def activation_work(layer: Layer) -> float:
    """Products whose activation is not zero."""
    return float(layer.windows.sum()) * layer.filters.shape[1] * layer.scale


def effectual_work(layer: Layer) -> float:
    """Products whose factors are both not zero."""
    return layer.effectual
