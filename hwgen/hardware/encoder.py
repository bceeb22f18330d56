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
2      vector bits shifted to the streamed ones, by 16; 3: by 8 and 4; positions that the segment has
4      by 2 and 1; AND
5      octets of the window that have any
6      merge: the last position of a round is only known when none follows
=====  ==============================================================================

A round without a position gives one whose weight counts as zero. Segments whose streamed operand advances by other
steps than one, and maxima, which zeros take part in, are walked whole.
"""

from __future__ import annotations

from functools import reduce
from operator import and_

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.fifo import Backlog
from hwgen.hardware.interfaces import row_marks
from hwgen.hardware.lowest import lowest, without_lowest
from hwgen.hardware.nonzero import WINDOW, WINDOW_BITS, ValueBits, VectorBits
from hwgen.hardware.select import pick
from hwgen.hardware.walker import Walker

QUEUE = 16
"""Windows under way and queued."""
STAGES = 6
OCTETS = WINDOW // 8
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
        ports |= {f"weight_{name}": In(1) for name in row_marks(config)}
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
        room, row_after = Signal(), Signal(shape.v_bits - WINDOW_BITS)
        m.d.comb += row_after.eq(at[0].v[WINDOW_BITS:] + 1)
        span = self._windows(m, i, i_valid, take, room, at[0], valid[0], row_after)
        fits = self._match(m, at, row_after, span)
        mask, octets = Signal(WINDOW, name="mask", reset_less=True), Signal(OCTETS, reset_less=True)
        m.d.sync += [mask.eq(fits), octets.eq(Cat(fits.word_select(n, 8).any() for n in range(OCTETS)))]
        queue = self._queue(m, at[-1], valid[-1], mask, octets, valid[0], room)
        self._emit(m, queue)

    def _windows(
        self, m: Module, i: data.View, i_valid: Signal, take: Signal, room: Signal, window: data.View, issued: Signal,
        row_after: Signal
    ) -> Signal:
        """Cut segments into windows; return which of a window's positions the segment has (cycle 2)."""
        shape = self.shape
        same = ("kind", "s_step", "acc", "last_segment", "first_round", "last_round", "s")
        segment = data.StructLayout({**{n: i.shape()[n].shape for n in (*same, "v")},
                                     "sparse": 1, "low": WINDOW_BITS, "extent": shape.v_bits + 1})
        # Two wait here: whether a segment is taken must not depend, through all stages before, on the queue's room.
        new, behind, j = Signal(segment), Signal(segment, reset_less=True), Signal(segment, name="j", reset_less=True)
        j_valid, behind_valid, active, load = Signal(), Signal(), Signal(), Signal()
        sparse, low = Signal(), Signal(WINDOW_BITS)
        m.d.comb += [
            sparse.eq((i.s_step == 1) & ~i.kind.max), low.eq(Mux(sparse, i.s[:WINDOW_BITS], 0)),
            new.sparse.eq(sparse), new.low.eq(low), new.extent.eq(i.more + low), new.v.eq(i.v - low),
            *(new[n].eq(i[n]) for n in same), take.eq(i_valid & ~behind_valid)]
        with m.If(take):
            m.d.sync += behind.eq(new)
        with m.If(~j_valid | load):
            m.d.sync += [j_valid.eq(behind_valid | take), behind_valid.eq(0), j.eq(Mux(behind_valid, behind, new))]
        with m.Elif(take):
            m.d.sync += behind_valid.eq(1)

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
                window.v[WINDOW_BITS:].eq(row_after), window.s[WINDOW_BITS:].eq(window.s[WINDOW_BITS:] + 1),
                window.end.eq(last_segment & (left == 1))]
        return self._span(m, from_, to)

    def _span(self, m: Module, from_: Signal, to: Signal) -> Signal:
        """Return a bit for each of the positions ``from_`` .. ``to``, two cycles later.

        The octets in which they are begin and end like the first and the last one, or they are full.
        """
        begin, end = (Signal(8, name=name, reset_less=True) for name in ("begins_at", "ends_at"))
        m.d.sync += [begin.eq((0xFF << from_[:3])[:8]), end.eq(Const(0xFF, 8) >> ~to[:3])]
        span = Signal(WINDOW, reset_less=True)
        for n in range(OCTETS):
            begins, ends, none = (Signal(name=f"{name}{n}", reset_less=True) for name in ("begins", "ends", "none"))
            m.d.sync += [begins.eq(from_[3:] == n), ends.eq(to[3:] == n), none.eq((from_[3:] > n) | (to[3:] < n))]
            here = span.word_select(n, 8)
            with m.If(none):
                m.d.sync += here.eq(0)
            with m.Else():
                m.d.sync += here.eq((begin | (~begins).replicate(8)) & (end | (~ends).replicate(8)))
        return span

    def _at_hand(
        self, m: Module, name: str, marks: tuple[str, ...]
    ) -> tuple[Value, Value, Value, dict[str, Value]]:
        """Return what sets bits (write, address, bits, marks) from registers of this lane, a cycle later.

        The grid's registers are far from most lanes, and old bits are read and changed in the cycle in which they are
        written. A clock enable of its own keeps the registers of a lane apart from those of others.
        """
        write, kept = Signal(name=f"{name}_sets"), []
        m.d.sync += write.eq(getattr(self, f"{name}_write"))
        for port in ("addr", "bits", *marks):
            source = getattr(self, f"{name}_{port}")
            kept.append(Signal.like(source, name=f"{name}_set_{port}", reset_less=True))
            with m.If(getattr(self, f"{name}_write")):
                m.d.sync += kept[-1].eq(source)
        return write, kept[0], kept[1], dict(zip(marks, kept[2:], strict=True))

    def _bits(self, m: Module, at: data.View, row_after: Signal) -> dict[str, Value]:
        """Read the bits of both memories for the window in cycle 0; return them in cycle 1."""
        c, d, found = self.shape.config, Derived(self.shape.config), {}
        for name, words in (("weight", c.wmem_words), ("act", c.amem_words)):
            if not skips(c, {"act": "activation"}.get(name, name)):
                continue
            leaves_out = name == "weight" and d.leaves_out
            write, addr, bits, marks = self._at_hand(m, name, row_marks(c) if leaves_out else ())
            m.submodules[f"{name}_vectors"] = vectors = VectorBits(
                words, d.vectors_per_word, tuple(marks), d.bits_words)
            row = at.v[WINDOW_BITS:]
            if name == "act" and "depthwise" in c.mappings:
                row = Mux(at.kind.depthwise, at.s[WINDOW_BITS:], row)
            vector_bits = Cat(bits[n:n + c.vector].any() for n in range(0, d.word, c.vector))
            m.d.comb += [vectors.write.eq(write), vectors.addr.eq(addr), vectors.bits.eq(vector_bits),
                         vectors.at.eq(row), vectors.after.eq(row_after)]
            m.d.comb += [getattr(vectors, mark).eq(value) for mark, value in marks.items()]
            found[f"{name}_vectors"] = vectors.pair
            if name == "act" or "pixel" in c.mappings:
                m.submodules[f"{name}_values"] = values = ValueBits(words, d.word, leaves_out)
                if leaves_out:
                    m.d.comb += values.fresh.eq(marks["fresh"])
                m.d.comb += [values.write.eq(write), values.addr.eq(addr), values.bits.eq(bits),
                             values.at.eq(at.s[WINDOW_BITS:])]
                found[f"{name}_values"] = values.window
        return found

    def _match(self, m: Module, at: list[data.View], row_after: Signal, span: Signal) -> Signal:
        """Cycles 0 to 4: which positions of the window both operands have."""
        c, found, kind, whole = self.shape.config, self._bits(m, at[0], row_after), at[1].kind, ~at[1].sparse
        # The streamed operand is one of these, the others are all ones: a register that is set, and starts so, takes no
        # logic.
        streamed = []
        for name, used in (("act_values", ~kind.pixel & ~kind.depthwise), ("weight_values", kind.pixel),
                           ("act_vectors", kind.depthwise if "depthwise" in c.mappings else None)):
            if name not in found or used is None:
                continue
            register = Signal(WINDOW, name=f"{name}_streamed", init=ALL, reset_less=True)
            with m.If(whole | ~used):
                m.d.sync += register.eq(ALL)
            with m.Else():
                m.d.sync += register.eq(found[name][:WINDOW])
            streamed.append(register)

        choices = [found.get("weight_vectors")] + ([found.get("act_vectors")] if "pixel" in c.mappings else [])
        pairs = [Const(-1, 2 * WINDOW) if pair is None else pair for pair in choices]
        v16 = Signal(WINDOW + 15, init=(1 << WINDOW + 15) - 1, reset_less=True)
        v4 = Signal(WINDOW + 3, reset_less=True)
        s_bits, fits = Signal(WINDOW, reset_less=True), Signal(WINDOW, name="fits", reset_less=True)
        with m.If(whole):
            m.d.sync += v16.eq(-1)
        with m.Else():
            m.d.sync += v16.eq(pick([pick([pair[n:n + len(v16)] for pair in pairs], kind.pixel)
                                     for n in (0, 16)], at[1].v[4]))
        m.d.sync += [
            v4.eq(pick([v16[n:n + len(v4)] for n in range(0, 16, 4)], at[2].v[2:4])),
            s_bits.eq(reduce(and_, streamed, span)),
            fits.eq(pick([v4[n:n + WINDOW] for n in range(4)], at[3].v[:2]) & s_bits)]
        return fits

    def _queue(
        self, m: Module, window: data.View, valid: Signal, mask: Signal, octets: Signal, issued: Signal, room: Signal
    ) -> Backlog:
        """Cycle 6: drop what is empty, mark what ends a round; returns the queue."""
        entry = data.StructLayout({"window": window.shape(), "mask": WINDOW, "octets": OCTETS, "first": 1})
        m.submodules.queue = queue = Backlog(entry, QUEUE)
        held, held_valid, starts = Signal(entry, reset_less=True), Signal(), Signal(init=1)
        some, closes, same, push, load = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.empty.eq(valid & ~octets.any()), some.eq(valid & octets.any()), closes.eq(self.empty & window.end),
            same.eq(held_valid & ~held.window.end), load.eq(some | closes & ~same),
            push.eq(held_valid & (held.window.end | some | closes)),
            queue.i.valid.eq(push), queue.i.payload.eq(held)]
        with m.If(closes & same):
            m.d.comb += queue.i.p.window.end.eq(1)
        with m.If(load):
            m.d.sync += [held_valid.eq(1), held.window.eq(window), held.first.eq(starts), held.mask.eq(mask),
                         held.octets.eq(octets)]
        with m.Elif(push):
            m.d.sync += held_valid.eq(0)
        with m.If(valid):
            m.d.sync += starts.eq(window.end | starts & ~some)

        # A cycle late: when a window leaves follows from long logic.
        under_way, popped = Signal(range(QUEUE + 1)), Signal()
        m.d.sync += [
            popped.eq(queue.o.valid & queue.o.ready),
            under_way.eq(under_way + issued - (valid & ~load) - popped), room.eq(under_way + issued < QUEUE - 1)]
        return queue

    def _emit(self, m: Module, queue: Backlog) -> None:
        """Give the positions of a window, one a cycle, from the lowest: octet by octet, of those that have any.

        A blank position is that of a window without octets.
        """
        head = queue.o.p
        now, now_valid, more_octets, octet, load = (
            Signal(head.shape(), name="now", reset_less=True), Signal(), Signal(OCTETS), Signal(range(OCTETS)),
            Signal())
        x = Signal(head.window.shape(), name="x", reset_less=True)
        x_valid, x_first, x_blank, x_octet, bits, more = (
            Signal(), Signal(), Signal(), Signal(range(OCTETS)), Signal(8, name="bits", reset_less=True), Signal(8))
        guarded = head.first & head.window.first_round & head.window.kind.accumulate
        m.d.comb += [
            more_octets.eq(without_lowest(now.octets)), octet.eq(lowest(now.octets)),
            more.eq(without_lowest(bits)), load.eq(now_valid & (~x_valid | ~more.any())),
            queue.o.ready.eq((~now_valid | load & ~more_octets.any())
                             & ~(guarded & (self.hold | now_valid | x_valid)))]
        with m.If(queue.o.valid & queue.o.ready):
            m.d.sync += [now_valid.eq(1), now.eq(head)]
        with m.Elif(load):
            m.d.sync += [now_valid.eq(more_octets.any()), now.octets.eq(more_octets), now.first.eq(0),
                         now.window.fresh.eq(0)]
        with m.If(load):
            m.d.sync += [
                x_valid.eq(1), x.eq(now.window), x.end.eq(now.window.end & ~more_octets.any()), x_first.eq(now.first),
                x_blank.eq(~now.octets.any()), x_octet.eq(octet),
                bits.eq(pick([now.mask.word_select(n, 8) for n in range(OCTETS)], octet))]
        with m.Else():
            m.d.sync += [x_valid.eq(x_valid & more.any()), bits.eq(more), x_first.eq(0), x.fresh.eq(0)]

        p, index = self.position, Signal(WINDOW_BITS)
        last = x.end & ~more.any()
        m.d.comb += index.eq(Cat(lowest(bits), x_octet))
        m.d.sync += [
            self.valid.eq(x_valid), self.opens.eq(x_first & x.first_round), p.kind.eq(x.kind),
            p.v.eq(x.v + index), p.acc.eq(x.acc), p.first.eq(x_first), p.last.eq(last),
            p.end.eq(last & x.last_round), p.blank.eq(x_blank | ~x_valid)]
        with m.If(x_valid):
            m.d.sync += p.s.eq(Mux(x.sparse, Cat(index, x.s[WINDOW_BITS:]), Mux(x.fresh, x.s, p.s + x.s_step)))
