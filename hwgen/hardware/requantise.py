"""The requantiser of one result: bias, exact 32 x 32 product, rounding shift, zero point, clamp; a Verilog module.

The rounding rules are those of `hwgen.golden.fixedpoint`; how they fit into one shifter:

* ``h`` of the contract is ``p >> 23`` or ``((p + 2**30) >> 31) << 8``. The second is ``H + p[30]``, ``H = p >> 31``;
  where ``p[30]`` is set the shifter works on ``~H``, because ``H + 1 == -~H``, and what leaves it is inverted again.
  That replaces a 33-bit adder by inverters that fit into the shifter's multiplexers.
* The shifter keeps one guard bit and collects what is shifted out in ``sticky``. Whether to round is known only after
  the shift, when 10 bits and an overflow flag are left: no wide adder, no mask of the rounding constant.

=====  ======================================================================================
cycle  work (registers at its end)
=====  ======================================================================================
0      x = acc + bias
1      first of four 17 x 17 products; one more in each of the next three cycles
3..5   the next one added; p
6      shift by 0..3
7      shift by 0, 4, 8 or 12
8      shift by 0, 16, 32 or 48; overflow
9      saturate, round, add the zero point
10     clamp
=====  ======================================================================================
"""

from __future__ import annotations

from functools import partial

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.back import verilog
from amaranth.hdl import ShapeLike
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.golden.post_rule import FIRST
from hwgen.hardware.delay import delayed
from hwgen.isa import Final

LATENCY = 11
"""Cycles from ``acc`` to ``q``."""

REQUANTISE_MODULE = "hwgen_requantise"
"""Name of the Verilog module."""

_LOW = 17
"""Bits of the lower part of an operand: with a sign bit it fills an 18-bit multiplier."""

_KEPT = 10
"""Bits that leave the shifter: with a 9-bit zero point and clamp, saturating to 10 bits changes no result."""


