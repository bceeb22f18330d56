"""How long units wait for each other at the banks of the activation buffer: what the cycle model does not walk through.

Shares of the time in which two units are at work beside each other, by the chance that they want the same bank. The
numbers were fitted to the additions of both ResNet-8 on all presets.
"""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.config import Config
from hwgen.derive import Derived

LOAD_FIRST, STORE_FIRST, STORE_YIELDS = 0.97, 0.89, 1.56
"""How often a LOAD or STORE goes before a result or an operand that wants its bank, and how often a STORE waits for
one."""
FETCH_WAITS = 0.2
"""How often a fetch waits for an operand of an addition that wants its bank."""
LOCK_STEP = 2.0
"""Columns that fetch without collisions are in the way of an addition as so many, at most, of those that collide: it
falls into step with them, the sooner the more there are."""


@dataclass(frozen=True)
class Waits:
    """Shares of the cycles in which the others work.

    Attributes
    ----------
    operand : float
        An addition, for columns that fetch.
    in_step : float
        That of columns without collisions over that of others.
    fetch : float
        A fetch, for additions.
    load_first, store_first : float
        An addition, for a LOAD and a STORE.
    load : float
        A LOAD, for results of POST, on a bus as wide as a DMA word.
    ring, store : float
        A STORE through the ring memory, and on its own, for additions.
    """

    operand: float
    in_step: float
    fetch: float
    load_first: float
    store_first: float
    load: float
    ring: float
    store: float

    @classmethod
    def of(cls, config: Config) -> Waits:
        """Return those of a configuration."""
        # Of the banks, how many a DMA word takes, and how many what DMA moves in a cycle.
        words = Derived(config).dma_words / config.banks
        moved = words * config.axi_bits / (8 * Derived(config).dma_bytes)
        return cls(
            _operand(config.columns, config.banks), min(1.0, LOCK_STEP / config.columns), FETCH_WAITS / config.banks,
            LOAD_FIRST * moved, STORE_FIRST * moved, words, STORE_YIELDS * words, STORE_YIELDS * moved,
        )  # fmt: skip


def _operand(columns: int, banks: int) -> float:
    """Each column wants a bank in every cycle, and goes before an operand that wants it too in half of them; an item
    has both its operands when the later one comes."""
    lost = 1 - (1 - 1 / (2 * banks)) ** columns
    waits = 2 * lost / (1 - lost) - lost**2 / (1 - lost**2)
    return waits / (1 + waits)
