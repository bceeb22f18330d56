"""What a technique decided, as data."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

Entry = dict[str, Any]

_LONGEST = 200
"""Characters of a value beyond which it is not printed: it holds packed numbers."""


@dataclass(frozen=True)
class Plan:
    """The decisions of one technique: JSON, to be printed, compared and applied again.

    Parameters
    ----------
    technique : str
    parameters : dict
        As the recipe gave them, defaults included.
    layers, maps : dict
        What is done to each layer and to each feature map, by name; the keys belong to the technique.
    notes : list of str
        What was left out, and why.
    curve : list of dict
        How training went, epoch by epoch.
    """

    technique: str
    parameters: Entry
    layers: dict[str, Entry] = field(default_factory=dict)
    maps: dict[str, Entry] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    curve: list[Entry] = field(default_factory=list)

    def to_json(self) -> Entry:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Entry) -> Plan:
        """The plan that `to_json` describes."""
        return cls(**value)

    def __str__(self) -> str:
        lines = [f"{self.technique} {json.dumps(self.parameters)}"]
        for kind, entries in (("layer", self.layers), ("map", self.maps)):
            lines += [f"  {kind} {name}: {', '.join(f'{k} {_short(v)}' for k, v in entry.items())}"
                      for name, entry in entries.items()]
        lines += [f"  {', '.join(f'{k} {_short(v)}' for k, v in entry.items())}" for entry in self.curve]
        return "\n".join(lines + [f"  note: {note}" for note in self.notes])


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        shown = ", ".join(_short(v) for v in value[:4])
        return f"[{shown}{f', ... {len(value)} in all' if len(value) > 4 else ''}]"
    if isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:12]}... {len(value)} characters in all"  # numbers, packed
    return str(value)
