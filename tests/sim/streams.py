"""Command streams that only copy, for runs of the whole machine."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.emit import generate
from hwgen.isa import Command, Module, encode

COMMANDS_AT = 0x100
TINY = Config(
    name="one-lane", rows=1, columns=1, wmem_words=256, amem_words=256, acc_vectors=64, act_kib=16, weight_kib=8,
    param_kib=1, axi_bits=32, outstanding=2, queue=8,
)  # fmt: skip
CONFIGS = {
    "axi32": TINY,
    "axi32-vector16": TINY.replace(name="v16", vector=16, post_width=16),
    "axi64": TINY.replace(name="axi64", axi_bits=64),
    "axi128": TINY.replace(name="axi128", axi_bits=128, rows=2),
    "axi256": TINY.replace(name="axi256", axi_bits=256, rows=4),
}


@functools.cache
def verilog(config: Config) -> dict[str, str]:
    """Generate once per test session."""
    return generate(config)


def load(
    dram: int, buffer: int, dst: int, count: int, wait: Sequence[Module] = (), post: Sequence[Module] = ()
) -> Command:
    return Command("LOAD", {"dram": dram, "buffer": buffer, "dst": dst, "count": count}, tuple(wait), tuple(post))


def store(dram: int, src: int, count: int, wait: Sequence[Module] = (), post: Sequence[Module] = ()) -> Command:
    return Command("STORE", {"dram": dram, "src": src, "count": count}, tuple(wait), tuple(post))


END = Command("END", {})


@dataclass
class Copies:
    """Random LOADs to the activation buffer and STOREs of it, with what the memory must hold afterwards."""

    config: Config
    rng: random.Random
    commands: list[Command] = field(default_factory=list)
    memory: bytearray = field(default_factory=bytearray)
    expected: bytearray = field(default_factory=bytearray)

    SOURCE, TARGET, SIZE = 0x2000, 0x8000, 0x10000

    def fill(self, rounds: int, longest: int) -> Copies:
        """Append ``rounds`` dependent LOAD and STORE pairs of up to ``longest`` DMA words and END."""
        d = Derived(self.config)
        word, depth = d.dma_bytes, self.config.act_kib * 1024 // d.dma_bytes
        self.memory = bytearray(self.rng.randbytes(self.SIZE))
        act = bytearray(self.config.act_kib * 1024)
        self.expected = bytearray(self.memory)
        for i in range(rounds):
            n = self.rng.randint(1, min(longest, depth // 2))
            source = self.SOURCE + word * self.rng.randrange((self.TARGET - self.SOURCE) // word - n)
            dst = self.rng.randrange(depth - n)
            first = self.rng.randint(0, n - 1)
            count = self.rng.randint(1, n - first)
            target = self.TARGET + word * self.rng.randrange((self.SIZE - self.TARGET) // word - n)
            # The next LOAD may overwrite what this STORE reads, so it waits for its completion.
            self.commands.append(load(source, 0, dst, n, [Module.STORE] if i else [], [Module.STORE]))
            self.commands.append(store(target, dst + first, count, [Module.LOAD], [Module.LOAD]))
            act[dst * word : (dst + n) * word] = self.memory[source : source + n * word]
            self.expected[target : target + count * word] = act[(dst + first) * word : (dst + first + count) * word]
        self.commands.append(END)
        raw = b"".join(encode(c) for c in self.commands)
        self.memory[COMMANDS_AT : COMMANDS_AT + len(raw)] = raw
        self.expected[COMMANDS_AT : COMMANDS_AT + len(raw)] = raw
        return self

    def output(self) -> list[tuple[int, int]]:
        return [(0, self.SIZE)]


def image(commands: Sequence[Command | bytes], size: int = 0x10000, seed: int = 1) -> bytes:
    """Return a memory of random bytes with ``commands`` at `COMMANDS_AT`."""
    memory = bytearray(random.Random(seed).randbytes(size))
    raw = b"".join(c if isinstance(c, bytes) else encode(c) for c in commands)
    memory[COMMANDS_AT : COMMANDS_AT + len(raw)] = raw
    return bytes(memory)
