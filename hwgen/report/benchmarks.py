"""The table of benchmarks, from measured results alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwgen.benchmarks import LAYER_CYCLES, LAYER_TOLERANCE, MODEL_TOLERANCE, Benchmark

WORST = 3
"""Layers named where a limit is missed."""

COLUMNS = (
    "network",
    "preset",
    "multipliers",
    "MACs",
    "bound",
    "measured",
    "predicted",
    "in use",
    "must",
    "aim",
    "bit-exact",
    "simulated cycles/s",
    "published, for scale",
)

Measured = Mapping[Benchmark, Mapping[str, Any]]

HEADER = """# Benchmarks

Written by `make bench` (`hwgen bench`); every figure is measured on the generated Verilog, none is copied. Memory with
32 cycles of read latency and one beat a cycle; cycles from the start write to the interrupt, commands, weights, input
and output included; one input. The bound is multiply-accumulates divided by multipliers; "in use" is the
share of it reached. Simulator speed is of the machine that ran it.
"""


def table(measured: Measured, failed: Mapping[Benchmark, str] | None = None, zeros: str = "") -> str:
    """Return the Markdown of ``docs/benchmarks.md``.

    Parameters
    ----------
    measured : mapping
        Of benchmarks to the result as `hwgen verify --json` writes it.
    failed : mapping, optional
        Of benchmarks that could not be measured to the reason.
    zeros : str
        Section on skipping zeros.
    """
    lines = [HEADER, "| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for b, r in measured.items():
        total = r["cycles"]["total"]
        lines.append(
            f"| {b.network} | {b.preset} | {r['multipliers']} | {r['macs']:,} | {r['macs'] // r['multipliers']:,} | "
            f"**{total:,}** | {r['cycles']['predicted']:,} | {100 * r['utilisation']:.1f} % | {limit(b.must, total)} | "
            f"{limit(b.aim, total)} | {exactness(r)} | {r['sim']['cycles_per_s']:,.0f} | {b.published} |"
        )
    notes = [note for pair in measured.items() for note in (*missed(*pair), *mispredicted(*pair))]
    lines += ["", "## Limits that are missed", "", *(notes or ["None."]), ""]
    if failed:
        reasons = [f"* {b.network} on {b.preset}: {' '.join(text.split())}" for b, text in failed.items()]
        lines += ["## Not measured", "", *reasons, ""]
    lines += [zeros] if zeros else []
    lines += simulators(measured)
    return "\n".join(lines) + "\n"


def limit(cycles: int | None, measured: int) -> str:
    """Return a limit and whether it is kept."""
    return "" if cycles is None else f"{cycles:,} {'met' if measured <= cycles else 'MISSED'}"


def exactness(result: Mapping[str, Any]) -> str:
    """Return the verdict and what was compared."""
    outside = f"golden, {result['reference']['name']}" if result["reference"] else "golden only"
    return f"{'yes' if result['bit_exact'] else 'NO'} ({outside})"


def missed(b: Benchmark, result: Mapping[str, Any]) -> list[str]:
    """Return where the cycles go when the "must" is missed: the layers that lose most against their bound."""
    total, multipliers = result["cycles"]["total"], result["multipliers"]
    if b.must is None or total <= b.must:
        return []
    lost = sorted(
        ((x["cycles"] - x["macs"] / multipliers, x) for x in result["cycles"]["layers"]), key=lambda pair: -pair[0]
    )
    worst = ", ".join(
        f"{x['name']} ({x['op']}, {x['mapping']}): {x['cycles']:,} cycles, {cycles:,.0f} above its bound"
        for cycles, x in lost[:WORST]
    )
    return [
        f"* {b.network} on {b.preset}: {total:,} cycles, {total - b.must:,} above the limit. Most is lost in {worst}."
    ]


def mispredicted(b: Benchmark, result: Mapping[str, Any]) -> list[str]:
    """Return where the compiler's cycle model is further off than it may be."""
    cycles = result["cycles"]
    off = [
        f"{x['name']} {x['predicted']:,} for {x['cycles']:,}"
        for x in cycles["layers"]
        if abs(x["predicted"] - x["cycles"]) > max(LAYER_TOLERANCE * x["cycles"], LAYER_CYCLES)
    ]
    if abs(cycles["predicted"] - cycles["total"]) > MODEL_TOLERANCE * cycles["total"]:
        off.append(f"in total {cycles['predicted']:,} for {cycles['total']:,}")
    return [f"* {b.network} on {b.preset}, prediction off: {'; '.join(off)}."] if off else []


def simulators(measured: Measured) -> list[str]:
    """Return which simulators ran, one line each."""
    return [f"Simulated with {version}." for version in sorted({r["sim"]["version"] for r in measured.values()})]
