"""The table of lengths of packed blocks in DRAM: written by STORE, read by LOAD."""

from __future__ import annotations

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import connect

from hwgen.config import Config
from hwgen.hardware.interfaces import LENGTH_BITS, lengths_read, lengths_write
from hwgen.hardware.load import Load
from hwgen.hardware.packed_load import PackedLoad
from hwgen.hardware.packed_store import PackedStore
from hwgen.hardware.store import Store
from hwgen.isa import SLOTS


class Lengths(wiring.Component):
    """Ports: ``write``; ``read``, a cycle late. Tokens keep a LOAD behind the STORE of its blocks."""

    def __init__(self) -> None:
        super().__init__({"write": wiring.In(lengths_write()), "read": wiring.In(lengths_read())})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.table = table = Memory(shape=LENGTH_BITS, depth=SLOTS, init=[], attrs={"no_rw_check": 1})
        write, read = table.write_port(), table.read_port()
        m.d.comb += [
            write.en.eq(self.write.en), write.addr.eq(self.write.slot), write.data.eq(self.write.length),
            read.en.eq(1), read.addr.eq(self.read.slot), self.read.length.eq(read.data),
        ]
        return m


def build_dma(m: Module, config: Config) -> tuple[Load, Store]:
    """Return LOAD and STORE of a configuration, for the caller to add; with packed maps the table is between them."""
    if not config.compress_maps:
        return Load(config), Store(config)
    load, store = PackedLoad(config), PackedStore(config)
    m.submodules.lengths = lengths = Lengths()
    connect(m, store.lengths, lengths.write)
    connect(m, load.lengths, lengths.read)
    return load, store
