"""What a user may choose: one frozen configuration, in Python or TOML. What follows from it is in `hwgen.derive`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from hwgen.errors import HwgenError
from hwgen.toml_file import read_toml

MAPPINGS = ("channel", "pixel", "depthwise")
SKIPS = ("none", "weight", "activation", "both")
OPERATORS = ("add", "max_pool")
WEIGHT_FORMATS = ("packed", "bitmap", "vector", "nm", "run")
SMALLEST = "smallest"
"""Instead of one of them: each stream of weights in the form that takes least."""


_LISTS = ("mappings", "operators", "weight_formats")


@dataclass(frozen=True, kw_only=True)
class Config:
    """A generator configuration.

    Parameters
    ----------
    name : str
        Letters, digits, ``_`` and ``-``; goes into the manifest.
    rows, columns : int
        Lanes of the grid, powers of two.
    vector : int
        P, multipliers per lane, a power of two in 1..16.
    weight_bits, act_bits : int
        Operand widths, 2..9 and 2..8; a narrower operand is a smaller multiplier. Weights of 9 bits are bytes less a
        zero point, in -255..255: what uint8 weights are.
    acc_bits : int
        Accumulator width, 16..32.
    wmem_words, amem_words : int
        Lane weight and activation memories, in words of W = max(8, P) values.
    segments : int
        Entries of the segment table.
    acc_vectors : int
        Accumulator memory of a lane, in vectors of P (double buffering included).
    act_kib, weight_kib, param_kib : int
        Activation, weight and parameter buffer, KiB.
    banks : int
        Banks of the activation buffer, a power of two.
    axi_bits : int
        AXI4 data width: 32, 64, 128 or 256.
    outstanding : int
        AXI reads in flight.
    post_width : int
        Results post-processed per cycle, a multiple of ``vector``.
    queue : int
        Commands queued per module.
    mappings, operators : tuple of str
        What is built: ``channel`` always, ``pixel``, ``depthwise``; ``add``, ``max_pool``.
    skip : str
        Operands whose zeros cost no cycle: ``none`` (dense lanes), ``weight``, ``activation`` or ``both``.
    gate : bool
        A multiplier with a zero operand keeps its inputs still, which saves power and no cycle (Eyeriss; Chen 2016).
    compress_maps : bool
        Maps that do not fit on chip are packed in DRAM: their zeros are not transferred.

    weight_formats : tuple of str
        How weights may be stored in DRAM and the weight buffer (`hwgen.golden.weight_stream`): ``packed`` in 1..8 bits
        each; of those that are not zero, found by ``bitmap``, by words (``vector``), by index in groups of four
        (``nm``) or by zero ``run``. Without any, a byte each and no decoder.
    codebook : int
        Entries that values may be looked up in, a power of two up to 256, or 0.

    Raises
    ------
    HwgenError
        When a value or a combination is illegal, naming the rule.
    """

    name: str = "base"
    rows: int = 4
    columns: int = 2
    vector: int = 8
    weight_bits: int = 8
    act_bits: int = 8
    acc_bits: int = 32
    wmem_words: int = 512
    amem_words: int = 512
    segments: int = 64
    acc_vectors: int = 512
    act_kib: int = 64
    weight_kib: int = 64
    param_kib: int = 4
    banks: int = 4
    axi_bits: int = 64
    outstanding: int = 4
    post_width: int = 8
    queue: int = 16
    mappings: tuple[str, ...] = MAPPINGS
    operators: tuple[str, ...] = OPERATORS
    skip: str = "none"
    gate: bool = False
    weight_formats: tuple[str, ...] = ()
    codebook: int = 0
    compress_maps: bool = False

    def __post_init__(self) -> None:
        from hwgen.derive import check

        check(self)

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some values changed (and checked again)."""
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, tuples as lists, in declaration order."""
        return {f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v for f in fields(self)}

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read a configuration; ``preset = "base"`` starts from that preset, other keys override it."""
        return cls._from_table(read_toml(path, "configuration"), path)

    @classmethod
    def _from_table(cls, table: dict[str, Any], path: Path) -> Self:
        from hwgen.presets import preset

        start = table.pop("preset", None)
        known = {f.name: f for f in fields(cls)}
        unknown = sorted(set(table) - set(known))
        if unknown:
            raise HwgenError(f"unknown key{'s' * (len(unknown) > 1)} {', '.join(unknown)}", where=str(path),
                             remedy=f"the keys are: preset, {', '.join(known)}")
        for key, value in table.items():
            expected = "a list of strings" if key in _LISTS else "a string" if key in (
                "name", "skip") else "true or false" if key in ("gate", "compress_maps") else "an integer"
            good = {"a list of strings": isinstance(value, list) and all(isinstance(v, str) for v in value),
                    "a string": isinstance(value, str), "true or false": isinstance(value, bool),
                    "an integer": isinstance(value, int) and not isinstance(value, bool)}[expected]
            if not good:
                raise HwgenError(f"{key} must be {expected}, not {value!r}", where=str(path))
            if isinstance(value, list):
                table[key] = tuple(value)
        values = {"name": path.stem, **table}
        if start is None:
            return cls(**values)
        if not isinstance(start, str):
            raise HwgenError(f"preset must be a string, not {start!r}", where=str(path))
        return dataclasses.replace(preset(start), **values)  # type: ignore[return-value]
