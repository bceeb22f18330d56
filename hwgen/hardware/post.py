"""POST: decodes its commands and connects walker, parameters, issue, operand path, requantisers and output.

Cycles (constants in `hwgen.timing`, pinned by tests/hardware/test_post.py)
----------------------------------------------------------------------------
A DRAIN or ELTWISE issues one item a cycle (P results of every pipe, or of one). A parameter block that the
results before it do not cover costs ``param_block * passes + 2`` cycles (passes: pipes, or 1 when PO_PIPE.dp is 0). A
DRAIN walks while the one before it is still on its way; ELTWISE, PO_QUANT, PO_SCALAR, PO_PIPE and PO_ADD, and a DRAIN
after an ELTWISE, wait for all results of earlier commands to be written.

An ELTWISE whose result overwrites an operand of a later element of the same command reads either value.

Every command ends as the last item of its own in the queues, so ``done`` comes in order by construction.
"""

from __future__ import annotations

from amaranth import Cat, ClockSignal, Instance, Module, Mux, ResetSignal, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from hwgen import isa
from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.golden.post_rule import MAX_N
from hwgen.hardware import eltwise, interfaces, post_issue, requantise
from hwgen.hardware.bank_hash import banked_read, banked_write
from hwgen.hardware.interfaces import payload_layout
from hwgen.hardware.nest import Nest
from hwgen.hardware.post_item import ILLEGAL, pack
from hwgen.hardware.post_output import Output
from hwgen.hardware.post_params import PARAMETER, Parameters
from hwgen.hardware.post_walk import JOB, MAP, OFFSETS, POINT, VALUES, Walker

OP = {op.name: op.code for op in isa.TABLE if op.module is isa.Module.POST}

DRAIN_LATENCY = post_issue.ACC_AFTER + requantise.LATENCY
"""Cycles from the issue of a DRAIN item to its results."""

ELTWISE_LATENCY = post_issue.VECTOR_AFTER + eltwise.LATENCY + requantise.LATENCY
"""The same for an ELTWISE item."""

_QUANT = data.StructLayout({"zero_point": signed(9), "qmin": signed(9), "qmax": signed(9), "nudge": 1, "final": 2})


