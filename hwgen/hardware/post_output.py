"""Results to the activation buffer: destination queue, transposers, result queue, write ports, end of commands.

Results cannot be stalled on their way, so an item is issued only when everything issued before it fits into the result
queue and, transposing, the transposer: `HELD` results, and `HELD` + P while transposing.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.axi import Skid
from hwgen.hardware.bank_hash import bank_of, banked_write
from hwgen.hardware.fifo import Fifo
from hwgen.hardware.post_item import result_layout
from hwgen.hardware.transposer import Transposer

HELD = 24
"""Results of one pipe that can wait: at least the cycles from issue to the result queue plus 4, or the rate suffers."""


class Output(wiring.Component):
    """One result of every pipe a cycle.

    Attributes
    ----------
    destination : In(stream)
        Of the items in order of issue.
    valid, q : In
        Results of every pipe, one for every destination with ``data``, in the same order.
    transpose : In(1)
        Constant while anything is under way.
    ports : Out(banked_write).array(pipes)
    done, error, code : Out
        End of a command: all its writes were granted in earlier cycles.
    action_done : Out(1)
        ``done`` of a DRAIN or ELTWISE.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.derived = config, Derived(config)
        super().__init__({
            "destination": In(stream.Signature(result_layout(config))), "valid": In(1),
            "q": In(data.ArrayLayout(8 * config.vector, self.derived.pipes)), "transpose": In(1),
            "ports": Out(banked_write(config)).array(self.derived.pipes),
            "done": Out(1), "error": Out(1), "code": Out(4), "action_done": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pixel, vector, pipes = "pixel" in self.config.mappings, self.config.vector, self.derived.pipes
        layout = result_layout(self.config)
        depth = HELD + vector if pixel else HELD
        m.submodules.destinations = where = Fifo(layout.size, depth)
        m.submodules.values = values = Fifo(8 * vector * pipes, HELD)
        head = data.View(layout, where.o.payload)
        written, result = self.valid, Value.cast(self.q)
        if pixel:
            turned = []
            for j in range(pipes):
                m.submodules[f"transposer{j}"] = t = Transposer(vector, 8)
                m.d.comb += [
                    t.i.valid.eq(self.valid & self.transpose),
                    t.i.payload.data.eq(self.q[j]),
                    t.i.payload.flag.eq(0),
                    t.o.ready.eq(values.i.ready),
                ]
                turned.append(t.o)
            written = Mux(self.transpose, turned[0].valid, written)
            result = Mux(self.transpose, Cat(t.payload.data for t in turned), result)
        m.d.comb += [
            where.i.valid.eq(self.destination.valid), where.i.payload.eq(self.destination.payload),
            values.i.valid.eq(written), values.i.payload.eq(result)]

        # From a flip-flop; one more may be on its way when it falls.
        limit = Mux(self.transpose, depth - 1, HELD - 1) if pixel else Const(HELD - 1)
        m.d.sync += self.destination.ready.eq(where.level < limit)

        # --- write stage: one destination, until the last pipe's write is granted. Two wait before it, so that whether
        # it is through is not on the way to the queues.
        bank = len(self.ports[0].bank)
        staged = data.StructLayout({"to": layout, "words": 8 * vector * pipes, "bank": data.ArrayLayout(bank, pipes)})
        m.submodules.stage = stage = Skid(staged)
        pop, finish, served = Signal(), Signal(), Signal(pipes)
        per_word = self.derived.vectors_per_word
        log2 = per_word.bit_length() - 1
        m.d.comb += [
            stage.i.valid.eq(where.o.valid & (~head.data | values.o.valid)), pop.eq(stage.i.valid & stage.i.ready),
            where.o.ready.eq(pop), values.o.ready.eq(pop & head.data),
            stage.i.p.to.eq(head), stage.i.p.words.eq(values.o.payload),
            *(stage.i.p.bank[j].eq(bank_of(self.config, head.address[j][log2:])) for j in range(pipes))]
        current, words = stage.o.p.to, stage.o.p.words
        granted = served | Cat(port.ready for port in self.ports)
        m.d.comb += [finish.eq(stage.o.valid & ~(current.write & ~granted).any()), stage.o.ready.eq(finish)]
        m.d.sync += served.eq(Mux(stage.o.valid & ~finish, granted, 0))
        for j, port in enumerate(self.ports):
            address, part = current.address[j], words[8 * vector * j:8 * vector * (j + 1)]
            m.d.comb += [
                port.valid.eq(stage.o.valid & current.write[j] & ~served[j]),
                port.addr.eq(address[log2:]),
                port.bank.eq(stage.o.p.bank[j]),
                port.data.eq(part.replicate(per_word)),
                port.mask.eq(_shifted(current.mask, address[:log2], per_word)),
            ]
        ended = finish & current.last
        m.d.sync += [self.done.eq(ended & (current.code == 0)), self.error.eq(ended & (current.code != 0)),
                     self.code.eq(current.code), self.action_done.eq(ended & current.action)]
        return m


def _shifted(mask: Value, index: Value, count: int) -> Value:
    """Return ``mask`` in place ``index`` of ``count``, zeros elsewhere."""
    return Cat(Mux(index == i, mask, Const(0, len(mask))) for i in range(count)) if count > 1 else mask
