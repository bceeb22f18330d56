"""Mixed precision: widths of the layers under a budget, by what each width of each layer costs.

The idea is that of HAWQ (Dong et al., ICCV 2019), with the measured error of the outputs instead of a Hessian.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from hwgen.compress.graph import FloatArray, FloatConv, FloatGraph
from hwgen.compress.variants import answers, distance
from hwgen.errors import HwgenError

Errors = Mapping[int, float]
"""Error of a layer by its bits."""


WIDTHS = (2, 3, 4, 5, 6, 8)
"""Widths that a layer may get."""


def measured_errors(graph: FloatGraph, layers: Iterable[FloatConv], x: FloatArray,
                    rounded: Callable[[FloatConv, int], FloatArray]) -> dict[str, dict[int, float]]:
    """Error of the network's outputs by layer and bits, one layer at a time.

    Parameters
    ----------
    graph : FloatGraph
    layers : iterable of FloatConv
    x : array
        Inputs to measure on.
    rounded : callable
        A layer's weights as so many bits have them.
    """
    variants = {(op.name, bits): graph.replace_ops({op: (replace(op, weight=rounded(op, bits)),)})
                for op in layers for bits in WIDTHS}
    base, found = answers(graph, variants, x)
    errors: dict[str, dict[int, float]] = {}
    for (name, bits), outputs in found.items():
        errors.setdefault(name, {})[bits] = distance(base, outputs)
    return errors


def choose_bits(errors: Mapping[str, Errors], sizes: Mapping[str, int], mean_bits: float) -> dict[str, int]:
    """Widths whose errors sum up to little, of ``mean_bits`` a weight at most.

    From the widest on, the layer gives up bits where the error grows least for what it saves, several widths at once
    where that is cheaper; then what is left of the budget goes where it helps most.

    Parameters
    ----------
    errors : mapping
        Of each layer, by its bits.
    sizes : mapping
        Weights of each layer.
    mean_bits : float

    Raises
    ------
    HwgenError
        When not even the narrowest widths fit.
    """
    budget = mean_bits * sum(sizes.values())
    bits = {name: max(known) for name, known in errors.items()}
    least = sum(sizes[name] * min(known) for name, known in errors.items())
    if least > budget:
        raise HwgenError(f"mean_bits must be at least {least / sum(sizes.values()):.3g}, the narrowest widths, "
                         f"not {mean_bits:g}")

    def used() -> int:
        return sum(sizes[name] * b for name, b in bits.items())

    while used() > budget:
        steps = [((errors[name][b] - errors[name][bits[name]]) / (sizes[name] * (bits[name] - b)), name, b)
                 for name in errors for b in errors[name] if b < bits[name]]
        _, name, b = min(steps)
        bits[name] = b
    while True:
        helps = [((errors[name][bits[name]] - errors[name][b]) / (sizes[name] * (b - bits[name])), name, b)
                 for name in errors for b in errors[name]
                 if b > bits[name] and used() + sizes[name] * (b - bits[name]) <= budget
                 and errors[name][b] < errors[name][bits[name]]]
        if not helps:
            return bits
        _, name, b = max(helps)
        bits[name] = b
