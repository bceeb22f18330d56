"""Cycle constants of the units; nearly all are pinned by their benches, the others by the layers of whole networks
(tests/verify). Besides, the compiler's cycle model has what is left to chance (`hwgen.compiler.waits`)."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.config import Config


@dataclass(frozen=True)
class Grid:
    """GRID (explained in hwgen/hardware/grid.py and skipping_grid.py)."""

    RUN_OVERHEAD: int = 0
    """Cycles between the last position of a RUN and the first one of the next RUN, accepted in time."""
    RUN_ACCUMULATE_GAP: int = 4
    """The same when the next RUN has ``accumulate``."""
    RUN_RESTART: int = 1
    """RUNs start at least rounds * segments + RUN_RESTART cycles apart (matters when all segments are single
    positions)."""
    RUN_SPACING: int = 2
    """RUNs start at least so many cycles apart."""
    RUN_START: int = 7
    """Cycles from the acceptance of a RUN by an idle grid to its first position."""
    RUN_DRAIN: int = 7
    """Cycles from the last position of a RUN to its ``done``."""


DENSE, SKIPPING = Grid(), Grid(RUN_RESTART=0, RUN_SPACING=4, RUN_START=20)


def grid(config: Config) -> Grid:
    """Return the constants of a configuration's grid."""
    return DENSE if config.skip == "none" else SKIPPING


LANE_WINDOWS, LANE_SEGMENTS = 16, 5
"""Windows (`hwgen.hardware.encoder.QUEUE`), and segments of rounds not yet cut into windows (in stages G, H and I of
the walker, and two in front of the encoder), that a lane that skips has taken and not yet walked."""

GRID_IN_FLIGHT = 16
"""Commands that GRID has taken and not yet reported (`hwgen.hardware.grid`)."""

GRID_SET_CYCLES = 1
"""Cycles of a SEGMENT or BASE, hidden behind a RUN that walks."""

# AFETCH (explained in hwgen/hardware/afetch.py)
AFETCH_OVERHEAD = 1
"""Idle cycles between the words of one AFETCH and the next, offered in time."""
AFETCH_SET_CYCLES = 1
"""Cycles of AF_LEVEL and AF_COL (columns - 1 when more) while the nest is idle, AF_MAP when the unit is drained."""
AFETCH_START = 11
"""Cycles from the offer of an AFETCH to an idle unit to the first word on the bus (P more when transposing)."""
AFETCH_DONE = 1
"""Cycles from the last word on the bus to ``done``."""

# WFETCH (explained in hwgen/hardware/wfetch.py); a WF_ZERO between two fetches takes one cycle
WFETCH_OVERHEAD = 1
"""Idle cycles between the words of one WFETCH and the next, offered in time."""
WFETCH_START = 4
"""Cycles from the offer of a WFETCH to an idle unit to the first word on the bus."""
WFETCH_DONE = 1
"""Cycles from the last word on the bus to ``done``."""

# WSTREAM, CODEBOOK (explained in hwgen/hardware/wstream.py)
WSTREAM_OVERHEAD = 9
"""Least cycles of a stream beyond a word each, to the next one; marks and runs take few more."""
WSTREAM_START = 9
"""Cycles from the offer of a WSTREAM to an idle unit to the first word on the bus."""
CODEBOOK_OVERHEAD = 5
"""Cycles of a CODEBOOK beyond one for each entry."""

# POST (explained in hwgen/hardware/post.py)
POST_START = 9
"""Cycles from the offer of a DRAIN or ELTWISE to an idle unit to its first read, plus ``param_block`` * passes."""
POST_TAIL = 19
"""Cycles from the last read of a DRAIN to its ``done``, plus P when transposing."""
POST_GAP = 7
"""Cycles without a read between DRAINs offered in time, while parameter blocks do not take longer."""
POST_AHEAD = 12
"""The first parameter block of a DRAIN offered in time is asked for POST_START before it is loaded, which is so many
cycles before the last read of the DRAIN before."""
POST_HELD = 7
"""Results that wait to be written before reads wait for them: of the places that they have
(`hwgen.hardware.post_output.HELD`), those that results on their way do not take."""
POST_BLOCK = 2
"""Results with a parameter block of their own follow every ``param_block`` * passes + POST_BLOCK cycles; passes is 1,
or
the number of pipes unless PO_PIPE.dp is 0."""
POST_SET = 2
"""Cycles of a setting command; PO_QUANT, PO_SCALAR, PO_PIPE and PO_ADD wait for the tail of earlier commands, PO_LEVEL
and PO_SOURCE for their last element."""
ELTWISE_TAIL = 21
"""Cycles from the last read of an ELTWISE to its ``done``; the next ELTWISE or DRAIN starts after that."""
ADD_TABLE = 275
"""Cycles from the offer of a PO_ADD with new operands to the first read of an ELTWISE behind it, plus ``param_block``;
hidden when other commands are in between."""

# SEQUENCER, LOAD, STORE (hwgen/hardware/sequencer.py, load.py, store.py; pinned by tests/sim/test_network.py)
FETCH_BURST_COMMANDS = 16
"""Commands of a fetch burst; bursts end at multiples of 256 bytes, two are buffered, and they go before LOAD bursts."""
START_TO_DISPATCH = 7
"""Command i is dispatched START_TO_DISPATCH + read latency + (i + 1) * max(1, beats of a command) cycles after the
start write, when nothing else holds the bus (at 256 bits two commands share a beat, one is dispatched a cycle)."""
DISPATCH_TO_START = 3
"""Cycles from dispatch to the earliest acceptance by the module. A queue entry is in use until its command is
*done*."""
DONE_TO_START = 2
"""Cycles from ``done`` to the acceptance of a command that waited for its token."""
END_CYCLES = 2
"""Cycles from the last ``done`` to the interrupt."""
CYCLES_NOT_COUNTED = 2
"""The counter register is this much below the cycles from start write to interrupt."""
LOAD_REQUEST = 3
"""Cycles from the acceptance of a LOAD to its first read address; the first beat comes after the read latency."""
LOAD_ISSUE = 2
"""Least cycles between the acceptances of two LOADs while their requests do not wait; up to 4 wait for data at once."""
LOAD_DONE = 3
"""Cycles from the last beat of a LOAD to its ``done``. Beats of successive LOADs follow each other immediately as
long as
``outstanding`` bursts (of up to 64 beats, ending at multiples of 64 beats) cover the read latency."""
STORE_OVERHEAD = 8
"""A STORE is done STORE_OVERHEAD + beats + write response latency cycles after its acceptance."""

# Packed maps (hwgen/hardware/packed_load.py, packed_store.py)
LOAD_LOOKUP = 2
"""Cycles from one block of a LOAD_PACKED to the next while its requests do not wait, and before the first."""
UNPACK_DONE = 5
"""Cycles by which the ``done`` of a LOAD_PACKED is later than that of a LOAD of as many beats (more when the last byte
word is of many words)."""
BLOCK_OVERHEAD, PIECE_OVERHEAD = 4, 2
"""Cycles in which STORE takes no words at the end of a block, and of a burst's words of a plain STORE."""
BLOCK_SEND = 4
"""Cycles from the last word of a block in the ring to its first beat."""
