"""Memories and registers of the golden machine, and the checks every unit makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.isa import SLOTS, Command

if TYPE_CHECKING:
    from hwgen.golden.machine_zeros import Zeros


def wrap(values: NDArray[np.int64], bits: int) -> NDArray[np.int64]:
    """Two's complement ``values`` cut to ``bits`` bits."""
    half = 1 << bits - 1
    return (values + half & (1 << bits) - 1) - half


@dataclass
class Work:
    """What one command did, for cycle models and counters.

    Attributes
    ----------
    items : int
        DMA words of LOAD, STORE (packed ones: transferred) and CODEBOOK, to the lanes of WFETCH and WSTREAM; words one
        engine fetches of AFETCH; positions of all rounds of RUN; result vectors of DRAIN (of all pipes, dropped ones
        included) and ELTWISE.
    macs : int
        Multiply-accumulates of the active lanes (RUN).
    reads, writes : int
        Activation buffer words read, words or P-byte vectors written.
    walked : int64 array, shape (rows, columns)
        Cycles in which each lane walks a position of a RUN, where zeros are skipped.
    moved : tuple of int
        DMA words of each block that LOAD_PACKED or STORE_PACKED transferred.
    zeros : Zeros
        What is left out of such a RUN, and why.
    """

    items: int = 0
    macs: int = 0
    reads: int = 0
    writes: int = 0
    walked: NDArray[np.int64] | None = None
    moved: tuple[int, ...] = ()
    zeros: Zeros | None = None


@dataclass
class PostInfo:
    """What a DRAIN or ELTWISE wrote: one entry per result vector, in writing order; dropped results are left out.

    Attributes
    ----------
    y, x : int64 arrays, shape (n,)
        Position in the output map.
    address : int64 array, shape (n,)
        Activation buffer address in P-byte vectors.
    acc : int64 array, shape (n, P)
        Accumulators before bias and requantisation; a transposing DRAIN's are already turned to channels of one pixel.
    result : int8 array, shape (n, P)
        Requantised values; only bytes selected by ``mask`` were written.
    row, column : int64 arrays, shape (n,)
        The lane (0, 0 for ELTWISE).
    mask : bool array, shape (P,)
    """

    y: NDArray[np.int64]
    x: NDArray[np.int64]
    address: NDArray[np.int64]
    acc: NDArray[np.int64]
    result: NDArray[np.int8]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    mask: NDArray[np.bool_]


@dataclass
class State:
    """Everything a command can change.

    On-chip memories start with random values (seed ``poison``): a result that depends on something never written
    differs between two seeds, and from the hardware.

    Attributes
    ----------
    memory : uint8 array
        DRAM image.
    act, weight, param : uint8 arrays
        Buffers as bytes.
    wmem, amem : int8 (weights of 9 bits: int16) and int16 arrays, shape (columns, rows, words, W)
    vectors_only : bool array, shape (columns, rows, wmem words)
        Words whose single values the lanes do not know to be zero or not.
    acc : int32 array, shape (columns, rows, acc_vectors, P)
    codebook : int8 array
        Entries that were loaded last.
    lengths : int64 array, shape (SLOTS,)
        DMA words of each packed block in DRAM, 0 where none was stored.
    registers : dict
        Arguments of the last setting command by (name, level or index).
    """

    config: Config
    memory: NDArray[np.uint8]
    poison: int
    registers: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)
    index: int = 0
    command: Command = field(default_factory=lambda: Command("END", {}))

    def __post_init__(self) -> None:
        c, d = self.config, Derived(self.config)
        self.derived = d
        rng = np.random.default_rng(self.poison)
        lanes = (c.columns, c.rows)

        def noise(shape: tuple[int, ...], bits: int) -> NDArray[np.int64]:
            return rng.integers(-(1 << bits - 1), 1 << bits - 1, shape)

        self.act = noise((c.act_kib * 1024,), 8).astype(np.uint8)
        self.weight = noise((d.weight_words * d.dma_bytes,), 8).astype(np.uint8)
        self.param = noise((d.param_words * d.dma_bytes,), 8).astype(np.uint8)
        self.wmem = noise((*lanes, c.wmem_words, d.word), c.weight_bits)
        self.wmem = self.wmem.astype(np.int16 if d.weight_zero else np.int8)
        self.vectors_only = np.zeros((*lanes, c.wmem_words), bool)
        self.amem = noise((*lanes, c.amem_words, d.word), c.act_bits + 1).astype(np.int16)
        self.codebook = np.zeros(0, np.int8)
        self.lengths = np.zeros(SLOTS, np.int64)
        self.acc = noise((*lanes, c.acc_vectors, c.vector), c.acc_bits).astype(np.int32)

    @property
    def where(self) -> str:
        """The current command, for messages."""
        return f"command {self.index} ({self.command.name})"

    def require(self, good: bool, name: str, rule: str) -> None:
        """Raise HwgenError about field ``name`` of the current command unless ``good``."""
        if not good:
            value = self.command.args.get(name)
            found = "" if value is None else f", not {value}"
            raise HwgenError(f"{name} must be {rule}{found}", where=self.where)

    def within(self, name: str, first: int, last: int, size: int, unit: str) -> None:
        """Raise HwgenError unless the addresses ``first``..``last`` that field ``name`` leads to exist."""
        if first < 0 or last >= size:
            raise HwgenError(f"{name} leads to {unit} {first}..{last}, outside 0..{size - 1}", where=self.where)

    def set_register(self, key: int) -> None:
        """Store the arguments of the current setting command under ``key`` (level or index)."""
        self.registers[self.command.name, key] = self.command.args

    def register(self, name: str, key: int = 0) -> dict[str, int]:
        """Arguments of the last command ``name`` for ``key``; raises HwgenError when there was none."""
        try:
            return self.registers[name, key]
        except KeyError:
            raise HwgenError(f"needs {name} {key} that was never set", where=self.where) from None
