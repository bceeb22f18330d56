"""One lane: operand memories, walker, P multipliers, accumulator memory; converted to its own Verilog module.

A position that the walker gives in cycle 0 passes these stages (registers at the start of each cycle):

=====  ==============================================================================
cycle  work
=====  ==============================================================================
0      read addresses of wmem and amem
1      block RAM output
2      operand selection; readback address of the accumulator when ``accumulate``
3      multiplication
4      maximum (`max`): keep the larger product
5      accumulation
6      write of the accumulator with the last position of a round; readable in cycle 7
=====  ==============================================================================
"""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.back import verilog
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.encoder import SkipWalker
from hwgen.hardware.interfaces import row_marks
from hwgen.hardware.select import pick
from hwgen.hardware.walker import BLOCK_RAM, Walker, WalkShape

LANE_MODULE = "hwgen_lane"
"""Name of the Verilog module of a lane."""


def _slice(value: Value, index: Value, width: int) -> Value:
    """Return the ``index``-th slice of ``width`` bits."""
    return pick([value[i:i + width] for i in range(0, len(value), width)], index)


def lane_members(config: Config) -> dict[str, wiring.Member]:
    """Return the ports of `Lane`."""
    shape, d = WalkShape(config), Derived(config)
    bits = {} if config.skip == "none" else {"weight_bits": In(d.word), "act_bits": In(d.word), "empty": Out(1)}
    bits |= {f"weight_{mark}": In(1) for mark in row_marks(config)}
    return bits | {
        "start": In(1), "job": In(shape.job), "ready": Out(1), "generating": Out(1),
        "walking": Out(1), "opens": Out(1), "done": Out(1),
        "segment_write": In(1), "segment_index": In(shape.seg_bits), "segment": In(shape.segment),
        "weight_write": In(1), "weight_addr": In(bits_for(config.wmem_words - 1)),
        "weight_data": In(d.word * config.weight_bits),
        "act_write": In(1), "act_addr": In(bits_for(config.amem_words - 1)),
        "act_data": In(d.word * (config.act_bits + 1)),
        "drain": In(1), "drain_addr": In(shape.acc_bits), "drain_data": Out(config.vector * config.acc_bits),
        "readback_next": Out(1)}


