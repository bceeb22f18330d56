"""Banked activation buffer: a word a cycle for every port as long as the ports want different banks."""

from __future__ import annotations

from functools import reduce
from operator import or_
from types import SimpleNamespace
from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.bank_arbiter import BankArbiter
from hwgen.hardware.bank_hash import bank_of, fetch_port, group_of
from hwgen.hardware.interfaces import ACT_READ_LATENCY, act_read, act_write

POST_READS = 2
"""Read ports of POST, for the two operands of ELTWISE."""


class ActBuffer(wiring.Component):
    """``banks`` block memories of W-byte words, each read and written once a cycle.

    The bank of a word is the exclusive or of the base-``banks`` digits of its address (the lowest bits, which tell the
    words of a DMA word apart, stay as they are): pixels that are a multiple of ``banks`` words apart, as channels of
    most layers are, would otherwise all lie in one bank, and columns of the grid that fetch the same channels at other
    pixels would halve each other's rate.

    A read addresses the block memory at the end of the cycle of its grant (with `ACT_READ_LATENCY` 3 a cycle later,
    from a register: the wires to the block memories are long), is registered behind it a cycle later, and passes the
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
        wide = self.derived.dma_words
        super().__init__({
            "fetch": In(fetch_port(config)).array(config.columns), "post_read": In(act_read(config)).array(POST_READS),
            "store": In(act_read(config, wide)),
            "post_write": In(act_write(config)).array(self.derived.pipes), "load": In(act_write(config, wide))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c, d = self.config, self.derived
        depth, bank_bits = d.act_words // c.banks, (c.banks - 1).bit_length()
        reads, writes = [], []
        for b in range(c.banks):
            m.submodules[f"bank{b}"] = memory = Memory(shape=8 * d.word, depth=depth, init=[], attrs={"no_rw_check": 1})
            reads.append(memory.read_port())
            writes.append(memory.write_port(granularity=8))
        if ACT_READ_LATENCY == 3:
            reads, writes = self._registered(m, reads), self._registered(m, writes)
        self._read_side(m, reads, bank_bits)
        self._write_side(m, writes, bank_bits)
        return m

    def _registered(self, m: Module, ports: list[Any]) -> list[Any]:
        """Return the memory ``ports`` with a register before every input."""
        fronts = []
        for b, port in enumerate(ports):
            front = SimpleNamespace()
            for name, member in port.signature.members.items():
                signal = getattr(port, name)
                if member.flow == In:
                    inner, signal = signal, Signal.like(signal, name=f"bank{b}_next_{name}")
                    m.d.sync += inner.eq(signal)
                setattr(front, name, signal)
            fronts.append(front)
        return fronts

    def _arbiter(self, m: Module, name: str, narrow: list[Any], wide: Any, bank_bits: int) -> BankArbiter:
        """Connect an arbiter to the handshakes of ``narrow`` ports and the ``wide`` port."""
        m.submodules[name] = arbiter = BankArbiter(self.config.banks, len(narrow), self.derived.dma_words)
        for i, port in enumerate(narrow):
            m.d.comb += [arbiter.valid[i].eq(port.valid), arbiter.bank[i].eq(self._bank(port)),
                         port.ready.eq(arbiter.ready[i])]
        m.d.comb += [arbiter.wide_valid.eq(wide.valid), arbiter.wide_group.eq(group_of(self.config, wide.addr)),
                     wide.ready.eq(arbiter.wide_ready)]
        return arbiter

    def _bank(self, port: Any) -> Value:
        """Bank of a one-word port's address."""
        return port.bank if "bank" in port.signature.members else bank_of(self.config, port.addr)

    def _rows(self, port: wiring.PureInterface, bank_bits: int, words: int) -> Value:
        """Address of a port inside its bank."""
        return port.addr[bank_bits - (words - 1).bit_length():]

    def _read_side(self, m: Module, reads: list[Any], bank_bits: int) -> None:
        c, d = self.config, self.derived
        narrow = [*self.fetch, *self.post_read]
        arbiter = self._arbiter(m, "read_arbiter", narrow, self.store, bank_bits)
        outputs = []
        for b, read in enumerate(reads):
            own = [Mux(arbiter.grants[b][i], self._rows(port, bank_bits, 1)[:len(read.addr)], 0)
                   for i, port in enumerate(narrow)]
            chosen = Mux(arbiter.wide_banks[b], self._rows(self.store, bank_bits, d.dma_words), reduce(or_, own))
            output = Signal(8 * d.word, name=f"output{b}")
            m.d.comb += [read.addr.eq(chosen), read.en.eq(1)]
            m.d.sync += output.eq(read.data)
            outputs.append(output)
        for i, port in enumerate(narrow):
            m.d.comb += port.data.eq(_picked(m, outputs, self._bank(port), f"read{i}"))
        groups = [Cat(outputs[g:g + d.dma_words]) for g in range(0, c.banks, d.dma_words)]
        m.d.comb += self.store.data.eq(_picked(m, groups, group_of(self.config, self.store.addr), "store"))

    def _write_side(self, m: Module, writes: list[Any], bank_bits: int) -> None:
        d = self.derived
        arbiter = self._arbiter(m, "write_arbiter", list(self.post_write), self.load, bank_bits)
        for b, write in enumerate(writes):
            part = b % d.dma_words
            # Without a grant no byte is enabled, so one port's address and data may be the default.
            m.d.comb += [write.addr.eq(self._rows(self.post_write[0], bank_bits, 1)),
                         write.data.eq(self.post_write[0].data)]
            for i, port in enumerate(self.post_write):
                with m.If(arbiter.grants[b][i]):
                    m.d.comb += [write.en.eq(port.mask), write.addr.eq(self._rows(port, bank_bits, 1)),
                                 write.data.eq(port.data)]
            with m.If(arbiter.wide_banks[b]):
                m.d.comb += [write.en.eq(self.load.mask.word_select(part, d.word)),
                             write.addr.eq(self._rows(self.load, bank_bits, d.dma_words)),
                             write.data.eq(self.load.data.word_select(part, 8 * d.word))]


def _picked(m: Module, choices: list[Value], index: Value, name: str) -> Value:
    """Return the one of ``choices`` that ``index`` selected a read latency ago; one-hot is less logic than binary."""
    if len(choices) == 1:
        return choices[0]
    chosen = Signal(len(choices), name=f"{name}_chosen")
    for stage in range(ACT_READ_LATENCY - 1):
        late = Signal(len(index), name=f"{name}_index{stage}")
        m.d.sync += late.eq(index)
        index = late
    m.d.sync += chosen.eq(Cat(index == i for i in range(len(choices))))
    return reduce(or_, (choice & chosen[i].replicate(len(choice)) for i, choice in enumerate(choices)))
