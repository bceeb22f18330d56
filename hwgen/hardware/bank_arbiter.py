"""Who gets which bank in a cycle: several ports of one word, and one port of some aligned neighbouring banks."""

from __future__ import annotations

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class BankArbiter(wiring.Component):
    """Combinational grants for ``narrow`` one-word ports and one port of ``wide`` banks.

    Nobody starves: the wide port goes first, except in the cycle after it made a narrow port wait, so it waits at most
    one cycle; the priority among narrow ports rotates in every cycle in which the wide port is not served, so a
    waiting port is first at least every ``narrow`` such cycles. Nobody waits for a second bank while holding one, so
    there is no deadlock. Whether the wide port goes depends on flip-flops only, which keeps it off the path from
    requests to grants.

    Ports
    -----
    valid, bank : requests of the narrow ports and the banks they want (``valid`` must not depend on ``ready``).
    wide_valid, wide_group : request of the wide port for banks ``wide_group * wide`` and the following.
    ready, wide_ready : served in this cycle.
    wide_banks : the banks the wide port has.
    grants : for every bank a bit for every narrow port, at most one set: it has the bank unless the wide port has.
    """

    def __init__(self, banks: int, narrow: int, wide: int) -> None:
        self.banks, self.narrow, self.wide = banks, narrow, wide
        super().__init__({
            "valid": In(narrow), "bank": In(range(max(2, banks))).array(narrow), "ready": Out(narrow),
            "wide_valid": In(1), "wide_group": In(range(max(2, banks // wide))), "wide_ready": Out(1),
            "grants": Out(narrow).array(banks), "wide_banks": Out(banks)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        yields = Signal()
        """The wide port made a narrow one wait in the last cycle."""
        behind, following = Signal(self.narrow), Signal(self.narrow)
        """Bit i: port i is before the port whose turn it is, hence comes last."""
        overtakes = [[Signal(name=f"port{j}_overtakes{i}") for j in range(i + 1, self.narrow)]
                     for i in range(self.narrow)]
        """The higher port j goes before i. In flip-flops: two levels of logic from four requests to a grant."""
        requests = [Signal(self.narrow, name=f"requests{b}") for b in range(self.banks)]
        for b in range(self.banks):
            m.d.comb += requests[b].eq(Cat(self.valid[i] & (self.bank[i] == b) for i in range(self.narrow)))

        wanted = Signal(self.banks // self.wide)
        m.d.comb += [wanted.eq(Cat(Cat(requests[g:g + self.wide]).any() for g in range(0, self.banks, self.wide))),
                     self.wide_ready.eq(self.wide_valid & ~yields)]
        for g in range(self.banks // self.wide):
            with m.If(self.wide_ready & (self.wide_group == g)):
                m.d.comb += self.wide_banks[g * self.wide:(g + 1) * self.wide].eq(-1)
        m.d.sync += yields.eq(self.wide_ready & wanted.bit_select(self.wide_group, 1))
        m.d.comb += following.eq(behind)
        with m.If(~self.wide_ready):
            m.d.comb += following.eq((behind << 1 | 1) & ((1 << self.narrow - 1) - 1))
            with m.If(behind[:self.narrow - 1].all()):
                m.d.comb += following.eq(0)
        m.d.sync += behind.eq(following)
        for i, flags in enumerate(overtakes):
            for j, flag in enumerate(flags, i + 1):
                m.d.sync += flag.eq(following[i] & ~following[j])

        for b in range(self.banks):
            for i in range(self.narrow):
                first = [requests[b][j] & ~overtakes[j][i - j - 1] for j in range(i)]
                first += [requests[b][j] & overtakes[i][j - i - 1] for j in range(i + 1, self.narrow)]
                m.d.comb += self.grants[b][i].eq(requests[b][i] & ~Cat(first).any())
        # The same as any of the grants; comparing the ports with each other is half as deep as asking every bank.
        per_wide = (self.wide - 1).bit_length()
        for i in range(self.narrow):
            before = [self.wide_ready & (self.bank[i][per_wide:] == self.wide_group)]
            for j in range(self.narrow):
                if j != i:
                    first = ~overtakes[j][i - j - 1] if j < i else overtakes[i][j - i - 1]
                    before.append(self.valid[j] & first & (self.bank[j] == self.bank[i]))
            m.d.comb += self.ready[i].eq(self.valid[i] & ~Cat(before).any())
        return m
