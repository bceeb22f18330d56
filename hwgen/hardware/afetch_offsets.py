"""Offsets of the grid columns from the first one (AF_COL)."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hwgen.config import Config
from hwgen.hardware.interfaces import payload_layout
from hwgen.isa import BY_NAME

WIDTHS = {f.name: f.width for f in BY_NAME["AF_COL"].fields}


class ColumnOffsets(wiring.Component):
    """Walk the columns once, adding ``cc_da`` inside a pixel group and (dy, dx, da) from group to group.

    One adder a value serves all columns: every step shifts the next column's offset into a chain, so that after
    columns - 1 steps every column has its own. Column 0 has none.

    Ports
    -----
    payload : of AF_COL, held while ``busy``.
    step : compute the next column. ``busy`` is high in all steps but the last.
    y, x, a : offsets of columns 1 and following, valid from the cycle after the last step.
    """

    def __init__(self, config: Config) -> None:
        self.count = config.columns - 1
        super().__init__({
            "payload": In(96), "step": In(1), "busy": Out(1),
            "y": Out(signed(WIDTHS["dy"])).array(self.count), "x": Out(signed(WIDTHS["dx"])).array(self.count),
            "a": Out(signed(WIDTHS["da"])).array(self.count)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if not self.count:
            return m
        p = data.View(payload_layout("AF_COL"), self.payload)
        at, group = Signal(range(max(2, self.count))), Signal(signed(WIDTHS["da"]))
        column, new_group = Signal(range(self.count + 1)), Signal()
        m.d.comb += [self.busy.eq(self.step & (at != self.count - 1)), column.eq(at + 1), new_group.eq(1)]
        for bit in range(len(column)):
            with m.If((p.log2_cc > bit) & column[bit]):
                m.d.comb += new_group.eq(0)
        first = at == 0
        y, x, a = (Mux(first, 0, chain[self.count - 1]) for chain in (self.y, self.x, self.a))
        group_a = Mux(first, 0, group) + p.da
        with m.If(self.step):
            m.d.sync += at.eq(Mux(self.busy, at + 1, 0))
            for chain in (self.y, self.x, self.a):
                for i in range(self.count - 1):
                    m.d.sync += chain[i].eq(chain[i + 1])
            m.d.sync += [
                self.y[self.count - 1].eq(y + Mux(new_group, p.dy, 0)),
                self.x[self.count - 1].eq(x + Mux(new_group, p.dx, 0)),
                self.a[self.count - 1].eq(Mux(new_group, group_a, a + p.cc_da)),
                group.eq(Mux(new_group, group_a, Mux(first, 0, group)))]
        return m
