"""Nest elements to items of POST: lane, accumulator, addresses per pipe, what is dropped, every bounds check.

Four register stages after the nest, without stalls: an element enters only when the item queue has room for it.
"""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.hardware.fifo import Fifo
from hwgen.hardware.post_item import RANGE, item_layout, lane_layout, pack, result_layout, sizes
from hwgen.hardware.post_params import ADDRESS

VALUES = {"y": 13, "x": 17, "a": 22, "p": 17, "s": 22}
"""Running values of POST's nest: position, result address, parameter address, source offset."""

POINT = data.StructLayout({name: signed(width) for name, width in VALUES.items()})

ELEMENT = data.StructLayout({"values": POINT, "level": 3, "first": 1, "last": 1})
"""What `hwgen.hardware.nest.Nest` gives for them."""

QUEUE = 20
"""Items between walker and issue: how far parameter blocks are requested ahead."""

STAGES = 4
"""Cycles from the nest to the item queue."""

MAP = data.StructLayout(
    {
        "height": 13,
        "width": 17,
        "scalar": 1,
        "transpose": 1,
        "log2_rc": 3,
        "log2_column": 3,
        "cc_valid": 6,
        "cc_dropped": 1,
    }
)
"""Registers of PO_QUANT the walker needs; ``log2_column`` = log2(max(Cc, pipes)), ``cc_dropped``: Cc >= pipes > 1."""

JOB = data.StructLayout({"eltwise": 1, "add": 1, "a": 21, "b": 21, "acc_base": 12, "mask": 16})
"""The DRAIN or ELTWISE that walks."""

OFFSETS = data.StructLayout({"dy": signed(13), "dx": signed(17), "da": signed(22), "dp": signed(17)})
"""Pipe j against pipe 0."""

_INDEX = 6
"""Bits of a saturating nest index: beyond 63 every row, column and channel group is outside anyway."""