class Post(wiring.Component):
    """Worker module POST.

    Errors are code 1 for an unknown operation, level or rounding, a zero count, more channel groups than rows or
    columns, a shift beyond 39 in PO_SCALAR, and a transposing DRAIN or an addition that is not built; code 3 for a
    lane, accumulator, parameter block or vector outside its memory. The results before an address error are written
    (those of a transposed block that it cuts short are undefined). Nothing is executed after an error until reset.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    cmd, done, error, code
        See `hwgen.hardware.interfaces.worker_ports`.
    drain : Out(drain_port).array(pipes)
    reads : Out(banked_read).array(2)
        Operands A and B of ELTWISE; the second is idle without the operator add.
    writes : Out(banked_write).array(pipes)
    param : Out(buffer_read)
    """

    def __init__(self, config: Config) -> None:
        self.config, self.derived = config, Derived(config)
        super().__init__(interfaces.worker_ports() | {
            "drain": Out(interfaces.drain_port(config)).array(self.derived.pipes),
            "reads": Out(banked_read(config)).array(2),
            "writes": Out(banked_write(config)).array(self.derived.pipes),
            "param": Out(interfaces.buffer_read(config))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c = self.config
        m.submodules.nest = nest = Nest(VALUES)
        m.submodules.walker = walker = Walker(c)
        m.submodules.parameters = parameters = Parameters(c)
        m.submodules.issue = issue = post_issue.Issue(c)
        m.submodules.operands = operands = eltwise.OperandPath(c.vector, add="add" in c.operators)
        m.submodules.output = output = Output(c)
        quant = Signal(_QUANT)
        self._decode(m, nest, walker, parameters, operands, output, quant)

        wiring.connect(m, nest.out, walker.element)
        wiring.connect(m, walker.items, issue.items)
        wiring.connect(m, walker.requests, parameters.request)
        wiring.connect(m, issue.results, output.destination)
        wiring.connect(m, wiring.flipped(self.param), parameters.buffer)
        for mine, inner in ((self.drain, issue.drain), (self.reads, issue.sources), (self.writes, output.ports)):
            for outer_port, inner_port in zip(mine, inner, strict=True):
                wiring.connect(m, wiring.flipped(outer_port), inner_port)
        adding = walker.job.eltwise
        # Constant while anything is in flight, so registers cost no cycle; one for both would be the longest net.
        broadcast, transposed = Signal(), Signal()
        if "pixel" in c.mappings:
            m.d.sync += [broadcast.eq(walker.map.transpose & ~adding), transposed.eq(broadcast)]
        m.d.comb += [
            issue.add.eq(walker.job.add), issue.block_ready.eq(parameters.ready), parameters.take.eq(issue.take),
            parameters.channel.eq(issue.channel), parameters.broadcast.eq(broadcast),
            parameters.scalar.eq(walker.map.scalar | adding), output.transpose.eq(transposed),
            operands.a.eq(issue.vectors[0]), operands.b.eq(issue.vectors[1]),
            self.done.eq(output.done), self.error.eq(output.error), self.code.eq(output.code)]
        # The kind of what is in flight is constant: a change waits until all results are written.
        token, added = Signal(ELTWISE_LATENCY), Signal()
        m.d.sync += [token.eq(Cat(issue.issued, token)), added.eq(adding)]
        m.d.comb += [operands.enable.eq(token[post_issue.VECTOR_AFTER + eltwise.LATENCY - 2] & added),
                     output.valid.eq(Mux(added, token[ELTWISE_LATENCY - 1], token[DRAIN_LATENCY - 1]))]
        every: list[Value] = []
        for j in range(self.derived.pipes):
            for e in range(c.vector):
                acc, q, value = Signal(signed(32)), Signal(8), parameters.values[j * c.vector + e]
                drained = issue.acc[j].word_select(e, c.acc_bits).as_signed()
                every.append(q)
                m.d.comb += acc.eq(drained | operands.acc[e] if j == 0 else drained)
                m.submodules[f"requantiser{j}_{e}"] = Instance(
                    requantise.REQUANTISE_MODULE,
                    i_clk=ClockSignal(),
                    i_rst=ResetSignal(),
                    i_acc=acc,
                    i_bias=value.bias.as_unsigned(),
                    i_multiplier=value.multiplier,
                    i_shift=value.shift,
                    i_nudge=quant.nudge,
                    i_ties=quant.final,
                    i_zero_point=quant.zero_point,
                    i_qmin=quant.qmin,
                    i_qmax=quant.qmax,
                    o_q=q,
                )
        m.d.comb += Value.cast(output.q).eq(Cat(every))
        return m

    def _decode(self, m: Module, nest: Nest, walker: Walker, parameters: Parameters, operands: eltwise.OperandPath,
                output: Output, quant: data.View) -> None:
        """Execute settings, start walks, refuse what cannot be executed."""
        c, log2_pipes = self.config, self.derived.pipes.bit_length() - 1
        op, payload = self.cmd.payload.op, self.cmd.payload.payload
        field = {name: data.View(payload_layout(name), payload) for name in OP}
        drain, level, new, scalar, pipe, operand, pair, source = (field[n] for n in (
            "DRAIN", "PO_LEVEL", "PO_QUANT", "PO_SCALAR", "PO_PIPE", "PO_ADD", "ELTWISE", "PO_SOURCE"))
        job, shape, value, held = Signal(JOB), Signal(MAP), Signal(PARAMETER), Signal(eltwise.OPERANDS)
        offset, halted, in_flight = Signal(OFFSETS), Signal(), Signal(6)
        inner = [Signal(5, name=f"inner{i}", init=1) for i in (5, 6)]
        loaded, fill, bad_shift = Signal(), Signal(), Signal()

        # A command is judged in the first cycle it is offered and executed in a later one: the queue it comes from, the
        # comparisons and what they set in motion are too long a path for one.
        judged, kind, illegal, wrong = Signal(), Signal(16), Signal(), Signal()
        waits, waits_table, same = Signal(), Signal(), Signal()
        with m.Switch(op):
            with m.Case(OP["DRAIN"]):
                m.d.comb += illegal.eq(self._bad_drain(shape, bad_shift, inner))
            with m.Case(OP["ELTWISE"]):
                m.d.comb += illegal.eq(bad_shift | (0 if operands.add else held.add))
            with m.Case(OP["PO_LEVEL"]):
                m.d.comb += illegal.eq((level.level == 7) | (level.count == 0))
            with m.Case(OP["PO_SOURCE"]):
                m.d.comb += illegal.eq((level.level == 7) | (level.level < 4))
            with m.Case(OP["PO_QUANT"]):
                m.d.comb += illegal.eq(
                    (new.final > max(isa.Final))
                    | (new.log2_rc > c.rows.bit_length() - 1)
                    | (new.log2_cc > c.columns.bit_length() - 1)
                )
            with m.Case(OP["PO_SCALAR"], OP["PO_PIPE"], OP["PO_ADD"]):
                m.d.comb += illegal.eq(0)
            with m.Default():
                m.d.comb += illegal.eq(1)
        operand_bits = payload[:eltwise.OPERANDS.size]
        m.d.sync += [
            judged.eq(self.cmd.valid & ~self.cmd.ready), kind.eq(1 << op), wrong.eq(illegal),
            waits.eq((op == OP["DRAIN"]) & job.eltwise
                     | Cat(op == OP[n] for n in ("ELTWISE", "PO_QUANT", "PO_SCALAR", "PO_PIPE", "PO_ADD")).any()),
            waits_table.eq((op == OP["ELTWISE"]) | (op == OP["PO_ADD"])),
            same.eq(loaded & (operand_bits == Value.cast(held)))]

        still, quiet, filling, start, ready, setting = (Signal() for _ in range(6))
        action = kind[OP["DRAIN"]] | kind[OP["ELTWISE"]]
        # A cycle late, which no command sees: it is judged in the cycle after the one before it was taken.
        m.d.sync += [
            still.eq(~nest.busy & ~nest.out.valid & walker.idle & walker.room & ~walker.dead & ~halted),
            quiet.eq(in_flight == 0), filling.eq(operands.busy | fill)]
        m.d.comb += [
            ready.eq(judged & still & ~nest.busy & ~(waits & ~quiet) & ~(waits_table & filling)),
            start.eq(ready & action & ~wrong),
            setting.eq(ready & ~action & ~wrong),
            walker.marker.eq(ready & ~start),
            walker.code.eq(Mux(wrong, ILLEGAL, 0)),
            # A walk samples its start one cycle after `start`; until then the command stays.
            self.cmd.ready.eq(nest.load | walker.marker),
            nest.start.eq(start),
            walker.begin.eq(start),
            # The nest looks at it from the cycle of `start` on.
            nest.skip.eq(Mux(Mux(start, kind[OP["ELTWISE"]], job.eltwise), 0xF, 0)),
            walker.map.eq(shape),
            walker.job.eq(job),
            parameters.value.eq(value),
            parameters.step.eq(offset.dp),
            operands.operands.eq(held),
            operands.load.eq(fill),
        ]
        m.d.sync += [in_flight.eq(in_flight + nest.load - output.action_done), fill.eq(0)]
        with m.If(ready & wrong):
            m.d.sync += halted.eq(1)

        m.d.comb += [
            Value.cast(nest.initial).eq(
                pack(POINT, y=drain.y0, x=drain.x0, a=Mux(job.eltwise, pair.out, drain.a0), p=drain.param, s=0)
            ),
            nest.level_at.eq(level.level),
            nest.count.eq(level.count),
            Value.cast(nest.deltas).eq(pack(POINT, y=level.dy, x=level.dx, a=level.da, p=level.dp, s=source.ds)),
        ]
        with m.If(start):
            m.d.sync += [
                job.eltwise.eq(kind[OP["ELTWISE"]]),
                job.add.eq(held.add if operands.add else 0),
                job.a.eq(pair.a),
                job.b.eq(pair.b),
                job.acc_base.eq(drain.acc_base),
                job.mask.eq(Mux(kind[OP["DRAIN"]], drain.mask, pair.mask)),
            ]
        with m.If(setting), m.Switch(op):
            with m.Case(OP["PO_LEVEL"]):
                m.d.comb += [nest.count_en.eq(1), nest.delta_en.eq(_bits(nest, "yxap"))]
                for i, count in enumerate(inner):
                    with m.If(level.level == 5 + i):
                        m.d.sync += count.eq(Mux(level.count > 16, 0, level.count))
            with m.Case(OP["PO_SOURCE"]):
                m.d.comb += nest.delta_en.eq(_bits(nest, "s"))
            with m.Case(OP["PO_QUANT"]):
                m.d.sync += [
                    getattr(quant, n).eq(getattr(new, n)) for n in ("zero_point", "qmin", "qmax", "nudge", "final")
                ]
                m.d.sync += [
                    getattr(shape, n).eq(getattr(new, n))
                    for n in ("height", "width", "scalar", "transpose", "log2_rc", "cc_valid")
                ]
                m.d.sync += [shape.log2_column.eq(Mux(new.log2_cc > log2_pipes, new.log2_cc, log2_pipes)),
                             shape.cc_dropped.eq((new.log2_cc >= log2_pipes) if log2_pipes else 0)]
            with m.Case(OP["PO_SCALAR"]):
                m.d.sync += [getattr(value, n).eq(getattr(scalar, n)) for n in ("bias", "multiplier", "shift")]
                m.d.sync += bad_shift.eq(scalar.shift > MAX_N)
            with m.Case(OP["PO_PIPE"]):
                m.d.sync += [getattr(offset, n).eq(getattr(pipe, n)) for n in ("dy", "dx", "da", "dp")]
            with m.Case(OP["PO_ADD"]):
                m.d.sync += [Value.cast(held).eq(operand_bits), loaded.eq(operand.add)]
                m.d.sync += fill.eq(operand.add & ~same)
        for j in range(1, self.derived.pipes):
            multiple = Signal(OFFSETS, name=f"offset{j}")
            m.d.sync += [getattr(multiple, n).eq(getattr(offset, n) * j) for n in ("dy", "dx", "da", "dp")]
            m.d.comb += walker.offsets[j].eq(multiple)

    def _bad_drain(self, shape: data.View, bad_shift: Value, inner: list[Signal]) -> Value:
        """Whether the settings do not allow a DRAIN; ``inner`` are the iterations of levels 5 and 6 (0: too many)."""
        vector = self.config.vector
        if "pixel" not in self.config.mappings:
            return shape.scalar & bad_shift | shape.transpose
        pairs = ((inner[0] == 1 << k) & (inner[1] == vector >> k) for k in range(vector.bit_length()))
        return shape.scalar & bad_shift | shape.transpose & ~Cat(pairs).any()


def _bits(nest: Nest, names: str) -> int:
    return sum(1 << nest.names.index(n) for n in names)
