"""The command table: one definition from which encoder, decoder, RTL layouts, C header and documentation derive.

A command is 128 bits, little endian in memory: a 32-bit header (module, operation, tokens to take, tokens to give,
flags) and 96 bits of payload whose fields are packed in the order of the table, least significant first.
Operation 0 is illegal in every module, so a zeroed stream is an error and not a silent success.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hwgen.config import Config

COMMAND_BYTES = 16
PAYLOAD_BITS = 96


class Module(IntEnum):
    """Units that execute commands, each in order; also the bit numbers of the token masks."""

    LOAD = 0
    WFETCH = 1
    AFETCH = 2
    GRID = 3
    POST = 4
    STORE = 5
    CTRL = 7


WORKERS = tuple(m for m in Module if m is not Module.CTRL)


class Mode(IntEnum):
    """Mapping of a RUN: which operand is a vector and which a scalar."""

    CHANNEL = 0
    PIXEL = 1
    DEPTHWISE = 2


class Buffer(IntEnum):
    """Destination of a LOAD."""

    ACT = 0
    WEIGHT = 1
    PARAM = 2


class Format(IntEnum):
    """How the weights of a stream are stored (`hwgen.golden.weight_stream`)."""

    PACKED = 0
    BITMAP = 1
    VECTOR = 2
    ONE_OF_FOUR = 3
    TWO_OF_FOUR = 4
    RUN = 5


class Final(IntEnum):
    """Ties of the last rounding step: up, away from zero, to even."""

    UP = 0
    AWAY = 1
    EVEN = 2


@dataclass(frozen=True)
class Field:
    """One payload field: ``width`` bits, two's complement when ``signed``."""

    name: str
    width: int
    signed: bool = False
    doc: str = ""


@dataclass(frozen=True)
class Operation:
    """One row of the command table."""

    module: Module
    code: int
    name: str
    fields: tuple[Field, ...]
    doc: str
    action: bool = True
    """False for a command that only sets registers of its module."""
    option: str = ""
    """Field of `hwgen.config.Config` or size of `hwgen.derive.Derived` without which a machine does not have it."""

    def __post_init__(self) -> None:
        if sum(f.width for f in self.fields) > PAYLOAD_BITS:
            raise ValueError(f"{self.name}: payload exceeds {PAYLOAD_BITS} bits")


SLOTS = 2048
"""Entries of the table of lengths: blocks of packed maps in DRAM."""

LONGEST_BLOCK = 256
"""DMA words of a block of a packed map."""

