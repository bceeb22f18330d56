"""AFETCH: copy patches of a map to the activation memories of the lanes, one engine per grid column."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.afetch_engine import FetchEngine, word_layout
from hwgen.hardware.afetch_offsets import ColumnOffsets
from hwgen.hardware.bank_hash import banked_read
from hwgen.hardware.interfaces import patch_bus, payload_layout, worker_ports
from hwgen.hardware.nest import Nest
from hwgen.isa import BY_NAME

ILLEGAL, OUTSIDE = 1, 3
OP = {name: BY_NAME[name].code for name in ("AFETCH", "AF_LEVEL", "AF_MAP", "AF_COL")}
POSITION = {f.name[1]: f.width for f in BY_NAME["AF_LEVEL"].fields if f.name in ("dy", "dx", "da")}


class ActFetch(wiring.Component):
    """Worker module AFETCH.

    One nest walks the map for all engines; a pipeline adds each column's offset, checks, and puts the word to fetch
    into the engine's queue. From there on engines run apart, so that columns that want the same bank in every cycle
    slip against each other once instead of losing every other cycle. Every command leaves a last word in all queues (a
    setting leaves a void one): it is done when all engines have written theirs, which keeps the order.

    Positions wrap modulo the field width (13, 17, 21 bits, signed). After an error nothing more is accepted.

    Ports
    -----
    cmd, done, error, code : see `interfaces.worker_ports`; ``done`` comes one cycle after the last word on the buses.
    reads, buses : act buffer and lanes, one per column.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.derived = config, Derived(config)
        super().__init__({**worker_ports(), "reads": Out(banked_read(config)).array(config.columns),
                          "buses": Out(patch_bus(config)).array(config.columns)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        c, d = self.config, self.derived
        op, payload = self.cmd.payload.op, self.cmd.payload.payload
        fetch, level, shape = (data.View(payload_layout(n), payload) for n in ("AFETCH", "AF_LEVEL", "AF_MAP"))
        m.submodules.nest = nest = Nest(POSITION)
        m.submodules.offsets = offsets = ColumnOffsets(c)
        row_bits, layout = c.rows.bit_length(), word_layout(c)
        height, width = Signal(len(shape.height)), Signal(len(shape.width))
        zero_point, fill, transpose = Signal(signed(9)), Signal(signed(c.act_bits + 1)), Signal()
        rows_len, rp_step, active = Signal(row_bits), Signal(row_bits), Signal(c.columns)

        # --- accept commands
        room, bad, dead = Signal(), Signal(), Signal()
        stages = [Signal(name=f"valid{i}") for i in (1, 2)]
        outstanding = Signal(5)
        still, drained, accept = Signal(), Signal(), Signal()
        illegal, code = Signal(), Signal(4)
        m.d.comb += [
            drained.eq(~nest.busy & ~nest.out.valid & ~Cat(stages).any() & (outstanding == 0)),
            # Levels and column offsets are out of use when the nest is still, the map when all words are written.
            # A void word would overtake words in the transposers.
            still.eq(Mux(transpose | (op == OP["AF_MAP"]), drained, ~nest.busy & ~nest.out.valid & room)),
            accept.eq(self.cmd.valid & (op != OP["AFETCH"]) & still & ~bad & ~dead),
            nest.start.eq(self.cmd.valid & (op == OP["AFETCH"]) & ~nest.busy & ~bad & ~dead),
            self.cmd.ready.eq(nest.load | accept & (~offsets.busy | illegal)),
        ]
        m.d.comb += [
            nest.initial.y.eq(fetch.y0), nest.initial.x.eq(fetch.x0), nest.initial.a.eq(fetch.a0),
            nest.level_at.eq(level.level), nest.count.eq(level.count),
            nest.deltas.y.eq(level.dy), nest.deltas.x.eq(level.dx), nest.deltas.a.eq(level.da),
            offsets.payload.eq(payload)]
        with m.If(accept), m.Switch(op):
            with m.Case(OP["AF_LEVEL"]):
                m.d.comb += [illegal.eq((level.level == 7) | (level.count == 0)), code.eq(ILLEGAL),
                             nest.count_en.eq(~illegal), nest.delta_en.eq(Mux(illegal, 0, -1))]
            with m.Case(OP["AF_MAP"]):
                with m.If(~_between(shape.cols, c.columns) | ~_between(shape.rows_len, c.rows)):
                    m.d.comb += [illegal.eq(1), code.eq(OUTSIDE)]
                if "pixel" not in c.mappings:
                    with m.Elif(shape.transpose):
                        m.d.comb += [illegal.eq(1), code.eq(ILLEGAL)]
                m.d.sync += [
                    height.eq(shape.height), width.eq(shape.width), zero_point.eq(shape.zero_point),
                    fill.eq(shape.fill),
                    transpose.eq(shape.transpose if "pixel" in c.mappings else 0),
                    rows_len.eq(shape.rows_len), rp_step.eq(Mux(shape.rp_step > c.rows, c.rows, shape.rp_step)),
                    active.eq(Cat(shape.cols > n for n in range(c.columns)))]
            with m.Case(OP["AF_COL"]):
                m.d.comb += offsets.step.eq(1)
            with m.Default():
                m.d.comb += [illegal.eq(1), code.eq(ILLEGAL)]

        # --- stage 1: every column's position, destination and first row
        moved, void, void1, end1 = Signal(), Signal(), Signal(), Signal()
        start_dst, dst1 = Signal(c.amem_words.bit_length()), Signal(c.amem_words.bit_length())
        group, row1, next_group = (Signal(row_bits + 1) for _ in range(3))
        element, value = nest.out.payload, nest.out.payload.values
        m.d.comb += [nest.out.ready.eq(room & ~dead), moved.eq(nest.out.valid & nest.out.ready),
                     void.eq(accept & self.cmd.ready & ~illegal), next_group.eq(group + rp_step)]
        m.d.sync += [stages[0].eq(moved | void), void1.eq(void), end1.eq(void | element.last)]
        with m.If(nest.load):
            # The previous command's last element leaves the nest in this cycle or has left it.
            m.d.sync += start_dst.eq(Mux(fetch.dst[len(dst1):].any(), c.amem_words, fetch.dst[:len(dst1)]))
        with m.If(moved):
            m.d.sync += dst1.eq(Mux(element.first | (element.level <= 1), start_dst, dst1 + 1))
            with m.If(element.first):
                m.d.sync += [group.eq(0), row1.eq(0)]
            with m.Elif(element.level == 0):
                m.d.sync += [group.eq(next_group), row1.eq(next_group)]
            with m.Elif(element.level == 1):
                m.d.sync += row1.eq(row1 + rows_len)

        # --- stage 2: inside the map, inside the buffer
        words, faults = [], []
        row_end, rows2 = Signal(row_bits + 2), Signal(c.rows)
        m.d.comb += [row_end.eq(row1 + rows_len),
                     rows2.eq(Cat(~void1 & (row1 <= r) & (row_end > r) for r in range(c.rows)))]
        for n in range(c.columns):
            y, x, a = (Signal(signed(w), name=f"{k}{n}") for k, w in POSITION.items())
            for position, own, chain in ((y, value.y, offsets.y), (x, value.x, offsets.x), (a, value.a, offsets.a)):
                m.d.sync += position.eq(own if n == 0 else own + chain[n - 1])
            inside, word = Signal(name=f"inside{n}"), Signal(layout, name=f"word{n}")
            m.d.comb += inside.eq(
                ~void1 & active[n] & ~y[-1] & (y[:-1] < height) & ~x[-1] & (x[:-1] < width))
            m.d.sync += [word.addr.eq(a), word.inside.eq(inside), word.last.eq(end1), word.dst.eq(dst1),
                         word.rows.eq(Mux(active[n], rows2, 0))]
            words.append(word)
            faults.append(inside & (a.as_unsigned() >= d.act_words))
        fault2 = Signal()
        m.d.sync += [stages[1].eq(stages[0]),
                     fault2.eq(Cat(faults).any() | ~void1 & ((row_end > c.rows) | dst1[-1]))]

        # --- engines
        push, full = Signal(), Signal(c.columns)
        m.d.comb += [push.eq(stages[1] & ~fault2 & ~dead), room.eq(~full.any())]
        with m.If(stages[1] & fault2):
            m.d.sync += [dead.eq(1), self.code.eq(OUTSIDE)]
        with m.If(accept & illegal):
            m.d.sync += [bad.eq(1), self.code.eq(code)]
        written = []
        for n in range(c.columns):
            m.submodules[f"engine{n}"] = engine = FetchEngine(c)
            wiring.connect(m, wiring.flipped(self.reads[n]), engine.read)
            wiring.connect(m, wiring.flipped(self.buses[n]), engine.bus)
            m.d.comb += [engine.push.eq(push), engine.word.eq(words[n]), full[n].eq(engine.full),
                         engine.zero_point.eq(zero_point), engine.fill.eq(fill), engine.transpose.eq(transpose),
                         engine.done.eq(self.done)]
            written.append(engine.written)
        m.d.comb += self.done.eq(Cat(written).all())
        m.d.sync += outstanding.eq(outstanding + (push & words[0].last) - self.done)
        reported = Signal()
        with m.If((bad | dead) & (outstanding == 0) & ~Cat(stages).any() & ~reported):
            m.d.sync += reported.eq(1)
            m.d.comb += self.error.eq(1)
        return m


def _between(value: Value, high: int) -> Value:
    """1 <= ``value`` <= ``high``."""
    return (value != 0) & (value <= high)
