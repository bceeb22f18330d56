"""The zero-skipping walker: only the positions at which both operands may be other than zero.

A segment is cut into windows of `WINDOW` positions that start where the streamed operand's window does. A window takes
a cycle in each of these stages; windows without a position are dropped on their way to a queue, and one position a
cycle comes out of it, so that neither empty windows nor ends of segments or rounds cost a cycle while the queue is not
empty.

=====  ==============================================================================
cycle  work
=====  ==============================================================================
0      read addresses of the bits of both operands
1, 2   memory output, registered
3      vector bits shifted to the streamed ones, coarse; positions that the segment has
4      fine; AND
5, 6   count
7      merge: the last position of a round is only known when none follows
=====  ==============================================================================

A round without a position gives one whose weight counts as zero. Segments whose streamed operand advances by other
steps than one, and maxima, which zeros take part in, are walked whole.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.delay import delayed
from hwgen.hardware.fifo import Fifo
from hwgen.hardware.nonzero import WINDOW, WINDOW_BITS, ValueBits, VectorBits
from hwgen.hardware.select import pick
from hwgen.hardware.walker import Walker

QUEUE = 16
"""Windows under way and queued."""
STAGES = 7
ALL = (1 << WINDOW) - 1


def skips(config: Config, operand: str) -> bool:
    """Return whether zeros of ``operand`` (weight or activation) are skipped."""
    return config.skip in (operand, "both")


class SkipWalker(Walker):
    """A `Walker` that skips; it has a copy of the operands' zero bits.

    Attributes
    ----------
    weight_write, weight_addr, weight_bits, act_write, act_addr, act_bits : In
        Set the bits of a word (one a value: not zero), with the operands.
    empty : Out(1)
        A window without a position comes out of the search.
    hold : In(1)
        Two cycles ahead of what `Walker` wants: the position comes two cycles after it leaves the queue.
    """

    def __init__(self, config: Config) -> None:
        ports: dict[str, wiring.Member] = {}
        for name, words in (("weight", config.wmem_words), ("act", config.amem_words)):
            ports |= {f"{name}_write": In(1), f"{name}_addr": In(bits_for(words - 1)),
                      f"{name}_bits": In(Derived(config).word)}
        ports["empty"] = Out(1)
        super().__init__(config, ports)

    def _positions(self, m: Module, i: data.View, i_valid: Signal, take: Signal) -> None:
        shape = self.shape
        window = data.StructLayout({
            "kind": shape.kind, "s_step": len(i.s_step), "acc": shape.acc_bits, "v": shape.v_bits, "s": shape.s_bits,
            "sparse": 1, "fresh": 1, "first_round": 1, "last_round": 1, "end": 1})
        at = [Signal(window, name=f"window{n}", reset_less=True) for n in range(STAGES)]
        valid = [Signal(name=f"window_valid{n}") for n in range(STAGES)]
        for n in range(STAGES - 1):
            m.d.sync += [at[n + 1].eq(at[n]), valid[n + 1].eq(valid[n])]
        room = Signal()
        span = self._windows(m, i, i_valid, take, room, at[0], valid[0])
        mask, count = self._count(m, self._match(m, at, span))
        queue = self._queue(m, at[-1], valid[-1], mask, count, valid[0], room)
        self._emit(m, queue)

    def _windows(
        self, m: Module, i: data.View, i_valid: Signal, take: Signal, room: Signal, window: data.View, issued: Signal
    ) -> Signal:
        """Cut segments into windows; return which of a window's positions the segment has (cycle 3)."""
        shape = self.shape
        j = Signal(data.StructLayout({**{n: i.shape()[n].shape for n in (
            "kind", "s_step", "acc", "last_segment", "first_round", "last_round", "v", "s")},
            "sparse": 1, "low": WINDOW_BITS, "extent": shape.v_bits + 1}), name="j", reset_less=True)
        j_valid, active, load = Signal(), Signal(), Signal()
        sparse, low = Signal(), Signal(WINDOW_BITS)
        m.d.comb += [
            sparse.eq((i.s_step == 1) & ~i.kind.max), low.eq(Mux(sparse, i.s[:WINDOW_BITS], 0)),
            take.eq(i_valid & (~j_valid | load))]
        with m.If(take):
            m.d.sync += [j_valid.eq(1), j.sparse.eq(sparse), j.low.eq(low), j.extent.eq(i.more + low),
                         j.v.eq(i.v - low), *(j[n].eq(i[n]) for n in (
                             "kind", "s_step", "acc", "last_segment", "first_round", "last_round", "s"))]
        with m.Elif(load):
            m.d.sync += j_valid.eq(0)

        left, single, tail, last_segment = (
            Signal(shape.v_bits + 1 - WINDOW_BITS), Signal(), Signal(WINDOW_BITS), Signal())
        from_, to = Signal(WINDOW_BITS), Signal(WINDOW_BITS)
        windows = j.extent[WINDOW_BITS:]
        m.d.comb += [issued.eq(active & room), load.eq(j_valid & (~active | issued & single)),
                     to.eq(Mux(single, tail, WINDOW - 1))]
        with m.If(load):
            m.d.sync += [
                active.eq(1), left.eq(windows), single.eq(windows == 0), tail.eq(j.extent[:WINDOW_BITS]),
                from_.eq(j.low), last_segment.eq(j.last_segment), window.fresh.eq(1),
                *(window[n].eq(j[n]) for n in (
                    "kind", "s_step", "acc", "v", "s", "sparse", "first_round", "last_round")),
                window.end.eq(j.last_segment & (windows == 0))]
        with m.Elif(issued):
            m.d.sync += [
                active.eq(~single), left.eq(left - 1), single.eq(left == 1), from_.eq(0), window.fresh.eq(0),
                window.v[WINDOW_BITS:].eq(window.v[WINDOW_BITS:] + 1),
                window.s[WINDOW_BITS:].eq(window.s[WINDOW_BITS:] + 1), window.end.eq(last_segment & (left == 1))]
        ends = delayed(m, Cat(from_, to), 2, "span_ends", reset_less=True)
        span = Signal(WINDOW, reset_less=True)
        m.d.sync += span.eq(
            (Const(ALL, WINDOW) << ends[:WINDOW_BITS])[:WINDOW] & (Const(ALL, WINDOW) >> ~ends[WINDOW_BITS:]))
        return span

    def _bits(self, m: Module, at: data.View) -> dict[str, Signal]:
        """Read the bits of both memories for the window in cycle 0; return them, registered (cycle 2)."""
        c, d, found = self.shape.config, Derived(self.shape.config), {}
        for name, words in (("weight", c.wmem_words), ("act", c.amem_words)):
            if not skips(c, {"act": "activation"}.get(name, name)):
                continue
            write, addr, bits = (getattr(self, f"{name}_{port}") for port in ("write", "addr", "bits"))
            m.submodules[f"{name}_vectors"] = vectors = VectorBits(words, d.vectors_per_word)
            row = at.v[WINDOW_BITS:]
            if name == "act" and "depthwise" in c.mappings:
                row = Mux(at.kind.depthwise, at.s[WINDOW_BITS:], row)
            vector_bits = Cat(bits[n:n + c.vector].any() for n in range(0, d.word, c.vector))
            m.d.comb += [vectors.write.eq(write), vectors.addr.eq(addr), vectors.bits.eq(vector_bits),
                         vectors.at.eq(row)]
            found[f"{name}_vectors"] = Signal(2 * WINDOW, name=f"{name}_pair", reset_less=True)
            m.d.sync += found[f"{name}_vectors"].eq(vectors.pair)
            if name == "act" or "pixel" in c.mappings:
                m.submodules[f"{name}_values"] = values = ValueBits(words, d.word)
                m.d.comb += [values.write.eq(write), values.addr.eq(addr), values.bits.eq(bits),
                             values.at.eq(at.s[WINDOW_BITS:])]
                found[f"{name}_values"] = Signal(WINDOW, name=f"{name}_window", reset_less=True)
                m.d.sync += found[f"{name}_values"].eq(values.window)
        return found

    def _match(self, m: Module, at: list[data.View], span: Signal) -> Signal:
        """Cycles 0 to 4: which positions of the window both operands have."""
        found, kind = self._bits(m, at[0]), at[2].kind
        all_ones = Const(-1, 2 * WINDOW)
        streamed = Mux(kind.depthwise, found.get("act_vectors", all_ones)[:WINDOW], found.get("act_values", all_ones))
        if "pixel" in self.shape.config.mappings:
            streamed = Mux(kind.pixel, found.get("weight_values", all_ones), streamed)
        vectors = Mux(kind.pixel, found.get("act_vectors", all_ones), found.get("weight_vectors", all_ones))
        s_bits, v_part, fits = Signal(WINDOW), Signal(WINDOW + 7), Signal(WINDOW, name="fits", reset_less=True)
        coarse = pick([vectors[8 * n:8 * n + WINDOW + 7] for n in range(4)], at[2].v[3:WINDOW_BITS])
        whole = (~at[2].sparse).replicate(WINDOW + 7)
        m.d.sync += [s_bits.eq(streamed[:WINDOW] | whole[:WINDOW]), v_part.eq(coarse | whole),
                     fits.eq(pick([v_part[n:n + WINDOW] for n in range(8)], at[3].v[:3]) & s_bits & span)]
        return fits

    def _count(self, m: Module, fits: Signal) -> tuple[Signal, Signal]:
        """Cycles 5 and 6: count; returns the mask again and the count."""
        mask = delayed(m, fits, 2, "counted", reset_less=True)
        parts = [Signal(4, name=f"count{n}", reset_less=True) for n in range(4)]
        count = Signal(range(WINDOW + 1), reset_less=True)
        m.d.sync += [part.eq(sum(fits[8 * n + k] for k in range(8))) for n, part in enumerate(parts)]
        m.d.sync += count.eq((parts[0] + parts[1]) + (parts[2] + parts[3]))
        return mask, count

    def _queue(
        self, m: Module, window: data.View, valid: Signal, mask: Signal, count: Signal, issued: Signal, room: Signal
    ) -> Fifo:
        """Cycle 7: drop what is empty, mark what ends a round; returns the queue."""
        entry = data.StructLayout({
            "window": window.shape(), "mask": WINDOW, "count": len(count), "first": 1, "blank": 1})
        m.submodules.queue = queue = Fifo(entry, QUEUE)
        held, held_valid, starts = Signal(entry, reset_less=True), Signal(), Signal(init=1)
        some, closes, same, push, load = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.empty.eq(valid & (count == 0)), some.eq(valid & (count != 0)), closes.eq(self.empty & window.end),
            same.eq(held_valid & ~held.window.end), load.eq(some | closes & ~same),
            push.eq(held_valid & (held.window.end | some | closes)),
            queue.i.valid.eq(push), queue.i.payload.eq(held)]
        with m.If(closes & same):
            m.d.comb += queue.i.p.window.end.eq(1)
        with m.If(load):
            m.d.sync += [
                held_valid.eq(1), held.window.eq(window), held.first.eq(starts), held.blank.eq(closes),
                held.mask.eq(Mux(closes, 1, mask)), held.count.eq(Mux(closes, 1, count))]
        with m.Elif(push):
            m.d.sync += held_valid.eq(0)
        with m.If(valid):
            m.d.sync += starts.eq(window.end | starts & ~some)

        under_way, popped = Signal(range(QUEUE + 1)), queue.o.valid & queue.o.ready
        m.d.sync += [under_way.eq(under_way + issued - (valid & ~load) - popped), room.eq(
            under_way + issued < QUEUE - 1)]
        return queue

    def _emit(self, m: Module, queue: Fifo) -> None:
        """Give the positions of a window, one a cycle, from the lowest; two cycles later they are addresses."""
        head = queue.o.p
        now, now_valid, single, lowest = (
            Signal(head.shape(), name="now", reset_less=True), Signal(), Signal(), Signal())
        x = Signal(head.window.shape(), name="x", reset_less=True)
        x_valid, x_first, x_last, x_fresh, x_blank, one = (
            Signal(), Signal(), Signal(), Signal(), Signal(), Signal(WINDOW, name="one", reset_less=True))
        guarded = head.first & head.window.first_round & head.window.kind.accumulate
        m.d.comb += queue.o.ready.eq((~now_valid | single) & ~(guarded & (self.hold | now_valid | x_valid)))
        with m.If(queue.o.valid & queue.o.ready):
            m.d.sync += [now_valid.eq(1), now.eq(head), single.eq(head.count == 1), lowest.eq(1)]
        with m.Else():
            m.d.sync += [now_valid.eq(now_valid & ~single), now.mask.eq(now.mask & (now.mask - 1)),
                         now.count.eq(now.count - 1), single.eq(now.count == 2), lowest.eq(0)]
        m.d.sync += [
            x_valid.eq(now_valid), x.eq(now.window), one.eq(now.mask & ~(now.mask - 1)), x_blank.eq(now.blank),
            x_first.eq(now.first & lowest), x_last.eq(now.window.end & single), x_fresh.eq(now.window.fresh & lowest)]

        p, index, s_next, s_here = self.position, Signal(WINDOW_BITS), Signal(len(x.s)), Signal(len(x.s))
        m.d.comb += [
            index.eq(Cat(Cat(one[n] for n in range(WINDOW) if n >> b & 1).any() for b in range(WINDOW_BITS))),
            s_here.eq(Mux(x_fresh, x.s, s_next))]
        with m.If(x_valid):
            m.d.sync += s_next.eq(s_here + x.s_step)
        m.d.sync += [
            self.valid.eq(x_valid), self.opens.eq(x_first & x.first_round), p.kind.eq(x.kind), p.v.eq(x.v + index),
            p.s.eq(Mux(x.sparse, Cat(index, x.s[WINDOW_BITS:]), s_here)), p.acc.eq(x.acc),
            p.first.eq(x_first & x_valid), p.last.eq(x_last), p.end.eq(x_last & x.last_round),
            p.blank.eq(x_blank | ~x_valid)]
