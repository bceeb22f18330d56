"""Everything that keeps a network from running, each thing once: grouped, with its layers and a remedy."""

from __future__ import annotations

from dataclasses import dataclass, field

from hwgen.errors import HwgenError


class ObstacleError(HwgenError):
    """One of them, raised where it is met: the operator, the layer's name, what, and its remedy."""

    def __init__(self, file: str, operator: str, layer: str, what: str, remedy: str | None) -> None:
        super().__init__(what, where=f"{file}: {f'{operator} {layer!r}' if operator else layer}", remedy=remedy)
        self.operator, self.layer = operator, layer


LISTED = 4
"""Layers that are named of each group."""


@dataclass
class Obstacles:
    """Collects them; ``where`` is the file."""

    where: str
    _found: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)

    def add(self, operator: str, layer: str, what: str, remedy: str) -> None:
        """One more: operator and name of a layer (both empty for the network as a whole), what, and its remedy."""
        layers = self._found.setdefault((operator, what, remedy), [])
        if layer not in layers:
            layers.append(layer)

    def take(self, found: ObstacleError) -> None:
        """One more, which was raised."""
        self.add(found.operator, found.layer, found.what, found.remedy or "")

    def __bool__(self) -> bool:
        return bool(self._found)

    def check(self, what: str, remedy: str | None = None) -> None:
        """Raise one error that lists them all, if there are any.

        Raises
        ------
        HwgenError
            ``what``, then a line for each group: operator, how many layers and which, reason -> remedy.
        """
        if not self._found:
            return
        lines = [_line(operator, layers, reason, mend) for (operator, reason, mend), layers in self._found.items()]
        raise HwgenError("\n  - ".join([what, *lines]), where=self.where, remedy=remedy)


def _line(operator: str, layers: list[str], reason: str, remedy: str) -> str:
    named = [layer for layer in layers if layer]
    place = ", ".join(map(repr, named[:LISTED])) + (f" and {len(named) - LISTED} more" if len(named) > LISTED else "")
    count = f" ({len(named)} layers)" if len(named) > 1 else ""
    head = " ".join(part for part in (f"{operator}{count}", place) if part)
    return ": ".join(part for part in (head, reason) if part) + (f" -> {remedy}" if remedy else "")
