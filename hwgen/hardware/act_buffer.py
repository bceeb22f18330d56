"""Banked activation buffer: a word a cycle for every port as long as the ports want different banks."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.bank_arbiter import BankArbiter
from hwgen.hardware.bank_hash import banked_read, banked_write, grouped_read, grouped_write
from hwgen.hardware.delay import delayed
from hwgen.hardware.interfaces import ACT_READ_LATENCY
from hwgen.hardware.select import one_of

POST_READS = 2
"""Read ports of POST, for the two operands of ELTWISE."""


class ActBuffer(wiring.Component):
    """``banks`` block memories of W-byte words, each read and written once a cycle.

    The bank of a word is the exclusive or of the base-``banks`` digits of its address (the lowest bits, which tell the
    words of a DMA word apart, stay as they are): pixels that are a multiple of ``banks`` words apart, as channels of
    most layers are, would otherwise all lie in one bank, and columns of the grid that fetch the same channels at other
    pixels would halve each other's rate.

    Grants and addresses are registered at the end of the cycle of the grant: who gets a bank, and the way to its block
    memories, are a cycle each. What is read is registered behind the block memory a cycle later, and passes the
    multiplexer from banks to ports in the cycle after: data is good in that cycle only, a third of it late.
    Addresses are not checked. Reads granted in the cycle of a write of the same word see old or new bytes.

    Ports
    -----
    fetch : one read port per grid column (AFETCH).
    post_read : two read ports (POST).
    store : read port of a DMA word.
    post_write : write port per post-process pipe, bytes chosen by ``mask``.
    load : write port of a DMA word.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.derived = config, Derived(config)
        super().__init__({
            "fetch": wiring.In(banked_read(config)).array(config.columns),
            "post_read": wiring.In(banked_read(config)).array(POST_READS), "store": wiring.In(grouped_read(config)),
            "post_write": wiring.In(banked_write(config)).array(self.derived.pipes),
            "load": wiring.In(grouped_write(config))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c, d = self.config, self.derived
        depth, bank_bits = d.act_words // c.banks, (c.banks - 1).bit_length()
        reads, writes = [], []
        for b in range(c.banks):
            m.submodules[f"bank{b}"] = memory = Memory(shape=8 * d.word, depth=depth, init=[], attrs={"no_rw_check": 1})
            reads.append(memory.read_port())
            writes.append(memory.write_port(granularity=8))
        self._read_side(m, reads, bank_bits)
        self._write_side(m, writes, bank_bits)
        return m

    def _arbiter(self, m: Module, name: str, narrow: list[Any], wide: Any) -> BankArbiter:
        """Connect an arbiter to the handshakes of ``narrow`` ports and the ``wide`` port."""
        m.submodules[name] = arbiter = BankArbiter(self.config.banks, len(narrow), self.derived.dma_words)
        for i, port in enumerate(narrow):
            m.d.comb += [arbiter.valid[i].eq(port.valid), arbiter.bank[i].eq(port.bank),
                         port.ready.eq(arbiter.ready[i])]
        m.d.comb += [arbiter.wide_valid.eq(wide.valid), arbiter.wide_group.eq(wide.group),
                     wide.ready.eq(arbiter.wide_ready)]
        return arbiter

    def _rows(self, port: wiring.PureInterface, bank_bits: int, words: int) -> Value:
        """Address of a port inside its bank."""
        rows = (self.derived.act_words // self.config.banks - 1).bit_length()
        return port.addr[bank_bits - (words - 1).bit_length():][:rows]

    def _read_side(self, m: Module, reads: list[Any], bank_bits: int) -> None:
        c, d = self.config, self.derived
        narrow = [*self.fetch, *self.post_read]
        arbiter = self._arbiter(m, "read_arbiter", narrow, self.store)
        rows = [delayed(m, self._rows(port, bank_bits, 1), 1, f"read_row{i}", reset_less=True)
                for i, port in enumerate(narrow)]
        store_row = delayed(m, self._rows(self.store, bank_bits, d.dma_words), 1, "store_row", reset_less=True)
        outputs = []
        for b, read in enumerate(reads):
            wide = arbiter.wide_banks[b]
            whose = delayed(m, Cat(arbiter.grants[b] & ~wide.replicate(len(narrow)), wide), 1, f"read_grants{b}")
            output = Signal(8 * d.word, name=f"output{b}", reset_less=True)
            m.d.comb += [read.addr.eq(one_of([*rows, store_row], whose)), read.en.eq(1)]
            m.d.sync += output.eq(read.data)
            outputs.append(output)
        for i, port in enumerate(narrow):
            m.d.comb += port.data.eq(_picked(m, outputs, port.bank, f"read{i}"))
        groups = [Cat(outputs[g:g + d.dma_words]) for g in range(0, c.banks, d.dma_words)]
        m.d.comb += self.store.data.eq(_picked(m, groups, self.store.group, "store"))

    def _write_side(self, m: Module, writes: list[Any], bank_bits: int) -> None:
        d = self.derived
        arbiter = self._arbiter(m, "write_arbiter", list(self.post_write), self.load)
        held = [[delayed(m, value, 1, f"write_{name}{i}", reset_less=True) for name, value in (
                    ("row", self._rows(port, bank_bits, 1)), ("data", port.data), ("mask", port.mask))]
                for i, port in enumerate(self.post_write)]
        row, data, mask = (delayed(m, value, 1, f"load_{name}", reset_less=True) for name, value in (
            ("row", self._rows(self.load, bank_bits, d.dma_words)), ("data", self.load.data), ("mask", self.load.mask)))
        for b, write in enumerate(writes):
            part, wide = b % d.dma_words, arbiter.wide_banks[b]
            whose = delayed(m, Cat(arbiter.grants[b] & ~wide.replicate(len(held)), wide), 1, f"write_grants{b}")
            sources = [*held, [row, data.word_select(part, 8 * d.word), mask.word_select(part, d.word)]]
            m.d.comb += [pin.eq(one_of([source[k] for source in sources], whose))
                         for k, pin in enumerate((write.addr, write.data, write.en))]


def _picked(m: Module, choices: list[Value], index: Value, name: str) -> Value:
    """Return the one of ``choices`` that ``index`` selected a read latency ago; one-hot is less logic than binary."""
    if len(choices) == 1:
        return choices[0]
    chosen = Signal(len(choices), name=f"{name}_chosen")
    index = delayed(m, index, ACT_READ_LATENCY - 1, f"{name}_index")
    m.d.sync += chosen.eq(Cat(index == i for i in range(len(choices))))
    return one_of(choices, chosen)
