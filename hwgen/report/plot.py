"""The picture of the report: where the cycles of a network go."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from hwgen.report.names import any_letters, as_they_are, wrapped

NAME_WIDTH, LINE = 40, 0.14
"""Letters of a layer's name in a line, and inches that another line takes."""

SPENT, IDEAL, PREDICTED = "#4c78a8", "#f58518", "#222222"


def layer_cycles(layers: Sequence[Mapping[str, Any]], multipliers: int) -> str:
    """Return an SVG of the cycles of each layer: measured, predicted, and the least its multiplications could take.

    Parameters
    ----------
    layers : sequence of mapping
        ``name``, ``cycles``, ``predicted``, ``macs``, ``utilisation`` of each, as `hwgen verify --json` has them.
    multipliers : int
        Of the machine.
    """
    # A figure of its own, not pyplot: nothing global, no display needed.
    names = [wrapped(x["name"], NAME_WIDTH) for x in layers]
    height = max((1 + name.count("\n") for name in names), default=1) * LINE + 0.18
    figure = Figure(figsize=(9, 1.2 + height * len(layers)), layout="constrained")
    axes = figure.subplots()
    rows = range(len(layers))
    axes.barh(rows, [x["cycles"] for x in layers], color=SPENT, label="measured")
    axes.barh(rows, [x["macs"] / multipliers for x in layers], height=0.4, color=IDEAL, label="multiplier bound")
    axes.plot([x["predicted"] for x in layers], rows, "|", color=PREDICTED, markersize=14, label="predicted")
    for row, x in zip(rows, layers, strict=True):
        if x["macs"]:
            end = max(x["cycles"], x["predicted"])
            axes.annotate(f"  {100 * x['utilisation']:.0f} %", (end, row), va="center", fontsize=8)
    axes.set_yticks(rows, names, fontsize=8)
    as_they_are(axes.get_yticklabels())
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.set_xlabel("cycles (figures: multipliers in use)")
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    text = io.StringIO()
    with any_letters():
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
