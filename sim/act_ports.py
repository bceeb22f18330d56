"""Random traffic on ports of the activation buffer, checked against a byte array."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.interfaces import ACT_READ_LATENCY


def bank_of_word(config: Config, word: int) -> int:
    """Return the bank of an act word: digits above those inside a DMA word, added without carry."""
    wide = Derived(config).dma_words
    groups, rest, group = config.banks // wide, word // wide, 0
    while groups > 1 and rest:
        rest, digit = divmod(rest, groups)
        group ^= digit
    return group * wide + word % wide


class Traffic:
    """Drives read and write ports and knows what every read must return.

    Parameters
    ----------
    dut : cocotb handle
    config : Config
    reads, writes : list of (port name, act words)
    rng : random.Random
    written : range
        Act words that random writes may touch; multiples of the widest port.

    Attributes
    ----------
    act : uint8 array
        Content of the buffer after the last sampled cycle; ``known`` tells which bytes were ever written.
    longest : dict of str to int
        Most cycles each port had to wait.
    rate : dict of str to float
        Probability that an idle port starts a request; a test sets it.
    """

    def __init__(self, dut: Any, config: Config, reads: list[tuple[str, int]], writes: list[tuple[str, int]],
                 rng: random.Random, written: range) -> None:
        self.dut, self.config, self.rng, self.written, self.width = dut, config, rng, written, Derived(config).word
        self.words = Derived(config).act_words
        self.act = np.zeros(self.words * self.width, np.uint8)
        self.known = np.zeros(len(self.act), bool)
        self.reads, self.writes = dict(reads), dict(writes)
        self.rate = dict.fromkeys([*self.reads, *self.writes], 0.0)
        self.bank: dict[str, int] = {}
        """Bank (for a wide port its first bank) of all requests of a port; without an entry any."""
        self.pending: dict[str, tuple[int, bytes, int]] = {}
        self.waited = dict.fromkeys(self.rate, 0)
        self.longest = dict(self.waited)
        self.served = dict(self.waited)
        self.expected: list[dict[str, tuple[int, bytes]]] = [{} for _ in range(ACT_READ_LATENCY)]
        self.checked = 0

    def request(self, name: str, word: int, data: bytes = b"", mask: int = 0) -> None:
        """Offer one access from act word ``word`` on port ``name``, until it is served."""
        self.pending[name] = (word, data, mask)

    def drive(self) -> None:
        """Start new requests at random and put the pending ones on the pins."""
        for name, rate in self.rate.items():
            if name not in self.pending and self.rng.random() < rate:
                size = self.reads.get(name) or self.writes[name]
                area = range(self.words) if name in self.reads else self.written
                word = area[self.rng.randrange(len(area) // size) * size]
                while bank_of_word(self.config, word) != self.bank.get(name, bank_of_word(self.config, word)):
                    word = area[self.rng.randrange(len(area) // size) * size]
                self.request(name, word, self.rng.randbytes(size * self.width), self.rng.getrandbits(size * self.width))
        for name in self.rate:
            offered = self.pending.get(name)
            getattr(self.dut, f"{name}__valid").value = int(offered is not None)
            if offered is not None:
                word, data, mask = offered
                getattr(self.dut, f"{name}__addr").value = word // (self.reads.get(name) or self.writes[name])
                bank, wide = bank_of_word(self.config, word), Derived(self.config).dma_words
                for pin, value in (("bank", bank), ("group", bank // wide)):
                    if hasattr(self.dut, f"{name}__{pin}"):
                        getattr(self.dut, f"{name}__{pin}").value = value
                if name in self.writes:
                    getattr(self.dut, f"{name}__data").value = int.from_bytes(data, "little")
                    getattr(self.dut, f"{name}__mask").value = mask

    def sample(self) -> None:
        """Check the data of earlier grants, note new ones, then apply the writes of this cycle."""
        for name, (word, good) in self.expected.pop(0).items():
            found = int(getattr(self.dut, f"{name}__data").value).to_bytes(len(good), "little")
            assert found == good, f"{name} word {word}: read {found.hex()}, expected {good.hex()}"
            self.checked += 1
        served = [n for n in self.pending if int(getattr(self.dut, f"{n}__ready").value)]
        self.waited = {n: 0 if n in served or n not in self.pending else w + 1 for n, w in self.waited.items()}
        self.longest = {n: max(w, self.waited[n]) for n, w in self.longest.items()}
        sizes = self.reads | self.writes
        bytes_of = {n: (self.pending[n][0] * self.width, sizes[n] * self.width) for n in served}
        written = {b for n in served if n in self.writes for b in range(bytes_of[n][0], sum(bytes_of[n]))}
        results = {}
        for name in served:
            self.served[name] += 1
            word, data, mask = self.pending.pop(name)
            first, size = bytes_of[name]
            if name in self.reads:
                # A word that is written in the same cycle may be old or new.
                if written.isdisjoint(range(first, first + size)) and self.known[first:first + size].all():
                    results[name] = (word, self.act[first:first + size].tobytes())
            else:
                chosen = np.array([mask >> i & 1 for i in range(size)], bool)
                self.act[first:first + size][chosen] = np.frombuffer(data, np.uint8)[chosen]
                self.known[first:first + size][chosen] = True
        self.expected.append(results)
