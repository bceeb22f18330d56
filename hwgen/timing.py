"""Cycle constants of the units, pinned by their benches; the compiler's cycle model uses nothing else."""

from __future__ import annotations

# GRID (explained in hwgen/hardware/grid.py)
RUN_OVERHEAD = 0
"""Cycles between the last position of a RUN and the first one of the next RUN, accepted in time."""
RUN_ACCUMULATE_GAP = 4
"""The same when the next RUN has ``accumulate``."""
RUN_SPACING = 2
"""Least cycles from RUN to RUN (matters for RUNs of a single position)."""
RUN_START = 6
"""Cycles from the acceptance of a RUN by an idle grid to its first position."""
RUN_DRAIN = 7
"""Cycles from the last position of a RUN to its ``done``."""
GRID_SET_CYCLES = 1
"""Cycles of a SEGMENT or BASE, hidden behind a RUN that walks."""
