"""What follows from a configuration: widths, depths, counts; and the only cross-field checks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hwgen.config import MAPPINGS, OPERATORS, SKIPS, WEIGHT_FORMATS, Config
from hwgen.errors import HwgenError

PARAM_BYTES = 9
"""Bytes of one channel's parameters: bias 4, multiplier 4, shift 1."""


SKIP_WINDOW = 32
"""Positions that a skipping lane looks at in a cycle: above one effectual position in 32 its multipliers stay busy."""


def _power_of_two(value: int) -> bool:
    return value > 0 and value & (value - 1) == 0


def check(c: Config) -> None:
    """Raise HwgenError with the violated rule when ``c`` is not a machine that can be built."""
    def rule(good: bool, text: str) -> None:
        if not good:
            raise HwgenError(text, where=f"config {c.name!r}", remedy="`hwgen presets` shows working values")

    rule(re.fullmatch(r"[A-Za-z0-9_-]{1,40}", c.name) is not None,
         f"name must be 1..40 letters, digits, _ or -, not {c.name!r}")
    for key, low, high in (("rows", 1, 32), ("columns", 1, 32), ("vector", 1, 16), ("banks", 1, 32)):
        v = getattr(c, key)
        rule(_power_of_two(v) and low <= v <= high, f"{key} must be a power of two in {low}..{high}, not {v}")
    for key, low, high in (("weight_bits", 2, 9), ("act_bits", 2, 8), ("acc_bits", 16, 32), ("segments", 4, 256),
                           ("outstanding", 1, 16), ("queue", 4, 64), ("act_kib", 1, 4096), ("weight_kib", 1, 4096),
                           ("param_kib", 1, 512)):
        v = getattr(c, key)
        rule(low <= v <= high, f"{key} must be in {low}..{high}, not {v}")
    for key, low, high in (("wmem_words", 16, 4096), ("amem_words", 16, 4096), ("acc_vectors", 4, 2048)):
        v = getattr(c, key)
        rule(_power_of_two(v) and low <= v <= high, f"{key} must be a power of two in {low}..{high}, not {v}")
    rule(c.axi_bits in (32, 64, 128, 256), f"axi_bits must be 32, 64, 128 or 256, not {c.axi_bits}")
    for key, legal in (("mappings", MAPPINGS), ("operators", OPERATORS), ("weight_formats", WEIGHT_FORMATS)):
        names = getattr(c, key)
        rule(set(names) <= set(legal) and len(set(names)) == len(names),
             f"{key} must be distinct names out of {', '.join(legal)}, not {list(names)}")
    rule("channel" in c.mappings, "mappings must contain channel")
    rule("max_pool" not in c.operators or "depthwise" in c.mappings, "operator max_pool needs the depthwise mapping")
    rule("pixel" not in c.mappings or c.vector in (8, 16), f"the pixel mapping needs vector 8 or 16, not {c.vector}")
    rule(c.acc_bits >= c.weight_bits + c.act_bits + 1,
         f"acc_bits must be >= weight_bits + act_bits + 1 = {c.weight_bits + c.act_bits + 1}, not {c.acc_bits}")
    rule(not c.weight_formats or "packed" in c.weight_formats, "weight_formats must contain packed, or be empty")
    rule(c.codebook == 0 or (_power_of_two(c.codebook) and 2 <= c.codebook <= 256),
         f"codebook must be 0 or a power of two in 2..256, not {c.codebook}")
    rule(c.codebook == 0 or c.weight_formats != (), "a codebook needs weight_formats, packed at least")
    rule(c.skip in SKIPS, f"skip must be {', '.join(SKIPS[:-1])} or {SKIPS[-1]}, not {c.skip!r}")
    d = Derived(c)
    least = 2 * SKIP_WINDOW // d.vectors_per_word
    for key in ("wmem_words", "amem_words") if c.skip != "none" else ():
        v = getattr(c, key)
        rule(v >= least, f"{key} must be >= {least} to skip zeros with vector {c.vector}, not {v}")
    rule(c.post_width % c.vector == 0 and _power_of_two(d.pipes), "post_width must be vector times a power of two, "
         f"not {c.post_width}")
    rule(d.pipes <= c.columns, f"post_width must be <= vector * columns = {c.vector * c.columns}, not {c.post_width}")
    rule(c.banks >= d.dma_words, f"banks must be >= {d.dma_words} (activation words per DMA word), not {c.banks}")
    rule(c.banks >= d.pipes, f"banks must be >= post_width / vector = {d.pipes}, not {c.banks}")
    rule(d.weight_buses <= c.rows, f"rows must be >= {d.weight_buses} (axi_bits / 8 / {d.word}), not {c.rows}")


