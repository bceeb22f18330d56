"""Why a share is more than all: said below the table that has it."""

from __future__ import annotations

from collections.abc import Iterable

OVERLAP = "layers overlap, and part of its work was done before the layer in front of it had ended"


def beyond(of_multipliers: Iterable[float], of_bound: Iterable[float], *, skips: bool) -> list[str]:
    """Return a line for each kind of share, of layers or the whole, that is above 1.

    Parameters
    ----------
    of_multipliers : iterable of float
        Multiply-accumulates / (cycles * multipliers).
    of_bound : iterable of float
        Effectual bound / cycles.
    skips : bool
        Whether the machine skips zeros.
    """
    lines = []
    if max(of_multipliers, default=0.0) > 1:
        why = "products with a zero count, though they are skipped and take no cycle" if skips else OVERLAP
        lines.append(f"more than 100 % of the multipliers: {why}")
    if max(of_bound, default=0.0) > 1:
        lines.append(f"more than 100 % of the bound: {OVERLAP}")
    return lines
