"""Weight and parameter buffer: one write and one read port of a DMA word."""

from __future__ import annotations

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.interfaces import buffer_read, buffer_write


class WordBuffer(wiring.Component):
    """``depth`` DMA words, read data `ACT_READ_LATENCY` cycles after ``en``, then held; no side is ever stalled.

    The first cycle is a register before the block memories, to which the wires are long; the last is one behind them,
    whose own clock-to-output time is most of a clock period. A word is visible to reads enabled in later cycles than
    its write. Users check addresses.

    Parameters
    ----------
    config : Config
    depth : int
        DMA words: `Derived.weight_words` or `Derived.param_words`.
    """

    def __init__(self, config: Config, depth: int) -> None:
        self.depth = depth
        self.width = 8 * Derived(config).dma_bytes
        super().__init__({"read": In(buffer_read(config)), "write": In(buffer_write(config))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.width, depth=self.depth, init=[], attrs={"no_rw_check": 1})
        write, read = memory.write_port(), memory.read_port()
        fresh, held = Signal(), Signal(self.width, reset_less=True)
        m.d.sync += [write.addr.eq(self.write.addr), write.data.eq(self.write.data), write.en.eq(self.write.en),
                     read.addr.eq(self.read.addr), read.en.eq(self.read.en)]
        m.d.comb += self.read.data.eq(held)
        m.d.sync += fresh.eq(read.en)
        with m.If(fresh):
            m.d.sync += held.eq(read.data)
        return m
