"""Items to reads: lane accumulators (DRAIN) or two activation buffer vectors (ELTWISE), all pipes in step.

An item is issued when the last of its reads is granted. Grants may come one by one: what arrives early waits in its
register, which the next item cannot overwrite before the item is complete, because its reads start later.
"""

from __future__ import annotations

from amaranth import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.axi import Skid
from hwgen.hardware.bank_hash import bank_of, banked_read
from hwgen.hardware.delay import delayed
from hwgen.hardware.interfaces import ACT_READ_LATENCY, DRAIN_LATENCY, drain_port
from hwgen.hardware.post_item import item_layout, lane_layout, result_layout, sizes
from hwgen.hardware.select import pick

ACC_AFTER = DRAIN_LATENCY + 1
"""Cycles from issue to ``acc``."""

VECTOR_AFTER = ACT_READ_LATENCY + 1
"""Cycles from issue to ``vectors``."""


class Issue(wiring.Component):
    """One item a cycle.

    Attributes
    ----------
    items : In(stream)
    add : In(1)
        ELTWISE reads both operands.
    block_ready, take, channel : parameters; see `hwgen.hardware.post_params.Parameters`.
    results : Out(stream)
        Destination of the issued item, in the cycle of issue. Items wait while it is not ready.
    issued : Out(1)
        The item of this cycle has results.
    acc : Out
        Accumulators of every pipe, `ACC_AFTER` cycles after issue; 0 after an ELTWISE item.
    vectors : Out
        Operands A and B, `VECTOR_AFTER` cycles after issue.
    drain, sources : the read ports.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.derived = config, Derived(config)
        super().__init__({
            "items": In(stream.Signature(item_layout(config))), "add": In(1), "block_ready": In(1), "take": Out(1),
            "channel": Out(range(max(config.vector, 2))), "results": Out(stream.Signature(result_layout(config))),
            "issued": Out(1),
            "acc": Out(data.ArrayLayout(config.vector * config.acc_bits, self.derived.pipes)),
            "vectors": Out(data.ArrayLayout(8 * config.vector, 2)),
            "drain": Out(drain_port(config)).array(self.derived.pipes), "sources": Out(banked_read(config)).array(2)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        vector_bits, log2 = sizes(self.config)["vector"], self.derived.vectors_per_word.bit_length() - 1
        # Two wait here, so that the way from the grants ends before the queue of items.
        bank = len(self.sources[0].bank)
        m.submodules.skid = skid = Skid(data.StructLayout({
            "item": item_layout(self.config), "bank": data.ArrayLayout(bank, len(self.sources))}))
        coming, item, full, go, may = self.items.payload, skid.o.p.item, skid.o.valid, Signal(), Signal()
        addresses = [coming.source[:vector_bits], coming.source_b] if "add" in self.config.operators else [
            coming.source[:vector_bits]]
        m.d.comb += [
            skid.i.valid.eq(self.items.valid), self.items.ready.eq(skid.i.ready), skid.i.p.item.eq(coming),
            *(skid.i.p.bank[k].eq(bank_of(self.config, a[log2:])) for k, a in enumerate(addresses)),
            skid.o.ready.eq(go)]
        m.d.comb += [may.eq(full & self.results.ready & (~item.take | self.block_ready)),
                     self.results.valid.eq(go), self.results.payload.eq(item.result), self.take.eq(go & item.take),
                     self.issued.eq(go & item.result.data)]
        if "pixel" in self.config.mappings:
            m.d.comb += self.channel.eq(item.channel)

        lane = data.View(lane_layout(self.config), item.source[:lane_layout(self.config).size])
        waiting: list[Value] = []
        for j, port in enumerate(self.drain):
            granted = self._read(m, may, item.read[j], port, go, waiting)
            m.d.comb += [port.row.eq(lane.row), port.column.eq(lane.column | j), port.addr.eq(lane.acc)]
            with m.If(delayed(m, granted, DRAIN_LATENCY, f"drain{j}")):
                m.d.sync += self.acc[j].eq(port.data)
            if j == 0:
                # POST merges the operand path by OR.
                with m.If(full & item.eltwise):
                    m.d.sync += self.acc[0].eq(0)
        for k, port in enumerate(self.sources):
            if k == 1 and "add" not in self.config.operators:
                m.d.comb += [port.valid.eq(0), port.addr.eq(0), port.bank.eq(0)]
                continue
            address = item.source_b if k else item.source[:vector_bits]
            m.d.comb += port.bank.eq(skid.o.p.bank[k])
            granted = self._read(m, may, item.eltwise & (self.add if k else 1), port, go, waiting)
            m.d.comb += port.addr.eq(address[log2:])
            part = address[:log2]
            for i in range(ACT_READ_LATENCY if log2 else 0):
                later = Signal(log2, name=f"part{k}_{i}")
                m.d.sync += later.eq(part)
                part = later
            words = [port.data[i:i + 8 * self.config.vector] for i in range(0, len(port.data), 8 * self.config.vector)]
            with m.If(delayed(m, granted, ACT_READ_LATENCY, f"source{k}")):
                m.d.sync += self.vectors[k].eq(pick(words, part))
        m.d.comb += go.eq(may & ~Cat(waiting).any())
        return m

    def _read(
        self, m: Module, may: Value, wanted: Value, port: wiring.PureInterface, go: Value, waiting: list[Value]
    ) -> Value:
        """Drive ``valid`` of one read port; return its grant and add to ``waiting`` what holds the item up."""
        had, granted = Signal(), Signal()
        m.d.comb += [port.valid.eq(may & wanted & ~had), granted.eq(port.valid & port.ready)]
        m.d.sync += had.eq((had | granted) & ~go)
        waiting.append(wanted & ~had & ~port.ready)
        return granted