F = Field
_BLOCKS = (
    F("blocks", 11, doc=">= 1"),
    F("block", 9, doc=f"DMA words of a block when unpacked, 1..{LONGEST_BLOCK}; its slot in DRAM has an eighth more, "
      "rounded up"),
    F("zero_point", 8, True, doc="the byte that is left out"),
    F("slot", 11, doc="entry of the first block in the table of lengths"),
)
TABLE: tuple[Operation, ...] = (
    Operation(Module.LOAD, 1, "LOAD", (
        F("dram", 32, doc="byte address, multiple of the DMA word"),
        F("buffer", 2, doc="0 activation, 1 weight, 2 parameter"),
        F("dst", 20, doc="destination, in DMA words"),
        F("count", 20, doc="DMA words, >= 1"),
    ), "Copy DRAM to an on-chip buffer."),
    Operation(Module.LOAD, 2, "LOAD_PACKED", (
        F("dram", 32, doc="byte address of the first slot, multiple of the DMA word"),
        F("dst", 20, doc="activation buffer address, in DMA words"),
        *_BLOCKS,
    ), "Unpack blocks of a map from DRAM into the activation buffer.", option="compress_maps"),
    Operation(Module.STORE, 1, "STORE", (
        F("dram", 32, doc="byte address, multiple of the DMA word"),
        F("src", 20, doc="activation buffer address, in DMA words"),
        F("count", 20, doc="DMA words, >= 1"),
    ), "Copy the activation buffer to DRAM."),
    Operation(Module.STORE, 2, "STORE_PACKED", (
        F("dram", 32, doc="byte address of the first slot, multiple of the DMA word"),
        F("src", 20, doc="activation buffer address, in DMA words"),
        *_BLOCKS,
    ), "Pack blocks of a map from the activation buffer into DRAM.", option="compress_maps"),
    Operation(Module.WFETCH, 1, "WFETCH", (
        F("src", 20, doc="weight buffer address, in DMA words"),
        F("count", 16, doc="DMA words per lane group, >= 1"),
        F("dst", 16, doc="lane weight memory address, in words of W values"),
        F("groups", 8, doc="lane groups to fill, >= 1"),
        F("log2_rc", 4, doc="log2 of channel groups along rows"),
        F("log2_cc", 4, doc="log2 of channel groups along columns"),
    ), "Copy weights to the lanes' weight memories, lane group after lane group; not of machines that decode streams."),
    Operation(Module.WFETCH, 2, "WSTREAM", (
        F("src", 20, doc="weight buffer address, in DMA words: first the marks, then the values"),
        F("count", 13, doc="DMA words per lane group, >= 1"),
        F("dst", 12, doc="lane weight memory address, in words of W values"),
        F("groups", 8, doc="lane groups to fill, >= 1"),
        F("log2_rc", 3, doc="log2 of channel groups along rows"),
        F("log2_cc", 3, doc="log2 of channel groups along columns"),
        F("format", 3, doc="0 packed, 1 bitmap, 2 vector, 3 one of four, 4 two of four, 5 run"),
        F("bits", 3, doc="bits of a value, less one"),
        F("codebook", 1, doc="1: values are entries of the codebook"),
        F("marks", 14, doc="DMA words that say which weights are not zero"),
        F("values", 16, doc="DMA words of values"),
    ), "Decode a weight stream into the lanes' weight memories, lane group after lane group.", option="weight_formats"),
    Operation(Module.WFETCH, 3, "CODEBOOK", (
        F("src", 20, doc="weight buffer address, in DMA words"),
        F("log2_entries", 4, doc="log2 of the bytes, 1..8"),
    ), "Load the codebook.", option="weight_formats"),
    Operation(Module.WFETCH, 4, "WF_ZERO", (
        F("zero_point", 8, True, doc="subtracted from every byte that a fetch writes to the lanes"),
    ), "Set the zero point of weights.", action=False, option="weight_zero"),
    Operation(Module.AFETCH, 1, "AFETCH", (
        F("y0", 13, True, doc="row of the first word in the map"),
        F("x0", 17, True, doc="column of the first word in the map"),
        F("a0", 21, True, doc="activation buffer word address of (y0, x0), may lie outside when padded"),
        F("dst", 16, doc="lane activation memory address, in words of W values"),
    ), "Copy a patch (or transposed pixel groups) of a map to the lanes' activation memories."),
    Operation(Module.AFETCH, 2, "AF_LEVEL", (
        F("level", 3, doc="0 row pixel group, 1 row channel group, 2..6 inner, 6 innermost"),
        F("count", 12, doc="iterations, >= 1"),
        F("dy", 13, True), F("dx", 17, True), F("da", 21, True, doc="added when this level advances"),
    ), "Set one level of the address nest.", action=False),
    Operation(Module.AFETCH, 3, "AF_MAP", (
        F("height", 13), F("width", 17),
        F("zero_point", 9, True, doc="subtracted from every byte"),
        F("fill", 9, True, doc="operand value outside the map"),
        F("transpose", 1, doc="1: P pixel words become P position words"),
        F("rows_len", 6, doc="rows that share one patch"),
        F("rp_step", 6, doc="rows from one row pixel group to the next"),
        F("cols", 6, doc="columns that fetch"),
    ), "Set the map and the lanes that receive it.", action=False),
    Operation(Module.AFETCH, 4, "AF_COL", (
        F("log2_cc", 4, doc="column c has pixel group c >> log2_cc and channel group c % (1 << log2_cc)"),
        F("dy", 13, True), F("dx", 17, True), F("da", 21, True, doc="offset per column pixel group"),
        F("cc_da", 21, True, doc="offset per column channel group"),
    ), "Set the offsets between columns.", action=False),
    Operation(Module.GRID, 1, "RUN", (
        F("mode", 2, doc="0 channel, 1 pixel, 2 depthwise"),
        F("max", 1, doc="1: accumulate by maximum"),
        F("accumulate", 1, doc="1: start from the stored accumulators, 0: from zero"),
        F("rounds", 12, doc="T >= 1"),
        F("seg_first", 8), F("seg_count", 8, doc=">= 1"),
        F("v_base", 16, doc="vector operand address, in its own units"),
        F("s_base", 16, doc="streamed operand address, in its own units"),
        F("s_step", 8, doc="streamed operand units per position of a segment"),
        F("acc_base", 12, doc="accumulator of round 0"),
        F("lanes", 10, doc="active lanes, for the counters"),
    ), "Walk T rounds of all positions of the segments in every lane."),
    Operation(Module.GRID, 2, "SEGMENT", (
        F("index", 8), F("s_offset", 16), F("v_start", 16), F("length", 16, doc=">= 1"),
    ), "Set one entry of the segment table.", action=False),
    Operation(Module.GRID, 3, "BASE", (
        F("nx", 12, doc="rounds per row of rounds, >= 1"),
        F("dx", 16, True, doc="base step from round to round"),
        F("dy", 16, True, doc="base step at the end of a row of rounds"),
        F("log2_rc", 4, doc="log2 of channel groups along rows"),
        F("row_groups", 6, doc="how many of them there are; rows of others take no part where zeros are skipped"),
        F("log2_cc", 4, doc="log2 of channel groups along columns"),
        F("column_groups", 6, doc="how many of them there are"),
    ), "Set the base address sequence of the rounds, and the lanes that have work.", action=False),
    Operation(Module.POST, 1, "DRAIN", (
        F("y0", 13, True), F("x0", 17, True),
        F("a0", 21, True, doc="activation buffer address of the first result, in P-byte vectors"),
        F("param", 16, doc="parameter buffer address of the first block, in DMA words"),
        F("acc_base", 12),
        F("mask", 16, doc="bytes of every result vector that are written"),
    ), "Requantise accumulators of the lanes into the activation buffer."),
    Operation(Module.POST, 2, "PO_LEVEL", (
        F("level", 3, doc="0 column channel group, 1 row channel group, 2 column pixel group, 3 row pixel group, "
          "4..6 inner"),
        F("count", 12, doc="iterations, >= 1"),
        F("dy", 13, True), F("dx", 17, True),
        F("da", 21, True, doc="added to the result address, in P-byte vectors"),
        F("dp", 12, True, doc="added to the parameter address, in DMA words"),
    ), "Set one level of the result nest.", action=False),
    Operation(Module.POST, 3, "PO_QUANT", (
        F("height", 13), F("width", 17, doc="results outside are dropped"),
        F("zero_point", 9, True), F("qmin", 9, True), F("qmax", 9, True),
        F("nudge", 1, doc="1: first rounding at bit 31 (double)"),
        F("final", 2, doc="ties: 0 up, 1 away from zero, 2 to even"),
        F("scalar", 1, doc="1: PO_SCALAR for every channel, 0: parameter buffer"),
        F("transpose", 1, doc="1: results are P pixels of one channel (pixel mapping)"),
        F("log2_rc", 4), F("log2_cc", 4),
        F("cc_valid", 6, doc="column channel groups that exist; results of others are dropped"),
    ), "Set output map and requantisation.", action=False),
    Operation(Module.POST, 4, "PO_SCALAR", (
        F("bias", 32, True), F("multiplier", 32),
        F("shift", 6, doc="8 - shift of the multiplier (right shift after bit 23)"),
    ), "Set the requantisation used for all channels.", action=False),
    Operation(Module.POST, 5, "PO_PIPE", (
        F("dy", 13, True), F("dx", 17, True), F("da", 21, True), F("dp", 12, True),
    ), "Set the offset from one post-process pipe to the next.", action=False),
    Operation(Module.POST, 6, "PO_ADD", (
        F("zp_a", 9, True), F("zp_b", 9, True), F("add", 1, doc="1: A + B, 0: A alone"),
        F("multiplier_b", 32), F("shift_b", 6, doc="right shift of B after its multiplication"),
    ), "Set the operands of ELTWISE.", action=False),
    Operation(Module.POST, 7, "ELTWISE", (
        F("a", 21, doc="first operand, in P-byte vectors"),
        F("b", 21, doc="second operand, in P-byte vectors"),
        F("out", 21, doc="result, in P-byte vectors"),
        F("mask", 16, doc="bytes of every result vector that are written"),
    ), "Add or rescale maps of the activation buffer element by element (nest levels 4..6)."),
    Operation(Module.POST, 8, "PO_SOURCE", (
        F("level", 3, doc="4..6"),
        F("ds", 21, True, doc="added to both source addresses of ELTWISE, in P-byte vectors"),
    ), "Set one level of the source nest.", action=False),
    Operation(Module.CTRL, 1, "END", (
    ), "Wait until everything is idle, raise the interrupt."),
)


