"""Weight streams: marks and values become DMA words of weights, one a cycle.

=====  =====================================================================================
stage  work
=====  =====================================================================================
marks  the bitmap of a word (`WeightMarks`), and which lanes it is for
count  how many values lie before each weight
take   values to their weights, when there are enough of them
book   look up the codebook
=====  =====================================================================================

Values arrive in blocks of D, bit plane after bit plane, through two rings: of planes, from which a block at a time
goes to the ring of values, a byte each.
"""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.aligned_ring import AlignedRing
from hwgen.hardware.ranks import ranks
from hwgen.hardware.select import pick, rotate
from hwgen.hardware.weight_marks import WeightMarks, left_out_ports
from hwgen.hardware.weight_zero import less_zero

PLANES = 8
TAG_LAST = 0


class WeightDecoder(wiring.Component):
    """Decoder of a stream; settings hold from ``start`` to the last word.

    Parameters
    ----------
    config : Config
    tag_bits : int
        What travels with a word; bit 0: it is the last.

    Attributes
    ----------
    start : In(1)
        Empty it.
    format, bits, codebook : In
        As in WSTREAM.
    values : In
        DMA words of values that the stream has.
    tag : In, tagged : In(1), step : Out(1)
        What travels with the next word, while there is one; ``step`` takes it.
    free : In, jump, row_end : Out
        See `WeightMarks`.
    mark : In(1), mark_wanted : Out(1)
        A word of marks is on ``word``.
    value_valid, value, value_ready : stream of words of values.
    word : In
        What the weight buffer gives, for ``mark``.
    book_write, book_addr, book_data : In
        Codebook.
    zero : In
        Zero point of the weights, where they have one.
    valid, out, out_tag : Out
        A decoded word.
    short : Out(1)
        There are fewer values than the marks say.
    long : Out(1)
        With the last word: there are more.
    wrong : Out(1)
        Marks that cannot be.
    idle : Out(1)
        No bitmap is at hand: without more marks nothing will come.
    spare : Out(1)
        The word of marks at hand is not needed, if no other word of weights is.
    """

    def __init__(self, config: Config, tag_bits: int) -> None:
        self.config, self.d = config, Derived(config)
        width = self.d.dma_bytes
        super().__init__({
            **left_out_ports(config), **({"zero": In(signed(8))} if self.d.weight_zero else {}),
            "start": In(1), "format": In(3), "bits": In(3), "codebook": In(1), "values": In(16),
            "tag": In(tag_bits), "tagged": In(1), "step": Out(1), "word": In(8 * width), "mark": In(1),
            "mark_wanted": Out(1), "value_valid": In(1), "value": In(8 * width), "value_ready": Out(1),
            "book_write": In(1), "book_addr": In(8), "book_data": In(8),
            "valid": Out(1), "out": Out(self.d.weight_width * width), "out_tag": Out(tag_bits), "short": Out(1),
            "long": Out(1), "wrong": Out(1), "idle": Out(1), "spare": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self.d.dma_bytes
        m.submodules.marks = marks = WeightMarks(self.config)
        bitmap, tag = Signal(width, reset_less=True), Signal(len(self.tag), reset_less=True)
        # marks -> count
        b_valid, c_valid, c_go = Signal(), Signal(), Signal()
        b_ready, c_ready = ~b_valid | ~c_valid | c_go, ~c_valid | c_go
        m.d.comb += [
            marks.start.eq(self.start), marks.format.eq(self.format), marks.fill.eq(self.mark),
            marks.word.eq(self.word), self.mark_wanted.eq(marks.wanted),
            self.step.eq(self.tagged & marks.valid & b_ready), marks.step.eq(self.step | self.tagged & marks.partial),
            self.idle.eq(~marks.valid & ~marks.partial & ~marks.busy), self.spare.eq(marks.spare)]
        if self.d.leaves_out:
            m.d.comb += [marks.free.eq(self.free), self.jump.eq(marks.jump)]
        if self.d.leaves_rows:
            m.d.comb += self.row_end.eq(marks.row_end)
        with m.If(b_ready):
            m.d.sync += [b_valid.eq(self.step), bitmap.eq(marks.bitmap), tag.eq(self.tag)]
        # count -> take
        c_bitmap, c_tag = Signal(width, reset_less=True), Signal(len(tag), reset_less=True)
        lower = [Signal(range(width), name=f"lower{n}", reset_less=True) for n in range(width)]
        total = Signal(range(width + 1), reset_less=True)
        sums = ranks(m, bitmap)
        with m.If(c_ready):
            m.d.sync += [c_valid.eq(b_valid), c_bitmap.eq(bitmap), c_tag.eq(tag), total.eq(sums[width]),
                         *(rank.eq(sums[n]) for n, rank in enumerate(lower))]

        ring = self._values(m)
        m.d.comb += [ring.take.eq(total), c_go.eq(c_valid & ring.enough), ring.take_enable.eq(c_go)]
        self._account(m, ring, total, c_valid, c_go, c_tag[TAG_LAST])

        # take -> book
        parts = rotate([ring.parts.word_select(n, 8) for n in range(width)], ring.head)
        o_valid, o_tag = Signal(), Signal(len(tag), reset_less=True)
        o_bytes, o_mask = Signal(8 * width, reset_less=True), Signal(width, reset_less=True)
        # No more than n values lie before the n-th weight.
        m.d.sync += [o_valid.eq(c_go), o_tag.eq(c_tag), o_mask.eq(c_bitmap), o_bytes.eq(Cat(
            pick(parts[:1 << n.bit_length()], rank) for n, rank in enumerate(lower)))]
        self._book(m, o_valid, o_tag, o_bytes, o_mask)
        with m.If(self.start):
            m.d.sync += [b_valid.eq(0), c_valid.eq(0)]
        m.d.comb += self.wrong.eq(marks.wrong & self.step)
        return m

    def _values(self, m: Module) -> AlignedRing:
        """Words of values through the ring of planes into the ring of values."""
        width = self.d.dma_bytes
        m.submodules.planes = planes = AlignedRing(PLANES, width)
        m.submodules.ring = ring = AlignedRing(width, 8)
        move, wanted = Signal(), Signal(range(PLANES + 1))
        m.d.comb += [
            planes.push.eq(self.value_valid & planes.room), planes.word.eq(self.value),
            self.value_ready.eq(planes.room), wanted.eq(self.bits + 1), planes.take.eq(wanted),
            move.eq(planes.enough & ring.room), planes.take_enable.eq(move), planes.clear.eq(self.start),
            ring.push.eq(move), ring.clear.eq(self.start)]
        stored = [planes.parts.word_select(n, width) for n in range(PLANES)]
        turned = rotate(stored, planes.head)
        top = pick(turned, self.bits) & (~self.codebook).replicate(width)
        rows = [turned[0]] + [Mux(self.bits >= k, turned[k], top) for k in range(1, PLANES)]
        m.d.comb += ring.word.eq(Cat(Cat(row[n] for row in rows) for n in range(width)))
        return ring

    def _account(self, m: Module, ring: AlignedRing, total: Signal, valid: Signal, go: Signal, last: Value) -> None:
        """Follow which word of values the weights so far have come to, whatever has been fetched."""
        log = (self.d.dma_bytes - 1).bit_length()
        closed, parts, left = Signal(16), Signal(range(PLANES + 1)), Signal(log)
        block, word, some = Signal(), Signal(), Signal()
        m.d.comb += [
            left.eq(-ring.head), block.eq(total > left), word.eq(block & (self.bits >= parts)), some.eq(closed != 0),
            self.short.eq(valid & word & ~some), self.long.eq(go & last & (closed != word))]
        with m.If(go):
            m.d.sync += closed.eq(closed - word)
            with m.If(block):
                m.d.sync += parts.eq(parts + Mux(word, PLANES, 0) - self.bits - 1)
        with m.If(self.start):
            m.d.sync += [closed.eq(self.values), parts.eq(0)]

    def _book(self, m: Module, valid: Signal, tag: Signal, raw: Signal, mask: Signal) -> None:
        """Look values up, or let them pass; weights without one are zero."""
        width = self.d.dma_bytes
        direct, used = Signal(8 * width, reset_less=True), Signal(width, reset_less=True)
        m.d.sync += [self.valid.eq(valid), self.out_tag.eq(tag), direct.eq(raw), used.eq(mask)]
        values = [direct.word_select(n, 8) for n in range(width)]
        if self.config.codebook:
            for n in range(width):
                memory = Memory(shape=8, depth=self.config.codebook, init=[])
                write, read = memory.write_port(), memory.read_port()
                m.submodules[f"book{n}"] = memory
                m.d.comb += [write.en.eq(self.book_write), write.addr.eq(self.book_addr),
                             write.data.eq(self.book_data), read.addr.eq(raw.word_select(n, 8))]
                values[n] = Mux(self.codebook, read.data, values[n])
        if self.d.weight_zero:
            values = [less_zero(value, self.zero) for value in values]
        m.d.comb += self.out.eq(Cat(value & used[n].replicate(len(value)) for n, value in enumerate(values)))
