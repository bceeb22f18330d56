"""Signatures shared by the units; protocol and latencies are in docs/architecture.md, "Interfaces between units"."""

from __future__ import annotations

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hwgen import isa
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.golden.packed_map import slot_words

CommandLayout = data.StructLayout({"op": 4, "payload": isa.PAYLOAD_BITS})
"""What a worker module sees of a command."""

CORRUPT = 9
"""Error code of compressed data that cannot be (the others are listed with register ERROR)."""

ACT_READ_LATENCY = 3
"""Cycles from grant to data of activation, weight and parameter buffer reads."""


def payload_layout(name: str) -> data.StructLayout:
    """Return the layout of the payload of command ``name`` (`hwgen.isa`), low bits first, unused bits on top."""
    from amaranth import signed, unsigned

    fields = {f.name: (signed if f.signed else unsigned)(f.width) for f in isa.BY_NAME[name].fields}
    spare = isa.PAYLOAD_BITS - sum(f.width for f in isa.BY_NAME[name].fields)
    return data.StructLayout(fields | ({"_spare": unsigned(spare)} if spare else {}))


def worker_ports() -> dict[str, wiring.Member]:
    """Ports every worker module has: commands in; one ``done`` (or ``error`` with ``code``) pulse per command, in
    order."""
    return {"cmd": In(stream.Signature(CommandLayout)), "done": Out(1), "error": Out(1), "code": Out(4)}


def act_read(config: Config, words: int = 1) -> wiring.Signature:
    """Read port of the activation buffer, seen from the reader: ``words`` aligned words, address in units of
    ``words``."""
    width = 8 * words * Derived(config).word
    return wiring.Signature({"valid": Out(1), "ready": In(1), "addr": Out(20), "data": In(width)})


def act_write(config: Config, words: int = 1) -> wiring.Signature:
    """Write port of the activation buffer, seen from the writer; ``mask`` has one bit per byte."""
    width = words * Derived(config).word
    return wiring.Signature({
        "valid": Out(1), "ready": In(1), "addr": Out(20), "data": Out(8 * width), "mask": Out(width)})


def buffer_read(config: Config) -> wiring.Signature:
    """Read port of the weight or parameter buffer, seen from the reader: data `ACT_READ_LATENCY` cycles
    after ``en``."""
    return wiring.Signature({"en": Out(1), "addr": Out(20), "data": In(8 * Derived(config).dma_bytes)})


def buffer_write(config: Config) -> wiring.Signature:
    """Write port of the weight or parameter buffer, seen from the writer."""
    return wiring.Signature({"en": Out(1), "addr": Out(20), "data": Out(8 * Derived(config).dma_bytes)})


SLOT_BITS = (isa.SLOTS - 1).bit_length()
LENGTH_BITS = bits_for(slot_words(isa.LONGEST_BLOCK))


def lengths_write() -> wiring.Signature:
    """Write port of the table of lengths, seen from STORE."""
    return wiring.Signature({"en": Out(1), "slot": Out(SLOT_BITS), "length": Out(LENGTH_BITS)})


def lengths_read() -> wiring.Signature:
    """Read port of the table of lengths, seen from LOAD: the length comes a cycle after its slot."""
    return wiring.Signature({"slot": Out(SLOT_BITS), "length": In(LENGTH_BITS)})


def row_marks(config: Config) -> tuple[str, ...]:
    """Return what is said of a weight word on its way to the lanes where words of zeros are left out.

    ``fresh``: the others whose zero bits share a row with its own are zero; ``wide``: in rows of `Derived.vector_row`.
    """
    d = Derived(config)
    wide = d.leaves_rows and d.vector_row > d.bits_words
    return (("fresh",) if d.leaves_out else ()) + (("wide",) if wide else ())


def weight_bus(config: Config) -> wiring.Signature:
    """WFETCH to the lanes, seen from WFETCH: one wmem word per bus; row r takes bus r % (1 << log2_nbe).

    A weight is a byte, or where it has a zero point what the byte is less that (`Derived.weight_width` bits).

    ``fresh``, ``wide``: `row_marks`, where words may be left out.
    """
    d = Derived(config)
    return wiring.Signature({
        **{mark: Out(1) for mark in row_marks(config)},
        "valid": Out(1), "addr": Out(16), "data": Out(d.weight_width * d.dma_bytes), "log2_nbe": Out(4),
        "rows": Out(config.rows), "columns": Out(config.columns)})


def patch_bus(config: Config) -> wiring.Signature:
    """One AFETCH engine to the lanes of its column: one amem word (W values of act_bits + 1) for the lanes in
    ``rows``."""
    d = Derived(config)
    width = d.word * (config.act_bits + 1)
    return wiring.Signature({"valid": Out(1), "addr": Out(16), "data": Out(width), "rows": Out(config.rows)})


def drain_port(config: Config) -> wiring.Signature:
    """POST to the grid, one per pipe, seen from POST: read accumulator ``addr`` of the lane (``row``, ``column``).

    ``ready`` is low in the cycle before one in which a lane needs its accumulator memory itself. Data `DRAIN_LATENCY`
    cycles after the grant.
    """
    return wiring.Signature({
        "valid": Out(1), "ready": In(1), "row": Out(5), "column": Out(5), "addr": Out(12),
        "data": In(config.vector * config.acc_bits)})


DRAIN_LATENCY = 4
