"""Hand-written command streams for tests: DRAM layout, packing and settings, far from the compiler's code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.golden.machine import Machine, Observe
from hwgen.golden.nest import unfold
from hwgen.golden.post_rule import ROUNDING_FIELDS
from hwgen.isa import BY_NAME, Command
from hwgen.model.graph import Requant

DRAM_BYTES = 1 << 16


class Program:
    """Collects commands and a DRAM image for one configuration."""

    def __init__(self, config: Config) -> None:
        self.config, self.derived = config, Derived(config)
        self.commands: list[Command] = []
        self.memory = np.zeros(DRAM_BYTES, np.uint8)
        self.at = 0
        self.post_shape: tuple[int, int] = (1, 1)

    def add(self, name: str, **args: int) -> None:
        """Append a command; fields that are not given are 0."""
        self.commands.append(Command(name, {f.name: args.pop(f.name, 0) for f in BY_NAME[name].fields}))
        assert not args, args

    def place(self, data: np.ndarray) -> tuple[int, int]:
        """Put bytes into DRAM; returns address and DMA words."""
        raw, width = np.frombuffer(data.tobytes(), np.uint8), self.derived.dma_bytes
        words = -(-len(raw) // width)
        at, self.at = self.at, self.at + words * width
        self.memory[at : at + len(raw)] = raw
        return at, words

    def load(self, buffer: int, dst: int, data: np.ndarray) -> None:
        dram, count = self.place(data)
        self.add("LOAD", dram=dram, buffer=buffer, dst=dst, count=count)

    def load_map(self, dst: int, values: np.ndarray) -> None:
        """int8 (height, width, channels) into the activation buffer; pad bytes are junk."""
        height, width, channels = values.shape
        word = self.derived.word
        padded = np.full((height, width, -(-channels // word) * word), 0x55, np.int8)
        padded[..., :channels] = values
        self.load(0, dst, padded)

    def load_weights(self, groups: np.ndarray, log2_rc: int, log2_cc: int = 0) -> None:
        """int8 (Rc * Cc, n): the same ``n`` values for each lane group, to wmem word 0 (rc runs fastest)."""
        word, nb, rc = self.derived.word, self.derived.dma_words, 1 << log2_rc
        nbe, count = min(rc, nb), -(-groups.shape[1] // word)
        packed = np.zeros((len(groups) // nbe, count, nb, word), np.int8)
        for g, values in enumerate(groups):
            padded = np.zeros(count * word, np.int8)
            padded[: len(values)] = values
            packed[g // nbe, :, g % nbe] = padded.reshape(count, word)
        self.load(1, 0, packed)
        self.add("WFETCH", src=0, count=count, dst=0, groups=len(packed), log2_rc=log2_rc, log2_cc=log2_cc)

    def load_parameters(self, bias: np.ndarray, r: Requant) -> None:
        """Blocks of P channels from parameter word 0 on."""
        p, block = self.config.vector, self.derived.param_block * self.derived.dma_bytes
        out = bytearray()
        for i in range(0, len(bias), p):
            raw = (
                bias[i : i + p].astype("<i4").tobytes()
                + r.multiplier[i : i + p].astype("<u4").tobytes()
                + (8 - r.shift[i : i + p]).astype(np.uint8).tobytes()
            )
            out += raw.ljust(block, b"\xff")
        self.load(2, 0, np.frombuffer(bytes(out), np.uint8))

    def nest(self, name: str, levels: dict[int, tuple[int, dict[str, int]]], first: int = 0) -> None:
        """Set levels ``first``..6 of a nest from natural strides: level -> (count, strides); missing ones count 1."""
        counts = [levels.get(i, (1, {}))[0] for i in range(first, 7)]
        fields = [f.name for f in BY_NAME[name].fields if f.name.startswith("d")]
        natural = {k: [levels.get(i, (1, {}))[1].get(k, 0) for i in range(first, 7)] for k in fields}
        for i, level in enumerate(range(first, 7)):
            count = {} if name == "PO_SOURCE" else {"count": counts[i]}
            self.add(name, level=level, **count, **{k: _folded(counts, v)[i] for k, v in natural.items()})

    def quant(self, shape: tuple[int, int], r: Requant, **args: int) -> None:
        nudge, final = ROUNDING_FIELDS[r.rounding]
        self.add(
            "PO_QUANT",
            height=shape[0],
            width=shape[1],
            zero_point=r.zero_point,
            qmin=r.qmin,
            qmax=r.qmax,
            nudge=nudge,
            final=final,
            **args,
        )

    def run(self, out_words: int, src: int, *, poison: int = 0, observe: Observe | None = None) -> np.ndarray:
        """Store ``out_words`` activation words from word ``src``, run, return them as int8 (words, W)."""
        nb, dram = self.derived.dma_words, DRAM_BYTES // 2
        assert self.at <= dram
        assert src % nb == 0
        count = -(-out_words // nb)
        self.add("STORE", dram=dram, src=src // nb, count=count)
        self.add("END")
        result = Machine(self.config, poison=poison).run(self.commands, self.memory, observe=observe)
        return result.memory[dram:].view(np.int8)[: out_words * self.derived.word].reshape(out_words, self.derived.word)


def _folded(counts: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Deltas whose unfolding gives ``strides``, found from the inside out without the compiler's `fold`."""
    deltas = list(strides)
    for level in reversed(range(len(counts))):
        deltas[level] += strides[level] - unfold(counts, deltas)[level]
    assert unfold(counts, deltas) == list(strides)
    return deltas
