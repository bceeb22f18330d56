"""The picture of a sensitivity study: a panel a curve, a line a layer."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from matplotlib import color_sequences
from matplotlib.figure import Figure

from hwgen.report.names import any_letters, as_they_are, wrapped

TITLES = {"bits": "weight bits", "rank": "share of the full rank"}
"""What the settings of a curve are; of all others they are sparsities."""

COLOURS, STYLES, MARKS = color_sequences["tab10"], ("-", "--", ":", "-."), "os^vDPX*<>hp"
"""Layers differ in colour; from the eleventh on in the style of the line besides."""

NAME_WIDTH, LETTER, LINE = 60, 0.062, 0.13
"""Letters of a name in a line; inches that a letter and a line of the legend take."""


def sensitivity_picture(study: Mapping[str, Any], kind: str, *, error: bool = False) -> bytes:
    """Draw a study.

    Parameters
    ----------
    study : mapping
        As `hwgen sensitivity` writes it.
    kind : str
        File format: svg or png.
    error : bool
        Draw the error of the outputs although there is an accuracy: on few inputs it says more.
    """
    curves = study["curves"]
    kinds = list(dict.fromkeys(curve["curve"] for curve in curves))
    layers = list(dict.fromkeys(curve["layer"] for curve in curves))
    looks = {name: look(i) for i, name in enumerate(layers)}
    names = [wrapped(name, NAME_WIDTH) for name in layers]
    width = 3.2 * len(kinds) + 0.4
    longest = max((len(line) for name in names for line in name.splitlines()), default=1)
    columns = max(1, min(len(names), int(width / (LETTER * (longest + 6)))))
    rows = -(-len(names) // columns)
    lines = max(sum(1 + name.count("\n") for name in names[i : i + rows]) for i in range(0, len(names), rows))
    figure = Figure(figsize=(width, 3.9 + LINE * lines), layout="constrained")
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    labelled = study["top1"] is not None and not error
    drawn: dict[str, Any] = {}
    for axes, name in zip(panels, kinds, strict=True):
        for curve in curves:
            if curve["curve"] == name:
                values = [100 * v for v in curve["top1"]] if labelled else curve["error"]
                drawn[curve["layer"]] = axes.plot(curve["settings"], values, markersize=4, linewidth=1.2,
                                                  **looks[curve["layer"]])[0]  # fmt: skip
        if labelled:
            axes.axhline(100 * study["top1"], color="#888888", linestyle=":", linewidth=1)
        else:
            axes.set_yscale("log")
        axes.set_title(name, fontsize=10)
        axes.set_xlabel(TITLES.get(name, "share of zeros"), fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("top-1, %" if labelled else "squared error of the outputs, relative", fontsize=9)
    legend = figure.legend([drawn[name] for name in layers], names, loc="outside lower center", ncols=columns,
                           fontsize=7, frameon=False)  # fmt: skip
    as_they_are(legend.get_texts())
    content = io.BytesIO()
    # Names of parts follow from this salt: the same study gives the same file.
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "hwgen"}), any_letters():
        figure.savefig(content, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None)
    return content.getvalue()


def look(number: int) -> dict[str, Any]:
    """Colour, style and mark of a layer's line."""
    style = STYLES[number // len(COLOURS) % len(STYLES)]
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": style, "marker": MARKS[number % len(MARKS)]}