class Requantiser(wiring.Component):
    """One result a cycle, `LATENCY` cycles after its operands; no handshake.

    Attributes
    ----------
    acc, bias : In(signed(32))
    multiplier : In(32)
    shift : In(6)
        ``n`` of the contract; the results for n > 39 are unspecified.
    nudge, ties, zero_point, qmin, qmax : In
        Constant while values are in flight; ``ties`` is ``final`` of PO_QUANT (a keyword of SystemVerilog).
    q : Out(8)
    """

    def __init__(self) -> None:
        super().__init__({
            "acc": In(signed(32)), "bias": In(signed(32)), "multiplier": In(32), "shift": In(6),
            "nudge": In(1), "ties": In(2), "zero_point": In(signed(9)), "qmin": In(signed(9)), "qmax": In(signed(9)),
            "q": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, n = self._product(m)
        shifted, flags = self._shift(m, p, n)
        self._round(m, shifted, **flags)
        return m

    def _product(self, m: Module) -> tuple[Value, Value]:
        """Return the 64-bit product, in cycle 6, and the shift of the same value.

        Every partial product has a cycle and registers of its own: multiplier blocks lie far apart.
        """
        later = partial(delayed, m, reset_less=True)
        x, factor = _register(signed(32)), _register(32)
        m.d.sync += [x.eq(self.acc + self.bias), factor.eq(self.multiplier)]
        low, high = x[:_LOW], x[_LOW:].as_signed()
        small, large = factor[:_LOW], factor[_LOW:]

        def product(k: int, a: Value, b: Value) -> Value:
            result = Signal(signed(36), name=f"product{k}", reset_less=True)
            a, b = (Cat(later(v, k, f"{n}{k}"), Const(0, 1)).as_signed() if not v.shape().signed
                    else later(v, k, f"{n}{k}").as_signed() for n, v in (("x", a), ("m", b)))
            m.d.sync += result.eq(a * b)
            return result

        first = product(0, low, small)[:2 * _LOW]
        second, third, fourth = product(1, low, large), product(2, high, small), product(3, high, large)
        lowest = later(first[:_LOW], 4, "lowest")
        start, middle, sum_ = _register(_LOW), _register(signed(35)), _register(signed(36))
        top, kept = _register(signed(64 - 2 * _LOW)), _register(_LOW)
        m.d.sync += [start.eq(first[_LOW:]), middle.eq(start + second), sum_.eq(middle + third),
                     top.eq((sum_ >> _LOW) + fourth), kept.eq(sum_[:_LOW])]
        return Cat(lowest, kept, top), later(self.shift, 6, "n")

    def _shift(self, m: Module, p: Value, n: Value) -> tuple[Value, dict[str, Value]]:
        """Return guard bit and 10 bits of the quotient (maybe inverted), in cycle 9, and what rounding needs."""
        fine, coarse = n[:2], n[2:]
        two = self.nudge & n[3:].any()
        """Two roundings: the first one at bit 31."""
        single = self.nudge & ~n[3:].any()
        invert = two & p[30]
        lost = ~two & p[:FIRST].any()
        u = Cat(Const(0, 1), Mux(two, 0, p[FIRST:31]), p[31:] ^ invert.replicate(33))
        a, a_lost, a_n = _register(signed(len(u))), _register(1), _register(4)
        m.d.sync += [a.eq(u.as_signed() >> fine), a_n.eq(coarse),
                     a_lost.eq(lost | u[0] & fine.any() | u[1] & fine[1] | u[2] & fine.all())]
        b, b_lost, b_n = _register(signed(len(u))), _register(1), _register(2)
        quarter = a_n[:2]
        m.d.sync += [
            b.eq(a >> (quarter << 2)),
            b_n.eq(a_n[2:]),
            b_lost.eq(a_lost | a[:4].any() & quarter.any() | a[4:8].any() & quarter[1] | a[8:12].any() & quarter.all()),
        ]
        kept, sticky, overflow = _register(_KEPT + 1), _register(1), _register(1)
        sign = b[-1]
        m.d.sync += [
            kept.eq((b >> (b_n << 4))[:_KEPT + 1]),
            sticky.eq(b_lost | b[:16].any() & b_n.any() | b[16:32].any() & b_n[1]),
            overflow.eq(~b_n[1] & ~_same(b[16 + _KEPT:], sign) | ~b_n.any() & ~_same(b[_KEPT:16 + _KEPT], sign))]
        flags = {name: delayed(m, value, 3, name, reset_less=True)
                 for name, value in (("invert", invert), ("negative", p[63]), ("single", single))}
        flags |= {"sticky": sticky, "overflow": overflow}
        return kept, flags

    def _round(self, m: Module, shifted: Value, *, invert: Value, negative: Value, single: Value, sticky: Value,
               overflow: Value) -> None:
        restored = shifted ^ invert.replicate(_KEPT + 1)
        guard, odd, tie_up, up = restored[0], restored[1], Signal(), Signal()
        m.d.comb += [
            tie_up.eq(single | Mux(self.ties == Final.EVEN, odd, (self.ties != Final.AWAY) | ~negative)),
            # Inverted, "nothing lost" means all lost bits were ones, and the one that p[30] adds makes them a half.
            up.eq(~overflow & Mux(invert, guard | ~sticky & tie_up, guard & (sticky | tie_up))),
        ]
        limit = Cat((~negative).replicate(_KEPT - 1), negative)
        z = _register(signed(_KEPT + 2))
        m.d.sync += z.eq(Mux(overflow, limit, restored[1:]).as_signed() + self.zero_point + up)
        m.d.sync += self.q.eq(Mux(z < self.qmin, self.qmin, Mux(z > self.qmax, self.qmax, z)))


def _register(shape: ShapeLike) -> Signal:
    """A register of the data path, without a reset: what POST takes has passed all of them since it was issued."""
    return Signal(shape, reset_less=True, src_loc_at=1)


def _same(bits: Value, sign: Value) -> Value:
    return ~(bits ^ sign.replicate(len(bits))).any()


def requantiser_verilog() -> str:
    """Return the Verilog of the module that POST instantiates once per result."""
    return verilog.convert(Requantiser(), name=REQUANTISE_MODULE, emit_src=False, strip_internal_attrs=True)
