"""The machine on the page: its parameters, and the places of its lanes in the picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MEANING = {
    "rows": "lanes from top to bottom; each row has other weights",
    "columns": "lanes from left to right; each column has other activations",
    "vector": "multipliers of a lane",
    "weight_bits": "width of a weight",
    "act_bits": "width of an activation",
    "acc_bits": "width of an accumulator",
    "wmem_words": "words of a lane's weight memory",
    "amem_words": "words of a lane's activation memory",
    "segments": "entries of the segment table",
    "acc_vectors": "vectors of accumulators in a lane",
    "act_kib": "activation buffer, KiB",
    "weight_kib": "weight buffer, KiB",
    "param_kib": "parameter buffer, KiB",
    "banks": "banks of the activation buffer",
    "axi_bits": "width of the memory bus",
    "outstanding": "reads of memory in flight",
    "post_width": "results post-processed a cycle",
    "queue": "commands queued for a unit",
    "mappings": "mappings that are built",
    "operators": "operators that are built besides convolutions",
    "skip": "operands whose zeros cost no cycle",
    "gate": "multipliers keep still at zeros",
    "weight_formats": "forms in which weights are stored",
    "codebook": "entries that weights may be looked up in",
    "compress_maps": "maps are packed in memory",
}
"""What the keys of a configuration are, in few words."""

CELL, GAP, DOT = 54, 8, 7
"""Pixels of a lane, between lanes, and of a multiplier with the space around it."""


def parameters(config: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return (key, value, meaning) of a configuration, as `hwgen verify --json` has it."""
    return [(key, _text(value), MEANING[key]) for key, value in config.items() if key in MEANING]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return (", ".join(map(str, value)) or "none") if isinstance(value, list) else str(value)


def lanes(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return where the lanes and their multipliers are in a picture of the grid.

    Returns
    -------
    dict
        ``width`` and ``height`` of the grid, ``cell``, ``lanes`` (row, column, x, y), ``dots`` (x, y) in a lane,
        ``dot``: all in pixels.
    """
    rows, columns, vector = config["rows"], config["columns"], config["vector"]
    step = CELL + GAP
    wide = max(4, 1 << (vector.bit_length() - 1) // 2)
    return {
        "width": columns * step - GAP,
        "height": rows * step - GAP,
        "cell": CELL,
        "lanes": [(r, c, c * step, r * step) for r in range(rows) for c in range(columns)],
        "dots": [(6 + i % wide * (DOT + 4), 20 + i // wide * (DOT + 1)) for i in range(vector)],
        "dot": DOT,
    }