def operations(config: Config) -> tuple[Operation, ...]:
    """Return the operations that a machine has."""
    from hwgen.derive import Derived

    have = Derived(config).to_dict() | config.to_dict()
    return tuple(op for op in TABLE if not op.option or have[op.option])


BY_NAME = {op.name: op for op in TABLE}
BY_CODE = {(int(op.module), op.code): op for op in TABLE}


@dataclass(frozen=True)
class Command:
    """One decoded command. ``wait`` and ``post`` are the modules whose tokens are taken before and given after."""

    name: str
    args: dict[str, int]
    wait: tuple[Module, ...] = ()
    post: tuple[Module, ...] = ()

    @property
    def module(self) -> Module:
        return BY_NAME[self.name].module


def _mask(modules: Iterable[Module]) -> int:
    return sum(1 << m for m in modules)


def encode(command: Command) -> bytes:
    """Encode one command into 16 bytes; raises ValueError when a field is unknown, missing or out of range."""
    op = BY_NAME[command.name]
    if set(command.args) != {f.name for f in op.fields}:
        raise ValueError(f"{op.name}: fields must be {[f.name for f in op.fields]}, not {sorted(command.args)}")
    if not set(command.wait) | set(command.post) <= set(WORKERS):
        raise ValueError(f"{op.name}: tokens go between {[m.name for m in WORKERS]} only")
    value, at = 0, 0
    for f in op.fields:
        v = int(command.args[f.name])
        low, high = (-(1 << f.width - 1), (1 << f.width - 1) - 1) if f.signed else (0, (1 << f.width) - 1)
        if not low <= v <= high:
            raise ValueError(f"{op.name}.{f.name} must be in [{low}, {high}], not {v}")
        value |= (v & ((1 << f.width) - 1)) << at
        at += f.width
    header = op.module | op.code << 4 | _mask(command.wait) << 8 | _mask(command.post) << 16
    return (header | value << 32).to_bytes(COMMAND_BYTES, "little")


def decode(raw: bytes) -> Command:
    """Decode 16 bytes; raises ValueError on an unknown module, operation or a set reserved bit."""
    value = int.from_bytes(raw, "little")
    key = (value & 0xF, value >> 4 & 0xF)
    op = BY_CODE.get(key)
    if op is None or value >> 24 & 0xFF or (value >> 8 | value >> 16) & 0xC0:
        raise ValueError(f"illegal command {raw.hex()}")
    args, at = {}, 32
    for f in op.fields:
        v = value >> at & ((1 << f.width) - 1)
        args[f.name] = v - (1 << f.width) if f.signed and v >> (f.width - 1) else v
        at += f.width
    wait, post = (tuple(m for m in WORKERS if value >> shift >> m & 1) for shift in (8, 16))
    return Command(op.name, args, wait, post)
