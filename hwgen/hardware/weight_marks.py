"""Marks of a weight stream: which weights of the next DMA word it holds values for."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.golden.weight_stream import GROUP, LONGEST, RUN_BITS
from hwgen.hardware.select import pick, rotate
from hwgen.hardware.weight_rows import WeightRows
from hwgen.isa import Format


def left_out_ports(config: Config) -> dict[str, wiring.Member]:
    """Return the ports by which decoder and lanes agree on words that are left out."""
    d = Derived(config)
    free = range(d.vector_row if d.leaves_rows else d.bits_words)
    ports: dict[str, wiring.Member] = {"free": In(free), "jump": Out(free)} if d.leaves_out else {}
    return ports | ({"row_end": Out(1)} if d.leaves_rows else {})


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
        Words of zeros that may be left out before the one that is given; of VECTOR, words behind the first one of
        a row.
    jump : Out
        How many are; of VECTOR, which word of a row it is.
    row_end : Out(1)
        Of VECTOR: the last word that is given of a row.
    valid : Out(1)
        ``bitmap`` is one that may be taken.
    partial : Out(1)
        Another value of this word comes first; a ``step`` takes it.
    busy : Out(1)
        A word of marks is at hand.
    spare : Out(1)
        With a step: it is not needed, unless for other words.
    bitmap : Out(D)
    wrong : Out(1)
        The two indices of a group do not rise, or a row has marks behind the last word.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.d = config, Derived(config)
        width = self.d.dma_bytes
        super().__init__({
            **left_out_ports(config), "start": In(1), "format": In(3), "fill": In(1), "word": In(8 * width),
            "wanted": Out(1), "step": In(1), "valid": Out(1), "partial": Out(1), "bitmap": Out(width), "wrong": Out(1),
            "busy": Out(1), "spare": Out(1)})

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
        span, after = Signal(range(width * self.d.bits_words + 1)), Signal(range(2 * size))
        marked = self.format != int(Format.PACKED)
        used = Signal()
        empties = used & after[-1]
        load = behind_valid & marked & (~now_valid | empties)
        m.d.comb += [after.eq(at + span), self.wanted.eq(~behind_valid), used.eq(self.step & marked),
                     self.busy.eq(now_valid)]
        m.d.sync += [now_valid.eq(load | now_valid & ~empties), behind_valid.eq(self.fill | behind_valid & ~load)]
        with m.If(used):
            m.d.sync += at.eq(after)
        with m.If(load):
            m.d.sync += now.eq(behind)
        with m.If(self.fill):
            m.d.sync += behind.eq(self.word)
        with m.If(self.start):
            m.d.sync += [now_valid.eq(0), behind_valid.eq(0), at.eq(0)]

        log, jump = (width - 1).bit_length(), Signal(len(self.jump) if self.d.leaves_out else 1, name="left_out")
        words = rotate([now.word_select(n, width) for n in range(8)], at[log:])
        byte = chosen = words[0]
        if self.d.leaves_out:
            some, by_bitmap = Signal(8), Signal(range(self.d.bits_words))
            with m.If(load):
                m.d.sync += some.eq(Cat(behind.word_select(n, width).any() for n in range(8)))
            m.d.comb += [self.jump.eq(jump), by_bitmap.eq(self._leading(some, at[log:]))]
            chosen = pick(words[:self.d.bits_words], by_bitmap)
            with m.If(self.format == int(Format.BITMAP)):
                m.d.comb += jump.eq(by_bitmap)
        m.d.comb += [self.valid.eq(now_valid), self.bitmap.eq(chosen), span.eq((jump + 1) << log)]
        with m.Switch(self.format):
            with m.Case(int(Format.PACKED)):
                m.d.comb += [self.valid.eq(1), self.bitmap.eq(-1)]
            if "vector" in formats:
                with m.Case(int(Format.VECTOR)):
                    if self.d.leaves_rows:
                        self._rows(m, now, now_valid, at, jump, used, span)
                    else:
                        self._vector(m, byte, at, span)
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
                    m.d.comb += [used.eq(self._runs(m, now, now_valid, at, jump)), span.eq(RUN_BITS)]
        return m

    def _leading(self, some: Value, index: Value) -> Value:
        """Return how many flags from ``index`` on are clear, of those that may be left out; the last flag may not."""
        count: Value = Const(0, 1)
        for k in reversed(range(self.d.bits_words - 1)):
            clear = pick([~some[n + k] if n + k < len(some) - 1 else Const(0, 1) for n in range(len(some))], index)
            count = Mux(clear & (self.free > k), count + 1, 0)
        return count

    def _vector(self, m: Module, byte: Value, at: Signal, span: Signal) -> None:
        """A bit for each lane word."""
        width, each = self.d.dma_bytes, self.d.dma_words
        fields = [byte.word_select(n, each) for n in range(width // each)]
        low = (each - 1).bit_length()
        bits = pick(fields, at[low:(width - 1).bit_length()])
        m.d.comb += [span.eq(1 << low), self.bitmap.eq(Cat(bit.replicate(self.d.word) for bit in bits))]

    def _rows(
        self, m: Module, now: Signal, now_valid: Signal, at: Signal, jump: Signal, used: Signal, span: Signal
    ) -> None:
        """A bit for each lane word, a row at a time."""
        m.submodules.rows = rows = WeightRows(self.config)
        size = len(rows.row)
        m.d.comb += [
            rows.start.eq(self.start), rows.step.eq(self.step),
            rows.row_valid.eq(now_valid), rows.row_first.eq(at == 0),
            rows.row.eq(pick([now.word_select(n, size) for n in range(len(now) // size)], at[bits_for(size - 1):])),
            used.eq(now_valid & rows.row_ready), span.eq(size), jump.eq(rows.index), self.row_end.eq(rows.last),
            self.valid.eq(rows.valid), self.bitmap.eq(Cat(bit.replicate(self.d.word) for bit in rows.bits)),
            self.wrong.eq(rows.bits.any() & (rows.index > self.free)), self.busy.eq(now_valid | rows.ahead),
            self.spare.eq(now_valid & (at == 0) | rows.ahead & rows.ahead_first)]

    def _runs(self, m: Module, now: Signal, now_valid: Signal, at: Signal, jump: Signal) -> Signal:
        """A value a cycle, and the words before it that its run covers; returns whether a run is taken.

        ``place`` is where the next value lies, counted from the word at hand, ``ahead`` the run behind it.
        """
        width = self.d.dma_bytes
        log = (width - 1).bit_length()
        place, ahead, placed, known = Signal(range(width + LONGEST + 1)), Signal(RUN_BITS), Signal(), Signal()
        found, begun, earlier = Signal(width), Signal(), Signal.like(jump)
        take, uses, here, follows, closes, able = Signal(), Signal(), Signal(), Signal.like(place), Signal(), Signal()
        free = self.free[:bits_for(self.d.bits_words - 1)] if self.d.leaves_out else Const(0, 1)
        covered, bitmap = place[log:], Signal(width)
        m.d.comb += [
            here.eq(covered <= free), follows.eq(place[:log] + 1 + ahead), closes.eq(~here | follows[log:].any()),
            able.eq(placed & (~here | known)), uses.eq(self.step & here),
            take.eq(now_valid & ~(placed & known & ~uses)),
            bitmap.eq(found | Mux(here, Const(1, width) << place[:log], 0)), self.bitmap.eq(bitmap),
            self.valid.eq(able & closes), self.partial.eq(able & ~closes),
            self.spare.eq(now_valid & ((at == 0) | ((at == RUN_BITS) & known & ~here))),
            jump.eq(Mux(begun, earlier, Mux(here, covered, free)))]
        run = pick([now.word_select(n, RUN_BITS) for n in range(8 * width // RUN_BITS)], at[2:])
        with m.If(self.step):
            m.d.sync += [
                place.eq(Mux(here, follows - Mux(closes, width, 0), Cat(place[:log], covered - free - 1))),
                found.eq(Mux(closes, 0, bitmap)), begun.eq(~closes), earlier.eq(jump)]
        with m.If(take & ~placed):
            m.d.sync += [place.eq(run), placed.eq(1)]
        with m.Elif(take | uses):
            m.d.sync += [ahead.eq(run), known.eq(take)]
        with m.If(self.start):
            m.d.sync += [placed.eq(0), known.eq(0), found.eq(0), begun.eq(0)]
        return take


def _one_hot(index: Value) -> Value:
    return (Const(1, GROUP) << index)[:GROUP]
