"""The tables that ``hwgen verify`` prints, a row a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from hwgen.golden.machine_zeros import Zeros
from hwgen.tables import new_table

if TYPE_CHECKING:
    from hwgen.verify.result import VerifyResult


CAUSES = {"v": "V", "s": "S", "post": "accumulators", "command": "commands"}


def _table(result: VerifyResult, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    return new_table(f"{result.model} on {result.config['name']}", left, right, ("equal",))


def _equal(mismatches: int) -> str:
    return "yes" if not mismatches else f"no: {mismatches}"


def dense_table(result: VerifyResult) -> Table:
    """Return the table of a machine that walks every position: how far its multipliers were in use."""
    table = _table(result, ("layer", "operator", "mapping"), ("MACs", "cycles", "predicted", "of multipliers"))
    for n in result.layers:
        share = f"{n.utilisation:.1%}" if n.macs else "-"
        table.add_row(
            n.name, n.op, n.mapping, f"{n.macs:,}", f"{n.cycles:,}", f"{n.predicted:,}", share, _equal(n.mismatches)
        )
    for name in result.host:
        table.add_row(name, "", "host")
    table.add_row(
        "total", "", "", f"{result.macs:,}", f"{result.total:,}", f"{result.predicted:,}",
        f"{result.utilisation:.1%}", _equal(result.mismatches), end_section=True,
    )  # fmt: skip
    return table


def zeros_table(result: VerifyResult) -> Table:
    """Return the table of a machine that skips zeros: what there was to skip, and what that gave."""
    table = _table(
        result, ("layer", "mapping"),
        ("weights not 0", "activations not 0", "effectual bound", "cycles", "predicted", "of the bound",
         "worst lane", "dense, predicted", "speed-up"),
    )  # fmt: skip
    total = result.zeros or {"bound": 0.0, "dense": 0.0}
    for n in result.layers:
        z = n.zeros
        if z is None:
            continue
        table.add_row(
            n.name, n.mapping, "-" if z.weights is None else f"{z.weights:.1%}", f"{z.activations:.1%}",
            f"{z.bound:,.0f}", f"{n.cycles:,}", f"{n.predicted:,}", _ratio(z.bound, n.cycles, "{:.1%}"),
            _ratio(z.worst, z.mean, "{:.2f}x"), f"{z.dense:,}", _ratio(z.dense, n.cycles, "{:.2f}x"),
            _equal(n.mismatches),
        )  # fmt: skip
    for name in result.host:
        table.add_row(name, "host")
    table.add_row(
        "total", "", "", "", f"{total['bound']:,.0f}", f"{result.total:,}", f"{result.predicted:,}",
        _ratio(total["bound"], result.total, "{:.1%}"), "", f"{total['dense']:,.0f}",
        _ratio(total["dense"], result.total, "{:.2f}x"),
        _equal(result.mismatches), end_section=True,
    )  # fmt: skip
    return table


def skipped(result: VerifyResult) -> list[str]:
    """Return what a machine that skips left out, and what kept its lanes waiting, in all layers."""
    found = [n.zeros for n in result.layers if n.zeros is not None]
    if not found:
        return []
    p = sum((z.positions for z in found), Zeros())
    starved = {cause: sum(z.starved[cause] for z in found) for cause in found[0].starved}
    lanes, all_of = result.config["rows"] * result.config["columns"], max(p.positions, 1)
    waits = ", ".join(f"for {what} {starved[cause]:,}" for cause, what in CAUSES.items())
    return [
        (f"{p.positions:,} positions: {p.effectual / all_of:.1%} effectual, left out for the weight "
        f"{p.by_weight / all_of:.1%}, the activation {p.by_activation / all_of:.1%}, both {p.by_both / all_of:.1%}; "
        f"{p.empty / max(p.windows, 1):.1%} of the windows empty, {p.blank:,} rounds without a position"),
        (f"cycles in which all lanes waited: {waits}; in which some waited for others: "
        f"{result.counters.get('imbalance', 0) / lanes:,.0f} (lane-cycles / lanes)"),
    ]  # fmt: skip


def _ratio(a: float, b: float, form: str) -> str:
    return form.format(a / b) if a and b else "-"
