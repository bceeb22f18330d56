"""The timeline of the page: what every unit did in which cycles, to zoom into."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from bokeh.embed import components
from bokeh.models import ColumnDataSource, CustomJSTickFormatter, FactorRange, HoverTool, Range1d
from bokeh.plotting import figure
from bokeh.resources import Resources
from matplotlib import color_sequences, colors

from hwgen.isa import Module
from hwgen.verify.timeline import Span

UNITS = {
    Module.LOAD: "load",
    Module.WFETCH: "fetch weights",
    Module.AFETCH: "fetch activations",
    Module.GRID: "grid",
    Module.POST: "post",
    Module.STORE: "store",
}
"""What the rows are called, from above."""

LAYERS = "layer"
"""The first row: which layer's results were being finished."""

COLOURS = [colors.to_hex(colour) for colour in color_sequences["tab10"]]
SEEN = ("unit", "layer", "operation", "command", "cycles")
"""What is shown where the mouse is."""


def timeline(spans: Sequence[Span], layers: Sequence[tuple[str, int]]) -> str:
    """Return HTML of the timeline of a run, script and library included.

    Parameters
    ----------
    spans : sequence of Span
    layers : sequence of (name, cycles)
        Of every layer, in order.
    """
    names = [name for name, _ in layers]
    ends = np.cumsum([cycles for _, cycles in layers])
    rows = [LAYERS, *UNITS.values()]
    bars = [
        (LAYERS, number, "", "", end - cycles, end)
        for number, ((_, cycles), end) in enumerate(zip(layers, ends.tolist(), strict=True))
    ] + [(UNITS[s.unit], s.layer, s.operation, str(s.command), s.start, s.end) for s in spans if s.unit in UNITS]
    unit, layer, operation, command, start, end = (list(column) for column in zip(*bars, strict=True))
    source = ColumnDataSource(
        {
            "row": unit,
            "start": np.array(start, np.int32),
            "end": np.array(end, np.int32),
            "colour": [COLOURS[i % len(COLOURS)] for i in layer],
            "unit": unit,
            "layer": [names[i] for i in layer],
            "operation": operation,
            "command": command,
            "cycles": [f"{a:,} to {b:,} ({b - a:,})" for a, b in zip(start, end, strict=True)],
        }
    )
    total = max(end)
    plot = figure(
        y_range=FactorRange(factors=rows[::-1]),
        x_range=Range1d(start=0, end=total, bounds=(0, total), min_interval=10),
        height=300,
        sizing_mode="stretch_width",
        tools="xpan,xwheel_zoom,xzoom_in,xzoom_out,reset",
        active_scroll="xwheel_zoom",
        active_drag="xpan",
        x_axis_label="cycle",
    )
    plot.hbar(y="row", left="start", right="end", height=0.75, source=source, fill_color="colour", line_color=None)
    plot.add_tools(HoverTool(tooltips=[(name, f"@{name}") for name in SEEN]))
    plot.xaxis.formatter = CustomJSTickFormatter(code="return tick.toLocaleString('en')")
    plot.toolbar.logo = None
    plot.ygrid.grid_line_color = None
    script, place = components(plot)
    library: str = Resources(mode="inline", components=["bokeh"]).render_js()
    return f"{library}\n{script}\n{place}"
