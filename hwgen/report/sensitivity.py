"""The picture of a sensitivity study: a panel a curve, a line a layer."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure

TITLES = {"bits": "weight bits", "rank": "share of the full rank"}
"""What the settings of a curve are; of all others they are sparsities."""


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
    colours = {name: colormaps["viridis"](i / max(len(layers) - 1, 1) * 0.95) for i, name in enumerate(layers)}
    marks = dict(zip(layers, "os^vDPX*<>hp" * (1 + len(layers) // 12), strict=False))
    figure = Figure(figsize=(3.2 * len(kinds) + 0.4, 4.6), layout="constrained")
    panels = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    labelled = study["top1"] is not None and not error
    for axes, name in zip(panels, kinds, strict=True):
        for curve in curves:
            if curve["curve"] == name:
                values = [100 * v for v in curve["top1"]] if labelled else curve["error"]
                axes.plot(curve["settings"], values, marker=marks[curve["layer"]], color=colours[curve["layer"]],
                          markersize=4, linewidth=1.2, label=curve["layer"])  # fmt: skip
        if labelled:
            axes.axhline(100 * study["top1"], color="#888888", linestyle=":", linewidth=1)
        else:
            axes.set_yscale("log")
        axes.set_title(name, fontsize=10)
        axes.set_xlabel(TITLES.get(name, "share of zeros"), fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("top-1, %" if labelled else "squared error of the outputs, relative", fontsize=9)
    drawn: dict[str, Any] = {}
    for axes in panels:
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True):
            drawn.setdefault(label, line)
    figure.legend(list(drawn.values()), [_short(name) for name in drawn], loc="outside lower center", ncols=4,
                  fontsize=7, frameon=False)  # fmt: skip
    content = io.BytesIO()
    # Names of parts follow from this salt: the same study gives the same file.
    from matplotlib import rc_context

    with rc_context({"svg.hashsalt": "hwgen"}):
        figure.savefig(content, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None)
    return content.getvalue()


def _short(name: str) -> str:
    """The end of a long name, which tells layers apart."""
    return name if len(name) <= 34 else "..." + name[-31:]
