"""The grid: decodes RUN, SEGMENT and BASE and drives rows x columns lanes, all instances of one Verilog module.

Cycles (constants in `hwgen.timing`, pinned by tests/hardware/test_grid.py)
----------------------------------------------------------------------------
A RUN of N = rounds x positions walks N cycles: ``cycles = rounds * positions + overhead``, where

* overhead = 0 (`RUN_OVERHEAD`) for a RUN accepted while the one before still walks (the first position follows the last
  one of the RUN before immediately), except that two RUN start at least rounds x segments + `RUN_RESTART` cycles apart;
* overhead = `RUN_ACCUMULATE_GAP` for such a RUN with ``accumulate``: it waits for the last results of the one before;
* a RUN that finds the grid idle walks `RUN_START` cycles after its acceptance;
* ``done`` comes `RUN_DRAIN` cycles after the last position: an isolated RUN takes RUN_START + N - 1 + RUN_DRAIN cycles.

SEGMENT and BASE take one cycle each (`GRID_SET_CYCLES`) and overlap a RUN that walks; a SEGMENT waits while a RUN still
reads a range of the table that contains it, and BASE takes effect for the following RUNs only. So the stream means what
it means when executed sequentially. ``done`` of any command comes after those of the commands before it.

Operands are read modulo the size of the memories; the fetch units check their write addresses.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import Array, Cat, ClockSignal, Instance, Module, Mux, ResetSignal, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import bits_for

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware import interfaces
from hwgen.hardware.fifo import Fifo
from hwgen.hardware.grid_decode import ILLEGAL, RANGE, RUN, SET, Decoder
from hwgen.hardware.lane import LANE_MODULE, lane_members
from hwgen.hardware.walker import WalkShape

ILLEGAL_COMMAND, OUT_OF_RANGE = 1, 3
"""Error codes."""

_IN_FLIGHT = 16


class Grid(wiring.Component):
    """Worker module GRID.

    Errors are code 1 for an unknown operation, a mapping or `max` that is not built, `max` with `accumulate`, and a
    zero where the table says >= 1; code 3 for segments or accumulators outside their memory and a segment longer than
    the vector operands of a memory. Nothing is executed after an error until reset.

    Parameters
    ----------
    config : Config

    Attributes
    ----------
    cmd, done, error, code
        See `hwgen.hardware.interfaces.worker_ports`.
    weights : In(weight_bus), patches : In(patch_bus).array(columns)
        Operand writes; a word is visible to a RUN accepted in the next cycle or later.
    drain : In(drain_port).array(pipes)
        Accumulator reads; pipe j serves columns c with c % pipes == j.
    busy : Out
        Lanes that walk in this cycle (a cycle late).
    active : Out(10)
        ``lanes`` of the RUN that walks in this cycle (a cycle late), 0 when none does.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.shape = config, WalkShape(config)
        super().__init__(interfaces.worker_ports() | {
            "weights": In(interfaces.weight_bus(config)),
            "patches": In(interfaces.patch_bus(config)).array(config.columns),
            "drain": In(interfaces.drain_port(config)).array(Derived(config).pipes),
            "busy": Out(bits_for(Derived(config).lanes)), "active": Out(10)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self._lanes(m)
        self._control(m, lanes)
        self._operand_writes(m, lanes)
        self._drain(m, lanes)
        return m

    def _lanes(self, m: Module) -> list[list[dict[str, Signal]]]:
        """Instantiate the lanes; return the signals of their ports, by row and column."""
        members = lane_members(self.config)
        lanes: list[list[dict[str, Signal]]] = []
        for r in range(self.config.rows):
            lanes.append([])
            for c in range(self.config.columns):
                ports = {n: Signal(Shape.cast(member.shape).width, name=f"lane{r}_{c}_{n}")
                         for n, member in members.items()}
                flows = {f"{'i' if member.flow == In else 'o'}_{n}": ports[n] for n, member in members.items()}
                m.submodules[f"lane{r}_{c}"] = Instance(LANE_MODULE, i_clk=ClockSignal(), i_rst=ResetSignal(), **flows)
                lanes[r].append(ports)
        return lanes

    def _control(self, m: Module, lanes: list[list[dict[str, Signal]]]) -> None:
        """Decode, check, start, report in order. Dense lanes run in lockstep: lane (0, 0) speaks for all."""
        shape, first_lane = self.shape, lanes[0][0]
        decoder = Decoder(self.config)
        job, entry, index = Signal(shape.job), Signal(shape.segment), Signal(shape.seg_bits)
        valid, tag, is_segment, active_lanes = Signal(), Signal(2), Signal(), Signal(10)
        failed, go, start = Signal(), Signal(), Signal()
        m.submodules.decoder = decoder
        m.submodules.order = order = Fifo(2, _IN_FLIGHT)
        m.submodules.names = names = Fifo(10, 8)  # at most five are started but do not walk

        accept = self.cmd.valid & self.cmd.ready
        m.d.comb += [
            decoder.command.eq(self.cmd.payload), decoder.accept.eq(accept),
            self.cmd.ready.eq(~failed & (~valid | (tag == SET) & go))]
        # Segments of the RUN that is generated; compared in time, since none starts with the acceptance of a SEGMENT.
        low, high, touches = Signal(shape.seg_bits), Signal(shape.seg_bits), Signal()
        with m.If(accept):
            m.d.sync += [
                valid.eq(1), tag.eq(decoder.tag), is_segment.eq(decoder.is_segment), job.eq(decoder.job),
                entry.eq(decoder.entry), index.eq(decoder.index), active_lanes.eq(decoder.lanes),
                touches.eq((decoder.index >= low) & (decoder.index <= high))]
        with m.Elif(go):
            m.d.sync += valid.eq(0)

        in_use = first_lane["generating"] & touches
        m.d.comb += [
            go.eq(valid & order.i.ready & Mux(tag == RUN, first_lane["ready"], ~(is_segment & in_use))),
            start.eq(go & (tag == RUN)), order.i.valid.eq(go), order.i.payload.eq(tag), names.i.valid.eq(start),
            names.i.payload.eq(active_lanes)]
        with m.If(start):
            m.d.sync += [low.eq(job.seg_first), high.eq(job.seg_last)]
        with m.If(go & tag.matches(ILLEGAL, RANGE)):
            m.d.sync += failed.eq(1)
        # To the lanes a cycle late, like operands: they are far apart. A lane that was ready stays so until it starts,
        # and no RUN looks at the table before a SEGMENT ahead of it is written.
        starts, work = Signal(), Signal.like(job)
        write, at, what = Signal(), Signal.like(index), Signal.like(entry)
        m.d.sync += [starts.eq(start), work.eq(job), write.eq(go & is_segment & (tag == SET)), at.eq(index),
                     what.eq(entry)]
        for lane in (lane for row in lanes for lane in row):
            m.d.comb += [lane["start"].eq(starts), lane["job"].eq(work), lane["segment_write"].eq(write),
                         lane["segment_index"].eq(at), lane["segment"].eq(what)]

        finished, pop = Signal(range(_IN_FLIGHT + 1)), Signal()
        m.d.comb += [
            pop.eq(order.o.valid & ((order.o.payload != RUN) | (finished != 0) | first_lane["done"])),
            order.o.ready.eq(pop)]
        m.d.sync += [
            finished.eq(finished + first_lane["done"] - (pop & (order.o.payload == RUN))),
            self.done.eq(pop & order.o.payload.matches(SET, RUN)),
            self.error.eq(pop & order.o.payload.matches(ILLEGAL, RANGE)),
            self.code.eq(Mux(order.o.payload == RANGE, OUT_OF_RANGE, ILLEGAL_COMMAND))]

        current = Signal(10)
        m.d.comb += names.o.ready.eq(first_lane["opens"])
        with m.If(first_lane["opens"]):
            m.d.sync += current.eq(names.o.payload)
        m.d.sync += [
            self.busy.eq(Mux(first_lane["walking"], Derived(self.config).lanes, 0)),
            self.active.eq(Mux(first_lane["walking"], Mux(first_lane["opens"], names.o.payload, current), 0))]

    def _operand_writes(self, m: Module, lanes: list[list[dict[str, Signal]]]) -> None:
        """Register both buses once, so that their long wires cost a cycle and not the clock."""
        c, d = self.config, Derived(self.config)
        bus, values, bits, skip, width = self.weights, [], [], c.skip != "none", d.weight_width
        for b in range(d.weight_buses):
            word = Signal(d.word * c.weight_bits, name=f"bus{b}", reset_less=True)
            choices = [bus.data.word_select(b % (1 << n), width * d.word) for n in range(d.weight_buses.bit_length())]
            chosen = Array(choices)[bus.log2_nbe] if len(choices) > 1 else choices[0]
            m.d.sync += word.eq(Cat(chosen[width * i:width * i + c.weight_bits] for i in range(d.word)))
            values.append(word)
            if skip:
                bits.append(Signal(d.word, name=f"bus{b}_bits", reset_less=True))
                m.d.sync += bits[b].eq(Cat(chosen[width * i:width * i + c.weight_bits].any() for i in range(d.word)))
        w_addr = Signal(16)
        m.d.sync += w_addr.eq(bus.addr)
        marks = {mark: Signal(name=f"bus_{mark}") for mark in interfaces.row_marks(c)}
        m.d.sync += [signal.eq(getattr(bus, mark)) for mark, signal in marks.items()]
        for col in range(c.columns):
            patch, addr = self.patches[col], Signal(16, name=f"addr{col}")
            data = Signal(d.word * (c.act_bits + 1), name=f"patch{col}", reset_less=True)
            m.d.sync += [data.eq(patch.data), addr.eq(patch.addr)]
            act_bits = Signal(d.word, name=f"patch{col}_bits", reset_less=True)
            if skip:
                m.d.sync += act_bits.eq(Cat(patch.data.word_select(i, c.act_bits + 1).any() for i in range(d.word)))
            for r in range(c.rows):
                lane = lanes[r][col]
                m.d.sync += [lane["weight_write"].eq(bus.valid & bus.rows[r] & bus.columns[col]),
                             lane["act_write"].eq(patch.valid & patch.rows[r])]
                m.d.comb += [lane["weight_addr"].eq(w_addr), lane["weight_data"].eq(values[r % d.weight_buses]),
                             lane["act_addr"].eq(addr), lane["act_data"].eq(data)]
                m.d.comb += [lane[f"weight_{mark}"].eq(signal) for mark, signal in marks.items()]
                if skip:
                    m.d.comb += [lane["weight_bits"].eq(bits[r % d.weight_buses]), lane["act_bits"].eq(act_bits)]

    def _drain(self, m: Module, lanes: list[list[dict[str, Signal]]]) -> None:
        """Route reads to the lanes, from registers. A lane that was not read gives zeros: an OR collects the data."""
        pipes = Derived(self.config).pipes
        # Dense lanes read back in the same cycles.
        reading = lanes[0][0]["readback_next"]
        if self.config.skip != "none":
            # All lanes together are far from POST: they say so a cycle earlier, to a register.
            reading = Signal()
            m.d.sync += reading.eq(Cat(lane["readback_next"] for row in lanes for lane in row).any())
        for j in range(pipes):
            port, address, data = self.drain[j], Signal.like(self.drain[j].addr, name=f"drain_addr{j}"), []
            m.d.comb += port.ready.eq(~reading)
            m.d.sync += address.eq(port.addr)
            for col in range(j, self.config.columns, pipes):
                for r in range(self.config.rows):
                    lane = lanes[r][col]
                    m.d.sync += lane["drain"].eq(port.valid & port.ready & (port.row == r) & (port.column == col))
                    m.d.comb += lane["drain_addr"].eq(address)
                    data.append(lane["drain_data"])
            m.d.sync += port.data.eq(reduce(or_, data))
