"""Which lanes the next weight word is for, and where in their memories it goes."""

from __future__ import annotations

from amaranth import Const, Module, Mux, Signal, Value
from amaranth.lib import data

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.isa import Format


class LaneWalk:
    """Registers that step word by word through one lane group after the other.

    Parameters
    ----------
    m : Module
        That they belong to.
    config : Config
    p : View
        Payload with ``count``, ``dst``, ``groups``, ``log2_rc`` and ``log2_cc``.
    leaves_out : bool
        Words may be left out.
    rows_end : Signal, optional
        Of a stream of format ``vector``: the word at hand is the last that is given of a row of `Derived.vector_row`
        words. ``jump`` is then its place in the row.

    Attributes
    ----------
    jump : Signal
        Words that are left out before the one at hand; at most ``free`` of its group of lanes and its row of bits.
    row_end : Signal
        The next word is one of another row of bits.
    at, end : Value, Signal
        Its address; it is the last one.
    outside : Value
        No memory has its place.
    """

    def __init__(self, m: Module, config: Config, p: data.View, leaves_out: bool = False,
                 rows_end: Signal | None = None) -> None:
        self.config, d, self._p, self.leaves_out = config, Derived(config), p, leaves_out
        self._rows_end = rows_end
        row_bits, column_bits = ((n - 1).bit_length() for n in (config.rows, config.columns))
        self._bus_bits = bus_bits = (d.weight_buses - 1).bit_length()
        # One more bit than an address needs says that the address has run out of the memory.
        self.dst = Signal(config.wmem_words.bit_length(), name="dst")
        self.left, self.groups = Signal(len(p.count), name="left"), Signal(len(p.groups), name="groups")
        self.rows, self.columns = Signal(config.rows, name="rows"), Signal(config.columns, name="columns")
        self.log2_nbe = Signal(range(max(2, bus_bits + 1)), name="log2_nbe")
        self._start_rows = Signal(config.rows, name="start_rows")
        self._start_columns = Signal(config.columns, name="start_columns")
        with m.Switch(p.log2_rc):
            for k in range(row_bits + 1):
                with m.Case(k):
                    m.d.comb += self._start_rows.eq(
                        sum(1 << r for r in range(config.rows) if r % (1 << k) < d.weight_buses))
        with m.Switch(p.log2_cc):
            for k in range(column_bits + 1):
                with m.Case(k):
                    m.d.comb += self._start_columns.eq(sum(1 << n for n in range(0, config.columns, 1 << k)))
        self._group_end, self.end = Signal(name="group_end"), Signal(name="end")
        self.jump: Value = Const(0, 1)
        self.free: Value = Const(0, 1)
        self.at: Value = self.dst
        self._next: Value = self.dst + 1
        group_end: Value = self.left == 1
        if leaves_out:
            self._rows_of(m)
            self.at = self.dst + self.jump
            group_end = self.row_end & self._row_last
        m.d.comb += [self._group_end.eq(group_end), self.end.eq(self._group_end & (self.groups == 1))]
        self.outside: Value = self.dst[-1] | ~self.rows.any() | ~self.columns.any()

    def _rows_of(self, m: Module) -> None:
        """Count what is left of a row of bits (``free``) and of the lane group behind it (``left``) apart."""
        d, p = Derived(self.config), self._p
        size: Value = Const(d.bits_words)
        self.jump, self.free = (Signal(range(d.vector_row if d.leaves_rows else d.bits_words), name=name)
                                for name in ("jump", "free"))
        self._row_last, self.row_end = Signal(name="row_last"), Signal(name="row_end")
        row_end, after, left = self.jump == self.free, self.dst + self.jump + 1, self.free - self.jump - 1
        if self._rows_end is not None:
            by_rows = p.format == int(Format.VECTOR)
            size, row_end = Mux(by_rows, d.vector_row, size), Mux(by_rows, self._rows_end, row_end)
            after = Mux(by_rows, self.dst + Mux(self._rows_end, d.vector_row, 0), after)
            left = Mux(by_rows, self.free, left)
        self._row, self._next, self._free_after = size, after, left
        self._begin = [(self.free, Mux(p.count > size, size, p.count) - 1), (self._row_last, p.count <= size),
                       (self.left, p.count - size)]
        m.d.comb += self.row_end.eq(row_end)

    def start(self, m: Module) -> None:
        """Begin with the command's first word."""
        p, bus_bits = self._p, self._bus_bits
        m.d.sync += [
            self.rows.eq(self._start_rows), self.columns.eq(self._start_columns),
            self.log2_nbe.eq(Mux(p.log2_rc < bus_bits, p.log2_rc, bus_bits)),
            self.dst.eq(clipped(p.dst, self.config.wmem_words)), self.groups.eq(p.groups)]
        self._first_row(m)

    def _first_row(self, m: Module) -> None:
        if self.leaves_out:
            m.d.sync += [target.eq(value) for target, value in self._begin]
        else:
            m.d.sync += self.left.eq(self._p.count)

    def step(self, m: Module) -> None:
        """Go on to the next word."""
        p = self._p
        m.d.sync += self.dst.eq(self._next)
        if self.leaves_out:
            m.d.sync += self.free.eq(self._free_after)
            with m.If(self.row_end):
                m.d.sync += [self.free.eq(Mux(self.left > self._row, self._row, self.left) - 1),
                             self._row_last.eq(self.left <= self._row), self.left.eq(self.left - self._row)]
        else:
            m.d.sync += self.left.eq(self.left - 1)
        with m.If(self._group_end):
            self._first_row(m)
            m.d.sync += [self.dst.eq(clipped(p.dst, self.config.wmem_words)),
                         self.groups.eq(self.groups - 1)]
            turned = Signal(self.config.rows, name="turned")
            with m.Switch(self.log2_nbe):
                for k in range(self._bus_bits + 1):
                    with m.Case(k):
                        m.d.comb += turned.eq(self.rows.rotate_left(1 << k))
            m.d.sync += self.rows.eq(turned)
            with m.If(turned[0]):
                # All groups along the rows are served. The next column group; past the last one no column is left.
                m.d.sync += self.columns.eq(self.columns << 1)
                with m.If(self.columns[-1]):
                    m.d.sync += self.columns.eq(0)


def clipped(value: Value, limit: int) -> Value:
    """Return ``value`` in as many bits as ``limit`` has, or ``limit`` when it is larger."""
    bits = limit.bit_length()
    return Mux(value[bits:].any(), limit, value[:bits])