@dataclass(frozen=True)
class Derived:
    """Sizes that follow from a `Config`; read only."""

    config: Config

    @property
    def word(self) -> int:
        """W: bytes of an activation word, values of an operand memory word."""
        return max(8, self.config.vector)

    @property
    def vectors_per_word(self) -> int:
        """W / P."""
        return self.word // self.config.vector

    @property
    def dma_bytes(self) -> int:
        """D: bytes of a DMA word, the unit of LOAD, STORE, weight and parameter buffer."""
        return max(self.config.axi_bits // 8, self.word)

    @property
    def dma_words(self) -> int:
        """Activation words in a DMA word."""
        return self.dma_bytes // self.word

    @property
    def weight_buses(self) -> int:
        """Weight words that reach the lanes per cycle; row r listens to bus r % min(rc, weight_buses)."""
        return self.dma_words

    @property
    def weight_zero(self) -> bool:
        """Whether weights have a zero point, which WFETCH subtracts from their bytes."""
        return self.config.weight_bits > 8

    @property
    def weight_width(self) -> int:
        """Bits of a weight on its way to the lanes."""
        return max(8, self.config.weight_bits)

    @property
    def bits_words(self) -> int:
        """Operand words whose zero bits share a word of block RAM, which must not be read while it is written."""
        return 1 if self.config.skip == "none" else SKIP_WINDOW // self.word

    @property
    def vector_row(self) -> int:
        """Operand words whose zero bits, as vector operand, are read together."""
        return SKIP_WINDOW // self.vectors_per_word

    @property
    def leaves_out(self) -> bool:
        """Whether weight words that are all zero need not be written, as lanes mark them so with their neighbours."""
        return (self.config.skip in ("weight", "both") and self.config.weight_formats != ()
                and self.vectors_per_word in (1, self.word))

    @property
    def leaves_rows(self) -> bool:
        """Whether so, in streams of format ``vector``, in rows of `vector_row`."""
        return self.leaves_out and "vector" in self.config.weight_formats

    def unit(self, *, vector: bool) -> int:
        """Return the weight words that a stream, of format ``vector`` or another one, begins and ends with in a lane:
        those whose zero bits are set together."""
        return (self.vector_row if vector and self.leaves_rows else self.bits_words) if self.leaves_out else 1

    @property
    def lanes(self) -> int:
        return self.config.rows * self.config.columns

    @property
    def multipliers(self) -> int:
        return self.lanes * self.config.vector

    @property
    def pipes(self) -> int:
        """Post-process pipes, P results a cycle each; pipe j drains columns c with c % pipes == j."""
        return self.config.post_width // self.config.vector

    @property
    def act_words(self) -> int:
        return self.config.act_kib * 1024 // self.word

    @property
    def weight_words(self) -> int:
        """Depth of the weight buffer in DMA words."""
        return self.config.weight_kib * 1024 // self.dma_bytes

    @property
    def param_words(self) -> int:
        """Depth of the parameter buffer in DMA words."""
        return self.config.param_kib * 1024 // self.dma_bytes

    @property
    def param_block(self) -> int:
        """DMA words of one parameter block (P channels: P biases, P multipliers, P shifts)."""
        return -(-PARAM_BYTES * self.config.vector // self.dma_bytes)

    def to_dict(self) -> dict[str, int]:
        """Every derived size by name."""
        return {k: getattr(self, k) for k, v in vars(type(self)).items() if isinstance(v, property)}
