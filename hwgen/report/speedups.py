"""The table and the picture of what skipping zeros gives."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from hwgen.speedups import IMAGES, TYPICAL, Speedup

if TYPE_CHECKING:
    from hwgen.verify.speedup import Measured

HEADER = f"""## Zeros

Cycles over those of `base`, which skips nothing, measured as above: a 3x3 convolution, 64 to 64 channels on 16 x 16
pixels, with the given shares of weights and activations that are not zero (over the same layer without zeros), and
networks on real inputs (mean of {IMAGES}; mappings are chosen by the zeros of {TYPICAL} others), as they are or made
by the named recipe ([compression.md](compression.md)). A limit "of" a figure is a share of what the zeros among the
weights have to give: multiply-accumulates over those by a weight that is not zero. Weights travel and are
stored compressed.

| work | machine | `base` | measured | speed-up | must | aim | bit-exact |
|---|---|---|---|---|---|---|---|"""

WORST = 3
"""Layers named where a limit is missed."""


def speedup_table(rows: Mapping[Speedup, Measured | str]) -> str:
    """Return Markdown, nothing without rows; a row that was not measured has the reason."""
    if not rows:
        return ""
    measured = {row: m for row, m in rows.items() if not isinstance(m, str)}
    lines = [HEADER] if measured else ["## Zeros"]
    for row, m in measured.items():
        lines.append(
            f"| {row.name} | {row.machine} | {m.dense:,.0f} | **{m.skipping:,.0f}** | **{m.speedup:.2f}x** | "
            f"{limit(row, row.must, m)} | {limit(row, row.aim, m)} | {'yes' if m.bit_exact else 'NO'} |"
        )
    if missed := [note(row, m) for row, m in measured.items() if not meets(row, row.must, m)]:
        lines += ["", "Limits that are missed:", "", *missed]
    reasons = {row: " ".join(m.split()) for row, m in rows.items() if isinstance(m, str)}
    if left := [f"* {row.name} on {row.machine}: {reason}" for row, reason in reasons.items()]:
        lines += ["", "Not measured:", "", *left]
    return "\n".join(lines) + "\n"


def limit(row: Speedup, value: float | None, m: Measured) -> str:
    """Return a limit and whether it is kept."""
    if value is None:
        return ""
    text = f"{value:g} of {1 / m.density:.2f}x" if row.of_bound else f"{value:.3g}x"
    return f"{text} {'met' if meets(row, value, m) else 'MISSED'}"


def meets(row: Speedup, value: float | None, m: Measured) -> bool:
    """Whether a limit, if there is one, is kept."""
    return value is None or m.speedup >= (value / m.density if row.of_bound else value)


def note(row: Speedup, m: Measured) -> str:
    """Return where the cycles go when the "must" is missed: the layers that are furthest from it."""
    assert row.must is not None
    asked = row.must / m.density if row.of_bound else row.must
    lost = sorted(m.layers, key=lambda n: n.dense / asked - n.skipping)[:WORST]
    where = ", ".join(f"{n.name} ({n.dense:,} cycles to {n.skipping:,})" for n in lost)
    text = f"* {row.name} on {row.machine}: {m.speedup:.2f}x, {asked:.2f}x is asked for."
    return text + (f" Most is lost in {where}." if lost else "")


def speedup_picture(curves: Mapping[str, list[tuple[float, float]]]) -> bytes:
    """Draw speed-up against the share of effectual positions, over the ideal 1 / share; SVG."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    least = min(share for points in curves.values() for share, _ in points)
    ideal = [least * (1 / least) ** (i / 100) for i in range(101)]
    axes.plot(ideal, [1 / x for x in ideal], color="#888888", linestyle=":", label="ideal")
    for (name, points), mark in zip(curves.items(), "os^", strict=False):
        axes.plot(*zip(*points, strict=True), marker=mark, markersize=5, linewidth=1.3, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ticks = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1)
    axes.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axes.set_yticks((1, 2, 3, 5, 10, 20), ["1", "2", "3", "5", "10", "20"])
    axes.minorticks_off()
    axes.set_xlabel("share of positions that are not zero")
    axes.set_ylabel("speed-up over the dense machine, in RTL")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
