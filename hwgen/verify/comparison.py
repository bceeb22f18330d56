"""What a comparison with an outside reference found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

EXAMPLES = 10
"""Differences that are reported in full."""


@dataclass
class Comparison:
    """What was compared, and how it came out; `to_json` is the documented interface."""

    name: str
    values: int = 0
    different: int = 0
    """Values that are not equal."""
    wrong: int = 0
    """Of these, those that the format's rule does not allow."""
    maps: int = 0
    examples: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Operators, maps and outputs that no reference was asked about, each with the reason."""
    end_to_end: dict[str, Any] | None = None

    @property
    def equal(self) -> bool:
        """Something was compared, and nothing is wrong."""
        return not self.wrong and self.values > 0

    def fail(self, text: str) -> None:
        """Add something that is wrong as a whole."""
        self.wrong += 1
        self.examples.append(text)

    def wrong_values(self, what: str, wrong: NDArray[np.bool_], ours: NDArray[Any], theirs: NDArray[Any]) -> None:
        """Add values, (N, ...), that are ``wrong``; ``what`` may name the image's axes."""
        self.wrong += int(np.count_nonzero(wrong))
        for at in np.argwhere(wrong)[: max(EXAMPLES - len(self.examples), 0)]:
            image, *place = (int(i) for i in at)
            value = (image, *place)
            self.examples.append(f"{what} = ({', '.join(map(str, place))}), image {image}: {ours[value]}, "
                                 f"not {theirs[value]}")

    @property
    def summary(self) -> str:
        """One line."""
        text = f"{self.values:,} values of {self.maps} maps"
        if self.wrong:
            text += f", {self.wrong:,} differ: {self.examples[0]}"
        elif self.different:
            text += f", {self.different:,} on the other side of a tie"
        else:
            text += ", all equal" if self.values else ": nothing was compared"
        end = self.end_to_end
        if end is not None:
            text += f"; {end['values']:,} values of the outputs, end to end, "
            text += f"{end['different']} differ, by at most {end['largest']:.4g}" if end["different"] else "all equal"
        return text + "".join(f"; not compared: {what}" for what in self.left_out)

    def to_json(self) -> dict[str, Any]:
        """Return the documented keys (docs/interfaces.md)."""
        return {"name": self.name, "equal": self.equal, "values": self.values, "different": self.different,
                "tensors": self.maps, "summary": self.summary, "examples": self.examples[:EXAMPLES],
                "left_out": self.left_out, "end_to_end": self.end_to_end}
