"""One ONNX node as the reader and the passes before it see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Node:
    """One ONNX node.

    Parameters
    ----------
    name, op, domain : str
    inputs, outputs : tuple of str
        Absent optional inputs are empty strings.
    attrs : dict
        Python values.
    limits : tuple of int, optional
        Of a QuantizeLinear: the integers at which it saturates, when those of its type are not meant.
    problem : tuple of str, optional
        What a pass cannot rewrite it for, and the remedy; the preflight reports it.
    """

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    limits: tuple[int, int] | None = None
    problem: tuple[str, str] | None = None

    def input(self, position: int) -> str:
        """Name of input ``position``, empty when it is absent."""
        return self.inputs[position] if position < len(self.inputs) else ""
