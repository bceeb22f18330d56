"""How real inputs that a user gives fit the range of numbers that the network's quantisation covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.golden.host import apply
from hwgen.model.graph import Graph
from hwgen.model.ports import Port

Array = NDArray[Any]

NARROW = 1 / 64
"""Inputs that span less of the range than this are probably in other units, e.g. 0..1 where 0..255 is covered."""


@dataclass(frozen=True)
class InputRange:
    """An input's real numbers beside what its quantisation covers.

    Parameters
    ----------
    name : str
    given, covered : (float, float)
        Least and greatest.
    saturated : float
        Share of the numbers that lie over half a step beyond what is covered.
    """

    name: str
    given: tuple[float, float]
    covered: tuple[float, float]
    saturated: float

    @property
    def warning(self) -> str | None:
        """A line where the numbers do not fit."""
        (low, high), (least, most) = self.given, self.covered
        if self.saturated:
            return (f"input {self.name!r}: {100 * self.saturated:.2g} % of the values lie outside of what its "
                    f"quantisation covers and saturate: they span {low:.4g} to {high:.4g}, covered is {least:.4g} to "
                    f"{most:.4g}")
        if 0 < high - low < NARROW * (most - least):
            return (f"input {self.name!r}: the values span {low:.4g} to {high:.4g} alone, its quantisation covers "
                    f"{least:.4g} to {most:.4g}: are they in the units that the network was trained with?")
        return None


def input_ranges(graph: Graph, values: Sequence[Array]) -> list[InputRange]:
    """The ranges of all inputs that are given as real numbers and quantised somewhere.

    Parameters
    ----------
    graph : Graph
    values : sequence of array
        As a user gives them, `hwgen.golden.inputs.placed`.
    """
    found = [_input_range(port, given, graph.source) for port, given in zip(graph.inputs, values, strict=True)
             if np.issubdtype(given.dtype, np.floating)]
    return [each for each in found if each is not None]


def _input_range(port: Port, given: Array, source: str) -> InputRange | None:
    value = given
    attrs: dict[str, Any] = {"scale": port.scale, "zero_point": port.zero_point, "type": port.type}
    if port.real:
        for step in port.steps:
            if step.kind == "quantize":
                attrs = dict(step.attrs)
                break
            value = apply(step, value, source)
        else:
            return None
    kind = np.iinfo(attrs.get("type", "int8"))
    low, high = attrs.get("limits", (kind.min, kind.max))
    least, below, above, most = (np.float32((q - attrs["zero_point"]) * attrs["scale"])
                                 for q in (low, low - 0.5, high + 0.5, high))
    return InputRange(port.name, (float(value.min()), float(value.max())), (float(least), float(most)),
                      float(((value < below) | (value > above)).mean()))
