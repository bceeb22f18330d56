"""Parameter blocks of POST: loaded from the parameter buffer one block ahead of their use.

A block request waits until the block before it is *taken*; from then on the words of the next one arrive, in the order
of the block, behind the transfer of the taken one. So results that need a new block each follow every
``words * passes + TURNAROUND`` cycles, and a block used by more results than that costs nothing.
"""

from __future__ import annotations

from itertools import pairwise

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hwgen.config import Config
from hwgen.derive import PARAM_BYTES, Derived
from hwgen.hardware.interfaces import ACT_READ_LATENCY, buffer_read
from hwgen.hardware.select import pick

ADDRESS = signed(17)
"""Parameter buffer address on its way to the bounds check."""

TURNAROUND = 2
"""Cycles between taking a block and the first read of the next one."""

USE = ACT_READ_LATENCY + 2
"""Cycles from ``take`` to the first cycle in which ``values`` belong to the taken block."""

PARAMETER = data.StructLayout({"bias": signed(32), "multiplier": 32, "shift": 6})


class Parameters(wiring.Component):
    """Loader and registers of the blocks.

    Attributes
    ----------
    buffer : Out(buffer_read)
    request : In(stream)
        Address of the next block of pipe 0, in DMA words. Words outside the buffer are not read.
    step : In(signed(12))
        Address offset from pipe to pipe; 0 loads all pipes at once.
    scalar, value : In
        Use ``value`` for every channel instead of the buffer. Constant while a request is pending.
    ready : Out(1)
        The next block may be taken.
    take : In(1)
        Use the next block from `USE` cycles on.
    broadcast, channel : In
        With ``broadcast`` every element gets the parameters of ``channel``, both given in the cycle of ``take``.
    values : Out
        Parameters by pipe * P + element.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.derived = Derived(config)
        super().__init__({
            "buffer": Out(buffer_read(config)), "request": In(stream.Signature(ADDRESS)), "step": In(signed(12)),
            "scalar": In(1), "value": In(PARAMETER), "ready": Out(1), "take": In(1), "broadcast": In(1),
            "channel": In(range(max(config.vector, 2))),
            "values": Out(data.ArrayLayout(PARAMETER, config.post_width))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        blocks = self._load(m)
        vector, pixel = self.config.vector, "pixel" in self.config.mappings
        values = Signal.like(Value.cast(self.values), name="current", reset_less=True)
        current = data.View(self.values.shape(), values)
        m.d.comb += Value.cast(self.values).eq(values)
        took = [self.take, *(Signal(name=f"take{i}") for i in range(1, USE))]
        m.d.sync += [new.eq(old) for old, new in pairwise(took)]
        if pixel:
            used = [Signal(len(block), name=f"used{j}", reset_less=True) for j, block in enumerate(blocks)]
            with m.If(took[USE - 2]):
                m.d.sync += [new.eq(old) for old, new in zip(blocks, used, strict=True)]
            channel = [self.channel, *(Signal.like(self.channel, name=f"channel{i}") for i in range(1, USE))]
            m.d.sync += [new.eq(old) for old, new in pairwise(channel)]
            for j, block in enumerate(used):
                own = [self._parameter(block, e) for e in range(vector)]
                shared = Signal(len(own[0]), name=f"shared{j}")
                m.d.comb += shared.eq(pick(own, channel[-1]))
                m.d.sync += [Value.cast(current[j * vector + e]).eq(Mux(self.broadcast, shared, own[e]))
                             for e in range(vector)]
        else:
            with m.If(took[USE - 1]):
                m.d.sync += [Value.cast(current[j * vector + e]).eq(self._parameter(block, e))
                             for j, block in enumerate(blocks) for e in range(vector)]
        return m

    def _parameter(self, block: Value, e: int) -> Value:
        """Return the packed `PARAMETER` of element ``e`` of a block."""
        p = self.config.vector
        return Cat(
            block[32 * e : 32 * e + 32],
            block[32 * (p + e) : 32 * (p + e) + 32],
            block[64 * p + 8 * e : 64 * p + 8 * e + 6],
        )

    def _load(self, m: Module) -> list[Signal]:
        """Build the loader; return the block each pipe takes next."""
        d, passes, words = self.derived, self.derived.pipes, self.derived.param_block
        busy, full = Signal(), Signal()
        word, pipe = Signal(range(max(words, 2))), Signal(range(max(passes, 2)))
        at, first = Signal(ADDRESS), Signal(ADDRESS)
        all_pipes = Signal()
        start, end_pass, end = Signal(), Signal(), Signal()
        m.d.comb += [
            start.eq(self.request.valid & ~busy & ~full),
            self.request.ready.eq(start),
            self.ready.eq(full),
            end_pass.eq(busy & (word == words - 1)),
            end.eq(end_pass & (all_pipes | (pipe == passes - 1))),
            # An address outside belongs to a pipe whose results are all dropped, or to an error found later.
            self.buffer.en.eq(busy & ~self.scalar & (at.as_unsigned() < d.param_words)),
            self.buffer.addr.eq(at.as_unsigned()),
        ]
        with m.If(self.take):
            m.d.sync += full.eq(0)
        with m.If(start):
            m.d.sync += [
                busy.eq(1),
                word.eq(0),
                pipe.eq(0),
                at.eq(self.request.payload),
                first.eq(self.request.payload),
                all_pipes.eq(self.scalar | (self.step == 0)),
            ]
        with m.If(busy):
            m.d.sync += [word.eq(word + 1), at.eq(at + 1)]
        with m.If(end_pass):
            m.d.sync += [word.eq(0), pipe.eq(pipe + 1), at.eq(first + self.step), first.eq(first + self.step)]
        with m.If(end):
            m.d.sync += [busy.eq(0), full.eq(1)]

        # `ACT_READ_LATENCY` later, with the data. A word of PO_SCALAR has few forms: biases, multipliers, shifts.
        arrived = data.StructLayout({"write": passes, "word": bits_for(max(words - 1, 1))})
        selected = Cat(busy & (all_pipes | (pipe == j)) for j in range(passes))
        now = Signal(arrived)
        m.d.comb += [now.write.eq(selected), now.word.eq(word)]
        for stage in range(ACT_READ_LATENCY):
            late = Signal(arrived, name=f"arrived{stage}")
            m.d.sync += late.eq(now)
            now = late
        forms = [self._scalar_word(k) for k in range(words)]
        arriving = Signal(8 * d.dma_bytes)
        m.d.comb += arriving.eq(self.buffer.data)
        with m.If(self.scalar), m.Switch(now.word):
            for k, form in enumerate(forms):
                with m.Case(k):
                    m.d.comb += arriving.eq(form)
        size = 8 * PARAM_BYTES * self.config.vector
        blocks = [Signal(size, name=f"block{j}", reset_less=True) for j in range(passes)]
        for k in range(words):
            low = 8 * d.dma_bytes * k
            for j, block in enumerate(blocks):
                part = block[low:low + 8 * d.dma_bytes]
                with m.If(now.write[j] & (now.word == k)):
                    m.d.sync += part.eq(arriving)
        return blocks

    def _scalar_word(self, k: int) -> Value:
        """Word ``k`` of the block that holds ``value`` for every channel."""
        p, width = self.config.vector, self.derived.dma_bytes
        parts: list[Value] = []
        for byte in range(k * width, (k + 1) * width):
            if byte < 8 * p:
                source = Value.cast(self.value.bias if byte < 4 * p else self.value.multiplier)
                parts.append(source[8 * (byte % 4):8 * (byte % 4) + 8])
            else:
                parts.append(Cat(self.value.shift, Const(0, 2)))
        return Cat(parts)
