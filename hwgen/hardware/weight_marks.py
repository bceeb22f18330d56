"""Marks of a weight stream: which weights of the next DMA word it holds values for."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.golden.weight_stream import GROUP, LONGEST, RUN_BITS
from hwgen.hardware.select import pick
from hwgen.isa import Format

RUNS = 4
"""Zero runs that are taken in a cycle."""


class WeightMarks(wiring.Component):
    """Takes words of marks, gives the bitmap of a DMA word of weights a cycle, whatever the format is.

    The word at work is read in place, by a position that counts bits, and the one behind it waits.

    Attributes
    ----------
    start : In(1)
        Forget everything; ``format`` holds from then on.
    format : In(Format)
    fill : In(1), word : In
        A word of marks arrives; only after ``wanted``.
    wanted : Out(1)
        No word waits.
    step : In(1)
        Go on, unless ``partial``, to the marks of the next word.
    free : In
        Words of zeros that may be left out before the one that is given.
    jump : Out
        How many are.
    valid : Out(1)
        ``bitmap`` is one that may be taken.
    partial : Out(1)
        More runs have to be taken before it is; a ``step`` does.
    bitmap : Out(D)
    wrong : Out(1)
        The two indices of a group do not rise.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.d = config, Derived(config)
        width = self.d.dma_bytes
        super().__init__({
            **({"free": In(range(self.d.bits_words)), "jump": Out(range(self.d.bits_words))}
               if self.d.leaves_out else {}),
            "start": In(1), "format": In(3), "fill": In(1), "word": In(8 * width), "wanted": Out(1), "step": In(1),
            "valid": Out(1), "partial": Out(1), "bitmap": Out(width), "wrong": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        formats, width = self.config.weight_formats, self.d.dma_bytes
        behind_valid = Signal()
        if formats == ("packed",):
            m.d.comb += [self.valid.eq(1), self.bitmap.eq(-1), self.wanted.eq(~behind_valid)]
            m.d.sync += behind_valid.eq(~self.start & (self.fill | behind_valid))
            return m
        size = 8 * width
        now, behind = Signal(size, reset_less=True), Signal(size, reset_less=True)
        now_valid = Signal()
        at = Signal(range(size))
        span, after = Signal(range(max(width * self.d.bits_words, RUNS * RUN_BITS) + 1)), Signal(range(2 * size))
        marked = self.format != int(Format.PACKED)
        used = self.step & marked
        empties = used & after[-1]
        load = behind_valid & marked & (~now_valid | empties)
        m.d.comb += [after.eq(at + span), self.wanted.eq(~behind_valid)]
        m.d.sync += [now_valid.eq(load | now_valid & ~empties), behind_valid.eq(self.fill | behind_valid & ~load)]
        with m.If(used):
            m.d.sync += at.eq(after)
        with m.If(load):
            m.d.sync += now.eq(behind)
        with m.If(self.fill):
            m.d.sync += behind.eq(self.word)
        with m.If(self.start):
            m.d.sync += [now_valid.eq(0), behind_valid.eq(0), at.eq(0)]

        log, jump = (width - 1).bit_length(), Signal(range(self.d.bits_words), name="left_out")
        words = [now.word_select(n, width) for n in range(8)]
        if self.d.leaves_out:
            some = Signal(8)
            with m.If(load):
                m.d.sync += some.eq(Cat(behind.word_select(n, width).any() for n in range(8)))
            m.d.comb += self.jump.eq(jump)
            by_bitmap = Signal.like(jump)
            with m.If(self.format == int(Format.BITMAP)):
                m.d.comb += by_bitmap.eq(self._leading(some, at[log:]))
            m.d.comb += jump.eq(by_bitmap)
        word_at = Signal(3)
        m.d.comb += word_at.eq(at[log:] + (by_bitmap if self.d.leaves_out else 0))
        byte = pick(words, word_at)
        m.d.comb += [self.valid.eq(now_valid), self.bitmap.eq(byte), span.eq((jump + 1) << log)]
        with m.Switch(self.format):
            with m.Case(int(Format.PACKED)):
                m.d.comb += [self.valid.eq(1), self.bitmap.eq(-1)]
            if "vector" in formats:
                with m.Case(int(Format.VECTOR)):
                    self._vector(m, byte, at, span, jump)
            if "nm" in formats:
                with m.Case(int(Format.ONE_OF_FOUR)):
                    half = Mux(at[(width // 2).bit_length() - 1], byte[width // 2:], byte[:width // 2])
                    m.d.comb += [span.eq(width // 2), self.bitmap.eq(Cat(
                        _one_hot(half.word_select(n, 2)) for n in range(width // GROUP)))]
                with m.Case(int(Format.TWO_OF_FOUR)):
                    fields = [byte.word_select(n, 2) for n in range(width // 2)]
                    pairs = list(zip(fields[::2], fields[1::2], strict=True))
                    m.d.comb += [self.bitmap.eq(Cat(_one_hot(a) | _one_hot(b) for a, b in pairs)),
                                 self.wrong.eq(Cat(a >= b for a, b in pairs).any() & now_valid)]
            if "run" in formats:
                with m.Case(int(Format.RUN)):
                    self._runs(m, now, now_valid, at, span, jump)
        return m

    def _leading(self, some: Value, index: Value) -> Value:
        """Return how many flags from ``index`` on are clear, of those that may be left out; the last flag may not."""
        count: Value = Const(0, 1)
        for k in reversed(range(self.d.bits_words - 1)):
            clear = pick([~some[n + k] if n + k < len(some) - 1 else Const(0, 1) for n in range(len(some))], index)
            count = Mux(clear & (self.free > k), count + 1, 0)
        return count

    def _vector(self, m: Module, byte: Value, at: Signal, span: Signal, jump: Signal) -> None:
        """A bit for each lane word."""
        width, each = self.d.dma_bytes, self.d.dma_words
        fields = [byte.word_select(n, each) for n in range(width // each)]
        low = (each - 1).bit_length()
        index = at[low:(width - 1).bit_length()]
        if self.d.leaves_out:
            m.d.comb += jump.eq(self._leading(Cat(f.any() for f in fields), index))
        bits = pick(fields, (index + jump)[:len(index)])
        m.d.comb += [span.eq((jump + 1) << low), self.bitmap.eq(Cat(bit.replicate(self.d.word) for bit in bits))]

    def _runs(self, m: Module, now: Signal, now_valid: Signal, at: Signal, span: Signal, jump: Signal) -> None:
        """Up to `RUNS` zero runs: a value lies behind each; the one that leaves the word is taken again for the next.

        ``since`` is where the run at hand begins, counted from the word's first weight: negative in an earlier one.
        """
        width = self.d.dma_bytes
        total = 8 * width // RUN_BITS
        # Modulo a power of two: where it counts, a place is one of a word or at most 15 behind it.
        reach = (width + LONGEST).bit_length()
        since, found, begun = Signal(reach), Signal(width), Signal()
        index = at[RUN_BITS.bit_length() - 1:]
        padded = [now.word_select(n, RUN_BITS) if n < total else Const(0, RUN_BITS) for n in range(total + RUNS - 1)]
        runs = [pick(padded[k:k + total], index) for k in range(RUNS)]
        before: Value = since
        if self.d.leaves_out:
            # Whole words that the first run covers.
            ahead, leap, earlier = Signal(reach), Signal.like(jump), Signal.like(jump)
            covered = ahead[(width - 1).bit_length():]
            m.d.comb += [ahead.eq(since + runs[0]), jump.eq(Mux(begun, earlier, leap)),
                         leap.eq(Mux(begun, 0, Mux(covered < self.free, covered, self.free)))]
            before = since - (leap << (width - 1).bit_length())
            with m.If(self.step):
                m.d.sync += earlier.eq(jump)
        inside: Value = Const(1, 1)
        taken, ends, hits = [], [before], []
        for k, run in enumerate(runs):
            there = Const(1, 1) if k == 0 else index < total - k
            place, mine, end = (Signal(reach, name=f"place{k}"), Signal(name=f"mine{k}"), Signal(reach, name=f"end{k}"))
            m.d.comb += [place.eq(before + run), mine.eq(inside & there & (place < width)), end.eq(place + 1)]
            hits.append(Mux(mine, Const(1, width) << place[:(width - 1).bit_length()], 0)[:width])
            closes = inside & there & (place >= width)
            taken.append((mine, closes))
            ends.append(end)
            before, inside = end, mine
        count = Signal(range(RUNS + 1))
        m.d.comb += count.eq(sum(mine for mine, _ in taken))
        closed = Cat(closes for _, closes in taken).any()
        bitmap = found
        for hit in hits:
            bitmap = bitmap | hit
        last = Signal(reach)
        m.d.comb += last.eq(pick([*ends, *[ends[-1]] * (8 - len(ends))], count))
        m.d.comb += [self.bitmap.eq(bitmap), span.eq(count << 2), self.valid.eq(now_valid & closed),
                     self.partial.eq(now_valid & ~closed)]
        with m.If(self.step):
            m.d.sync += [since.eq(last - Mux(closed, width, 0)), found.eq(Mux(closed, 0, bitmap)),
                         begun.eq(~closed)]
        with m.If(self.start):
            m.d.sync += [since.eq(0), found.eq(0), begun.eq(0)]


def _one_hot(index: Value) -> Value:
    return (Const(1, GROUP) << index)[:GROUP]
