"""The first stage of GRID: turns a command into a job or a segment table entry, and finds what is wrong with it."""

from __future__ import annotations

from amaranth import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen import isa
from hwgen.config import Config
from hwgen.hardware.interfaces import CommandLayout, payload_layout
from hwgen.hardware.walker import WalkShape

SET, RUN, ILLEGAL, RANGE = range(4)
"""What a command turns out to be; the last two are errors."""


class Decoder(wiring.Component):
    """Combinational, except that BASE is kept for the RUNs that follow.

    Attributes
    ----------
    command, accept : In
        The command, and whether it is accepted in this cycle.
    tag : Out(2)
        `SET`, `RUN`, `ILLEGAL` or `RANGE`.
    is_segment, index, entry : Out
        Table entry of a SEGMENT.
    job, lanes : Out
        Of a RUN.
    rows, columns : Out
        Lanes that have work, as BASE says; only where zeros are skipped.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.shape = config, WalkShape(config)
        masks = {} if config.skip == "none" else {"rows": Out(config.rows), "columns": Out(config.columns)}
        super().__init__(masks | {
            "command": In(CommandLayout), "accept": In(1), "tag": Out(2), "is_segment": Out(1),
            "index": Out(self.shape.seg_bits), "entry": Out(self.shape.segment), "job": Out(self.shape.job),
            "lanes": Out(10)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layouts = {n: Signal(payload_layout(n), name=n.lower()) for n in ("RUN", "SEGMENT", "BASE")}
        m.d.comb += [s.eq(self.command.payload) for s in layouts.values()]
        run, segment, base = layouts["RUN"], layouts["SEGMENT"], layouts["BASE"]
        with m.Switch(self.command.op):
            with m.Case(isa.BY_NAME["RUN"].code):
                self._run(m, run)
            with m.Case(isa.BY_NAME["SEGMENT"].code):
                m.d.comb += self.is_segment.eq(1)
                self._judge(m, segment.length == 0,
                            (segment.index >= self.config.segments) | (segment.length > self.shape.v_units))
            with m.Case(isa.BY_NAME["BASE"].code):
                self._judge(m, base.nx == 0, False)
            with m.Default():
                m.d.comb += self.tag.eq(ILLEGAL)
        m.d.comb += [
            self.index.eq(segment.index), self.entry.s_offset.eq(segment.s_offset),
            self.entry.v_start.eq(segment.v_start), self.entry.more.eq(segment.length - 1)]

        nx_more, dx, dy = Signal(self.shape.acc_bits), Signal(self.shape.s_bits), Signal(self.shape.s_bits)
        with m.If(self.accept & (self.command.op == isa.BY_NAME["BASE"].code)):
            # No RUN has more rounds than there are accumulators, so a longer row never ends.
            vectors = self.config.acc_vectors
            m.d.sync += [nx_more.eq(Mux(base.nx > vectors, vectors - 1, base.nx - 1)), dx.eq(base.dx), dy.eq(base.dy)]
            if self.config.skip != "none":
                m.d.sync += [self.rows.eq(_first_of_each(self.config.rows, base.log2_rc, base.row_groups)),
                             self.columns.eq(_first_of_each(self.config.columns, base.log2_cc, base.column_groups))]
        m.d.comb += [self.job.nx_more.eq(nx_more), self.job.dx.eq(dx), self.job.dy.eq(dy)]
        return m

    def _judge(self, m: Module, illegal: Value, out_of_range: Value | bool, good: int = SET) -> None:
        with m.If(illegal):
            m.d.comb += self.tag.eq(ILLEGAL)
        with m.Elif(out_of_range):
            m.d.comb += self.tag.eq(RANGE)
        with m.Else():
            m.d.comb += self.tag.eq(good)

    def _run(self, m: Module, run: data.View) -> None:
        c, job = self.config, self.job
        built = {isa.Mode.PIXEL: "pixel" in c.mappings, isa.Mode.DEPTHWISE: "depthwise" in c.mappings, 3: False}
        illegal = (run.rounds == 0) | (run.seg_count == 0) | (run.max & run.accumulate)
        for mode, there in built.items():
            if not there:
                illegal |= run.mode == mode
        if "max_pool" not in c.operators:
            illegal |= run.max
        seg_end, acc_end = Signal(9), Signal(13)
        m.d.comb += [
            seg_end.eq(run.seg_first + run.seg_count), acc_end.eq(run.acc_base + run.rounds), self.lanes.eq(run.lanes),
            job.kind.pixel.eq(run.mode == isa.Mode.PIXEL), job.kind.depthwise.eq(run.mode == isa.Mode.DEPTHWISE),
            job.kind.max.eq(run.max), job.kind.accumulate.eq(run.accumulate), job.s_step.eq(run.s_step),
            job.v_base.eq(run.v_base), job.s_base.eq(run.s_base), job.seg_first.eq(run.seg_first),
            job.seg_last.eq(seg_end - 1), job.acc_first.eq(run.acc_base), job.acc_last.eq(acc_end - 1)]
        self._judge(m, illegal, (seg_end > c.segments) | (acc_end > c.acc_vectors), RUN)


def _first_of_each(width: int, log2: Value, count: Value) -> Value:
    """Return a mask of the first ``count`` of every 1 << ``log2``, of ``width``."""
    masks = [Cat(n % (1 << k) < count for n in range(width)) for k in range(width.bit_length())]
    return Array(masks)[log2]
