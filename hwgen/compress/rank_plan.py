"""Ranks of several layers under one budget of multiplications."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.graph import FloatConv, FloatGraph
from hwgen.errors import HwgenError

_ROUNDS = 100


@dataclass(frozen=True)
class Choice:
    """One way to have a layer: input and output rank (None: as it is), multiplications, relative squared error."""

    ranks: tuple[int, int] | None
    macs: int
    error: float


def tucker_choices(graph: FloatGraph, op: FloatConv, multiple: int) -> list[Choice]:
    """Every pair of ranks of a layer, those below all of its channels a multiple of ``multiple``.

    The error is the sum of what both unfoldings lose, which that of the decomposition does not exceed (De Lathauwer
    2000).
    """
    outputs, height, width, inputs = op.weight.shape
    before, after = (int(np.prod(graph.shapes[name][1:3])) for name in (op.inputs[0], op.output))
    lost_in, lost_out = (_lost(op.weight, axis) for axis in (3, 0))
    choices = [Choice(None, after * op.weight.size, 0.0)]
    for of_input in _ranks(len(lost_in), multiple):
        for of_output in _ranks(len(lost_out), multiple):
            macs = before * inputs * of_input + after * of_output * (height * width * of_input + outputs)
            choices.append(Choice((of_input, of_output), macs, lost_in[of_input - 1] + lost_out[of_output - 1]))
    return choices


def least_error(choices: Mapping[str, Sequence[Choice]], budget: int) -> dict[str, Choice]:
    """A choice for each layer: of all within the budget about those whose errors sum up to least.

    A price of a multiplication is sought at which the cheapest choices just fit (Everett 1963); what is left of the
    budget then goes, layer by layer, where it helps most.

    Raises
    ------
    HwgenError
        When the smallest choices do not fit.
    """
    least = sum(min(c.macs for c in of_layer) for of_layer in choices.values())
    if least > budget:
        raise HwgenError(f"the layers to split take at least {least} multiplications, not {max(budget, 0)}")

    def at(price: float) -> dict[str, Choice]:
        return {name: min(of_layer, key=lambda c: (c.error + price * c.macs, c.macs))
                for name, of_layer in choices.items()}

    def fits(found: dict[str, Choice]) -> bool:
        return sum(c.macs for c in found.values()) <= budget

    low, high = 0.0, 1.0  # errors are at most 2, and a multiplication less saves at least one: 2 is always enough
    while not fits(at(high)):
        high *= 2
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(at(middle)) else (middle, high)
    found = at(high)
    while True:
        left = budget - sum(c.macs for c in found.values())
        gain, name, choice = max(((found[name].error - c.error, name, c) for name, of_layer in choices.items()
                                  for c in of_layer if c.macs <= found[name].macs + left), key=lambda better: better[0])
        if gain <= 0:
            return found
        found[name] = choice


def _ranks(most: int, multiple: int) -> list[int]:
    return [*range(multiple, most, multiple), most]


def _lost(weight: NDArray[np.floating], axis: int) -> NDArray[np.float64]:
    """The share of the squares that a truncation to 1, 2, .. of the singular values along an axis loses."""
    matrix = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).astype(np.float64)
    squares = np.linalg.svd(matrix, compute_uv=False) ** 2
    return np.maximum(1 - np.cumsum(squares) / max(float(squares.sum()), 1e-300), 0.0)
