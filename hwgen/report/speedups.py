"""The table and the picture of what skipping zeros gives."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from hwgen.speedups import Speedup

if TYPE_CHECKING:
    from hwgen.verify.speedup import Measured

HEADER = """## Zeros

Cycles over those of `base`, which skips nothing, measured as above: a 3x3 convolution, 64 to 64 channels on 16 x 16
pixels, with the given shares of weights and activations that are not zero (over the same layer without zeros), and
networks as they are, on real inputs (mean of 4). Weights travel and are stored dense.

| work | machine | `base` | measured | speed-up | must | aim | bit-exact |
|---|---|---|---|---|---|---|---|"""


def speedup_table(rows: Mapping[Speedup, Measured]) -> str:
    """Return Markdown."""
    lines = [HEADER]
    for row, m in rows.items():
        must, aim = (f"{x}x {'met' if m.speedup >= x else 'MISSED'}" for x in (row.must, row.aim))
        lines.append(
            f"| {row.name} | {row.preset} | {m.dense:,.0f} | **{m.skipping:,.0f}** | **{m.speedup:.2f}x** | {must} | "
            f"{aim} | {'yes' if m.bit_exact else 'NO'} |"
        )
    return "\n".join(lines) + "\n"


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