class Walker(wiring.Component):
    """Walks one DRAIN or ELTWISE at a time.

    Attributes
    ----------
    element : In(stream)
        The nest.
    map, job, offsets : In
        Constant from the first element until ``idle``.
    begin : In(1)
        A job begins: forget which parameter block was requested last.
    marker, code : In
        End a command without elements (a setting, or an illegal one with its ``code``), when ``room`` and ``idle``.
    room, idle : Out(1)
        A marker can be queued; no element is on its way to the queue.
    dead : Out(1)
        An address error was found; nothing more is queued.
    items : Out(stream), requests : Out(stream)
        Queue of items; parameter blocks for those with ``take``.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.derived = config, Derived(config)
        self.item = item_layout(config)
        super().__init__({
            "element": In(stream.Signature(ELEMENT)), "map": In(MAP), "job": In(JOB),
            "offsets": In(OFFSETS).array(self.derived.pipes) if self.derived.pipes > 1 else In(OFFSETS).array(1),
            "begin": In(1), "marker": In(1), "code": In(2), "room": Out(1), "idle": Out(1), "dead": Out(1),
            "items": Out(stream.Signature(self.item)), "requests": Out(stream.Signature(ADDRESS))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pixel = "pixel" in self.config.mappings
        m.submodules.queue = queue = Fifo(self.item.size, QUEUE)
        m.submodules.blocks = blocks = Fifo(ADDRESS.width, QUEUE + 2)
        m.d.comb += [
            self.items.valid.eq(queue.o.valid),
            Value.cast(self.items.payload).eq(queue.o.payload),
            queue.o.ready.eq(self.items.ready),
            self.requests.valid.eq(blocks.o.valid),
            self.requests.payload.eq(blocks.o.payload),
            blocks.o.ready.eq(self.requests.ready),
        ]

        # Elements in the stages and items in the queue. The queue of block requests also has those of the two items
        # that wait outside.
        count = Signal(range(QUEUE + 1))
        accept, valid = Signal(), Signal(STAGES)
        poisoned, push = Signal(), Signal()
        m.d.comb += [
            self.room.eq(count < QUEUE), self.element.ready.eq(self.room),
            accept.eq(self.element.valid & self.element.ready & ~self.dead), self.idle.eq(~valid.any())]
        m.d.sync += valid.eq(Cat(accept, valid))
        # A cycle late: the way from the grants of the reads to it is long.
        popped, unused = Signal(), Signal()
        m.d.sync += [popped.eq(queue.o.valid & queue.o.ready), unused.eq(valid[-1] & ~push)]
        m.d.sync += count.eq(count + (accept | self.marker) - popped - unused)

        one = self._index(m, accept)
        two = self._address(m, one)
        found = self._sum_up(m, self._check(m, two))

        # --- queue -----------------------------------------------------------------------------------------------
        item, job = Signal(self.item), self.job
        broken, block_end, wrong, take = Signal(), Signal(), Signal(), Signal()
        requested, last_block, need = Signal(), Signal(ADDRESS), Signal()
        transposed = self.map.transpose & ~job.eltwise if pixel else Const(0)
        works = found["works"]
        m.d.comb += [
            wrong.eq(valid[-1] & found["error"]), broken.eq(wrong | poisoned),
            # A transposed block is completed before the error is reported: the transposer must not keep half of one.
            block_end.eq(~transposed | (found["position"] == self.config.vector - 1)),
            push.eq(valid[-1] & ~self.dead),
            need.eq(~requested | ~self.map.scalar & ~job.eltwise & (found["p"] != last_block)),
            take.eq(~broken & need & works & ~self.marker)]
        result = pack(
            result_layout(self.config),
            address=found["address"],
            mask=job.mask,
            action=~self.marker,
            write=Mux(broken | self.marker, 0, found["write"]),
            data=Mux(broken, transposed, works | transposed) & ~self.marker,
            last=found["last"] | broken & block_end | self.marker,
            code=Mux(self.marker, self.code, Mux(broken, RANGE, 0)),
        )
        fields = {"result": result, "eltwise": job.eltwise & ~broken & ~self.marker, "take": take,
                  "read": Mux(broken | job.eltwise | self.marker, 0, found["read"]),
                  "source": Mux(job.eltwise, found["source_a"], found["lane"])}
        if pixel:
            fields["channel"] = found["position"]
        if "add" in self.config.operators:
            fields["source_b"] = found["source_b"]
        m.d.comb += [
            Value.cast(item).eq(pack(self.item, **fields)),
            queue.i.payload.eq(item),
            queue.i.valid.eq(push | self.marker),
            blocks.i.payload.eq(found["p"]),
            blocks.i.valid.eq(push & take),
        ]
        with m.If(blocks.i.valid):
            m.d.sync += [requested.eq(1), last_block.eq(found["p"])]
        with m.If(self.begin):
            m.d.sync += requested.eq(0)
        with m.If(push & broken):
            m.d.sync += [poisoned.eq(1), self.dead.eq(block_end | found["last"])]
        return m

    def _index(self, m: Module, accept: Value) -> dict[str, Value]:
        """Stage 1: values of pipe 0, indices of the lane, accumulator and position in a transposed block."""
        element, level = self.element.payload, self.element.payload.level
        index = [Signal(_INDEX, name=f"i{k}") for k in range(4)]
        values, last = Signal(POINT), Signal()
        # One bit more than any accumulator address, and then it stays: too long a walk is an error, not a wrap.
        acc, position = Signal(13), Signal(max(1, self.config.vector.bit_length() - 1))
        new_lane = Signal()
        m.d.comb += new_lane.eq(element.first | (level <= 3))
        with m.If(accept):
            m.d.sync += [values.eq(element.values), last.eq(element.last)]
            for k, i in enumerate(index):
                with m.If((element.first | (level < k)) if k else element.first):
                    m.d.sync += i.eq(0)
                with m.Elif(level == k):
                    m.d.sync += i.eq(i + ~i.all())
            m.d.sync += [
                acc.eq(Mux(new_lane, self.job.acc_base, acc + ~acc[-1])),
                position.eq(Mux(new_lane, 0, position + 1)),
            ]
        return {"index": Cat(index), "values": values, "last": last, "acc": acc, "position": position}

    def _address(self, m: Module, one: dict[str, Value]) -> dict[str, Value]:
        """Stage 2: row, column, values of every pipe, sources."""
        values, log2_pipes = data.View(POINT, one["values"]), self.derived.pipes.bit_length() - 1
        i0, i1, i2, i3 = (one["index"][_INDEX * k:_INDEX * (k + 1)] for k in range(4))
        row, column, group = Signal(_INDEX + 7), Signal(_INDEX + 7), Signal(_INDEX + log2_pipes)
        m.d.sync += [row.eq((i3 << self.map.log2_rc) + i1), group.eq(i0 << log2_pipes),
                     column.eq((i2 << self.map.log2_column) + (i0 << log2_pipes))]
        out: dict[str, Value] = {"row": row, "column": column, "group": group}
        for name, value in (("last", one["last"]), ("acc", one["acc"]), ("position", one["position"])):
            out[name] = Signal(len(value), name=f"{name}2")
            m.d.sync += out[name].eq(value)
        for j in range(self.derived.pipes):
            for name in ("y", "x", "a", "p"):
                value = values[name]
                out[f"{name}{j}"] = result = Signal(value.shape(), name=f"{name}2_{j}")
                m.d.sync += result.eq(value + self.offsets[j]["d" + name] if j else value)
        for name, first in (("source_a", self.job.a), ("source_b", self.job.b)):
            out[name] = Signal(signed(24), name=name)
            m.d.sync += out[name].eq(first + values.s)
        return out

    def _check(self, m: Module, two: dict[str, Value]) -> dict[str, Value]:
        """Stage 3: which pipes read and write, and whether one of them leaves a memory."""
        c, d, s, job = self.config, self.derived, sizes(self.config), self.job
        vectors, pixel = d.act_words * d.vectors_per_word, "pixel" in c.mappings
        transposed = self.map.transpose if pixel else Const(0)
        out: dict[str, Value] = {}
        read, write, error = Signal(d.pipes, name="read3"), Signal(d.pipes, name="write3"), Signal(4 * d.pipes + 2)
        lane_bad = Signal()
        m.d.comb += lane_bad.eq((two["row"] >= c.rows) | (two["acc"] >= c.acc_vectors))
        errors: list[Value] = []
        addresses: list[Value] = []
        for j in range(d.pipes):
            inside, exists = Signal(name=f"inside{j}"), Signal(name=f"exists{j}")
            y, x, a, p = (two[f"{n}{j}"].as_unsigned() for n in "yxap")
            m.d.comb += [
                inside.eq((y < self.map.height) & ~two[f"y{j}"][-1] & (x < self.map.width) & ~two[f"x{j}"][-1]),
                exists.eq(~self.map.cc_dropped | (two["group"] + j < self.map.cc_valid)),
            ]
            reads, writes = Signal(name=f"reads{j}"), Signal(name=f"writes{j}")
            m.d.comb += [
                writes.eq(Mux(job.eltwise, int(j == 0), exists & inside)),
                reads.eq(~job.eltwise & exists & (inside | transposed)),
            ]
            m.d.sync += [read[j].eq(reads), write[j].eq(writes)]
            # A pipe without results keeps its parameters outside unread and is no error.
            errors += [writes & (a >= vectors), reads & lane_bad, reads & (two["column"] + j >= c.columns),
                       reads & ~self.map.scalar & (p > d.param_words - d.param_block)]
            addresses.append(Signal(s["vector"], name=f"address{j}"))
            m.d.sync += addresses[j].eq(a)
        for name, used in (("source_a", job.eltwise), ("source_b", job.eltwise & job.add)):
            errors.append(used & (two[name].as_unsigned() >= vectors))
            out[name] = Signal(s["vector"], name=f"{name}3")
            m.d.sync += out[name].eq(two[name])
        m.d.sync += error.eq(Cat(errors))
        lane = Signal(lane_layout(c))
        m.d.sync += [lane.acc.eq(two["acc"]), lane.row.eq(two["row"]), lane.column.eq(two["column"])]
        for name, value in (("last", two["last"]), ("position", two["position"]), ("p", two["p0"])):
            out[name] = Signal(value.shape(), name=f"{name}3")
            m.d.sync += out[name].eq(value)
        return out | {
            "read": read,
            "write": write,
            "error": error.any(),
            "lane": Value.cast(lane),
            "address": Cat(addresses),
            "works": read.any() | job.eltwise,
        }

    def _sum_up(self, m: Module, three: dict[str, Value]) -> dict[str, Value]:
        """Stage 4: one bit for all errors and one for all reads."""
        out: dict[str, Value] = {}
        for name, value in three.items():
            out[name] = Signal(value.shape(), name=f"{name}4")
            m.d.sync += out[name].eq(value)
        return out