class Lane(wiring.Component):
    """A lane; ports are plain vectors, the grid connects them by name.

    Attributes
    ----------
    start, job, ready, generating, segment_write, segment_index, segment
        See `hwgen.hardware.walker.Walker`.
    walking, opens : Out(1)
        A position is walked in this cycle; it is the first of its job.
    done : Out(1)
        The last accumulator of a job is written in this cycle: reads from the next cycle on see it.
    weight_bits, act_bits : In
        With ``skip``: of every value of a word that is written, whether it is not zero.
    weight_fresh, weight_wide : In(1)
        With a write, `hwgen.hardware.interfaces.row_marks`.
    empty : Out(1)
        With ``skip``: a window without a position was dropped.
    weight_write, weight_addr, weight_data : In
        Write a word (W values of ``weight_bits``) of wmem, visible to positions walked from the next cycle on.
    act_write, act_addr, act_data : In
        The same for amem (W values of ``act_bits`` + 1).
    drain, drain_addr : In
        Read an accumulator vector; illegal in the cycle in which the lane reads it (``readback_next``).
    drain_data : Out
        The vector two cycles later, 0 when nothing was read then.
    readback_next : Out(1)
        The accumulator memory is read for ``accumulate`` in the next cycle; with ``skip``, in the one after that.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.shape = config, WalkShape(config)
        self._live: list[Signal] = []  # with ``gate``: the operands of this multiplier are new
        super().__init__(lane_members(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dense = self.config.skip == "none"
        m.submodules.walker = walker = Walker(self.config) if dense else SkipWalker(self.config)
        ready, generating = self._jobs(m, walker)
        for name in ("segment_write", "segment_index", "segment"):
            m.d.comb += Value.cast(getattr(walker, name)).eq(Value.cast(getattr(self, name)))
        for name in () if dense else (f"{a}_{b}" for a in ("weight", "act") for b in ("write", "addr", "bits")):
            m.d.comb += getattr(walker, name).eq(getattr(self, name))
        for name in (f"weight_{mark}" for mark in row_marks(self.config)):
            m.d.comb += getattr(walker, name).eq(getattr(self, name))
        if not dense:
            m.d.comb += self.empty.eq(walker.empty)
        # The position in cycle n of the table above is `at[n]`.
        at = [walker.position] + [Signal(self.shape.position, name=f"at{n}", reset_less=True) for n in range(1, 7)]
        valid = [walker.valid] + [Signal(name=f"valid{n}") for n in range(1, 7)]
        for n in range(6):
            m.d.sync += [at[n + 1].eq(at[n]), valid[n + 1].eq(valid[n])]
        m.d.comb += [
            self.ready.eq(ready), self.generating.eq(generating), self.walking.eq(valid[0]),
            self.opens.eq(walker.opens), self.done.eq(valid[6] & at[6].end),
            walker.hold.eq(Cat(valid[:4 if dense else 2]).any())]
        weights, acts = self._operands(m, at)
        products = self._products(m, at, weights, acts)
        self._accumulate(m, at, valid, products)
        return m

    def _jobs(self, m: Module, walker: Walker) -> tuple[Value, Value]:
        """Hand jobs to the walker; returns ``ready`` and ``generating``.

        Skipping lanes have one waiting, since they do not all finish at the same time.
        """
        if self.config.skip == "none":
            m.d.comb += [walker.start.eq(self.start), Value.cast(walker.job).eq(Value.cast(self.job))]
            return walker.ready, walker.generating
        waiting, job = Signal(), Signal(self.shape.job, name="waiting_job", reset_less=True)
        m.d.comb += [walker.start.eq(waiting & walker.ready), Value.cast(walker.job).eq(job.as_value())]
        with m.If(self.start):
            m.d.sync += [waiting.eq(1), job.eq(self.job)]
        with m.Elif(walker.ready):
            m.d.sync += waiting.eq(0)
        return ~waiting, walker.generating | waiting

    def _memory(self, m: Module, name: str, width: int, depth: int) -> tuple[Value, Signal]:
        """Build an operand memory; return its read address and its output, registered."""
        m.submodules[name] = memory = Memory(shape=unsigned(width), depth=depth, init=[], attrs=BLOCK_RAM)
        write, read = memory.write_port(), memory.read_port()
        port = {"wmem": "weight", "amem": "act"}[name]
        out = Signal(width, name=f"{name}_out", reset_less=True)
        m.d.comb += [write.en.eq(getattr(self, f"{port}_write")), write.addr.eq(getattr(self, f"{port}_addr")),
                     write.data.eq(getattr(self, f"{port}_data"))]
        m.d.sync += out.eq(read.data)
        return read.addr, out

    def _operands(self, m: Module, at: list[data.View]) -> tuple[list[Signal], list[Signal]]:
        """Cycles 0 to 2: read both memories and select by mapping. Returns P weights and P activations (cycle 3)."""
        c, d = self.config, Derived(self.config)
        wb, ab = c.weight_bits, c.act_bits + 1
        pixel, depthwise = "pixel" in c.mappings, "depthwise" in c.mappings
        w_addr, w_word = self._memory(m, "wmem", d.word * wb, c.wmem_words)
        a_addr, a_word = self._memory(m, "amem", d.word * ab, c.amem_words)
        scalars, vectors = bits_for(d.word - 1), bits_for(d.vectors_per_word) - 1  # log2 of units per word
        p = at[0]
        by_scalar, by_vector, v_word = p.s[scalars:], p.s[vectors:], p.v[vectors:]
        m.d.comb += w_addr.eq(Mux(p.kind.pixel, by_scalar, v_word) if pixel else v_word)
        streamed = Mux(p.kind.depthwise, by_vector, by_scalar) if depthwise else by_scalar
        m.d.comb += a_addr.eq(Mux(p.kind.pixel, v_word, streamed) if pixel else streamed)

        p = at[2]
        a_scalar, w_scalar = _slice(a_word, p.s, ab), _slice(w_word, p.s, wb)
        w_vector = _slice(w_word, p.v, c.vector * wb)
        a_index = Mux(p.kind.pixel, p.v[:vectors], p.s[:vectors]) if pixel and vectors else p.s[:vectors]
        a_vector = _slice(a_word, a_index, c.vector * ab)
        weights, acts = [], []
        a_is_vector = (p.kind.pixel if pixel else 0) | (p.kind.depthwise if depthwise else 0)
        for n in range(c.vector):
            w, a = Signal(wb, name=f"w{n}", reset_less=True), Signal(ab, name=f"a{n}", reset_less=True)
            w_own, a_own = w_vector[n * wb:(n + 1) * wb], a_vector[n * ab:(n + 1) * ab]
            used = Mux(p.kind.pixel, w_scalar, w_own) if pixel else w_own
            streamed = Mux(a_is_vector, a_own, a_scalar) if pixel or depthwise else a_scalar
            load = [w.eq(used if c.skip == "none" else Mux(p.blank, 0, used)), a.eq(streamed)]
            if c.gate:
                live = Signal(name=f"live{n}")
                m.d.sync += live.eq(used.any() & streamed.any())
                with m.If(used.any() & streamed.any()):
                    m.d.sync += load
                self._live.append(live)
            else:
                m.d.sync += load
            weights.append(w)
            acts.append(a)
        return weights, acts

    def _products(self, m: Module, at: list[data.View], weights: list[Signal], acts: list[Signal]) -> list[Signal]:
        """Cycles 3 and 4: multiply; with `max` a larger product stays. Returns P products or maxima (cycle 5)."""
        width = self.config.weight_bits + self.config.act_bits + 1
        kept = []
        for n, (w, a) in enumerate(zip(weights, acts, strict=True)):
            product, keep = (Signal(width, name=f"{name}{n}", reset_less=True) for name in ("product", "kept"))
            m.d.sync += product.eq(w.as_signed() * a.as_signed())
            if self.config.gate:
                live = Signal(name=f"live{n}_product")
                m.d.sync += live.eq(self._live[n])
                product = Mux(live, product, 0)
            if "max_pool" in self.config.operators:
                # The register is the running maximum: only its clock enable knows about `max`.
                larger = (product.as_signed() - keep.as_signed())[-1] == 0
                # Skipping lanes may have no position for a while in the middle of a round.
                takes = ~at[4].kind.max | at[4].first | larger
                if self.config.skip != "none":
                    takes &= ~(at[4].kind.max & at[4].blank)
                with m.If(takes):
                    m.d.sync += keep.eq(product)
            else:
                m.d.sync += keep.eq(product)
            kept.append(keep)
        return kept

    def _accumulate(self, m: Module, at: list[data.View], valid: list[Signal], products: list[Signal]) -> None:
        """Cycles 2 to 6: readback, sum, write; the drain shares the read port of the memory."""
        c = self.config
        m.submodules.accumulators = memory = Memory(
            shape=unsigned(c.vector * c.acc_bits), depth=c.acc_vectors, init=[], attrs=BLOCK_RAM)
        write, read = memory.write_port(), memory.read_port()
        reading, stored = Signal(), Signal(c.vector * c.acc_bits, reset_less=True)
        readback = Signal()
        dense = c.skip == "none"
        ahead, soon = (valid[n] & at[n].first & at[n].kind.accumulate for n in (0, 1))
        m.d.comb += [
            self.readback_next.eq(soon if dense else ahead), read.en.eq(readback | self.drain),
            read.addr.eq(Mux(readback, at[2].acc, self.drain_addr)), self.drain_data.eq(stored)]
        m.d.sync += readback.eq(self.readback_next if dense else soon)
        m.d.sync += [reading.eq(read.en), stored.eq(Mux(reading, read.data, 0))]
        # A maximum adds to nothing: the product register already holds it.
        fresh = at[4].first | (at[4].kind.max if "max_pool" in c.operators else 0)
        sums = []
        for n, product in enumerate(products):
            total, acc = Signal(c.acc_bits, name=f"sum{n}"), Signal(c.acc_bits, name=f"acc{n}", reset_less=True)
            start = Mux(at[4].kind.accumulate, stored[n * c.acc_bits:(n + 1) * c.acc_bits], 0)
            m.d.comb += total.eq(acc + product.as_signed())
            m.d.sync += acc.eq(Mux(fresh, start, total))
            sums.append(total)
        result = Signal(c.vector * c.acc_bits, reset_less=True)
        m.d.sync += result.eq(Cat(sums))
        m.d.comb += [write.en.eq(valid[6] & at[6].last), write.addr.eq(at[6].acc), write.data.eq(result)]


def lane_verilog(config: Config) -> str:
    """Return the Verilog text of module ``hwgen_lane``; the same text for the same configuration."""
    return str(verilog.convert(Lane(config), name=LANE_MODULE, emit_src=False, strip_internal_attrs=True))
