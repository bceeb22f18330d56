"""What a STORE takes where words go through a ring memory (`hwgen.hardware.packed_store`)."""

from __future__ import annotations

from collections.abc import Sequence

from hwgen import timing
from hwgen.compiler.intervals import Intervals
from hwgen.compiler.stream import Entry


def ring_blocks(e: Entry, piece: int) -> list[tuple[int, int]]:
    """Return for each block of a STORE, or for its pieces of ``piece`` words, the cycles of reading and words sent."""
    if e.moved:
        return [(e.args["block"] + timing.BLOCK_OVERHEAD, words) for words in e.moved]
    count = e.args["count"]
    sizes = [min(piece, count - at) for at in range(0, count, piece)]
    return [(words + timing.PIECE_OVERHEAD, words) for words in sizes]


def through_ring(
    blocks: Sequence[tuple[int, int]], beats: int, packed: float, sent: float, wait: float, others: Intervals
) -> tuple[float, float]:
    """Return when the last block is in the ring and when it is sent.

    Parameters
    ----------
    blocks : sequence of (int, int)
        See `ring_blocks`.
    beats : int
        Bus cycles of a word.
    packed, sent : float
        From when on words can be read, and sent.
    wait : float
        Share of the time in which ``others`` operate that reading waits for them.
    """
    for cycles, length in blocks:
        packed = others.stretched("operating", packed, packed + cycles, wait)
        sent = max(packed + timing.BLOCK_SEND, sent) + length * beats
    return packed, sent
