"""The page of a verified network: verdict, figures, pictures; one file that needs no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hwgen import __version__
from hwgen.report.classified import Classified
from hwgen.report.machine import lanes, parameters
from hwgen.report.plot import layer_cycles
from hwgen.report.timeline import timeline
from hwgen.verify.beyond import beyond
from hwgen.verify.timeline import Span

TEMPLATE = "page.html.j2"


def page(
    result: Mapping[str, Any],
    compression: Mapping[str, Any] | None = None,
    *,
    spans: Sequence[Span] = (),
    pictures: Sequence[Classified] = (),
    files: Sequence[str] = (),
) -> str:
    """Return the HTML of a result.

    Parameters
    ----------
    result : mapping
        As `hwgen verify --json` writes it.
    compression : mapping, optional
        How the network came about, as `hwgen compress --json` writes it.
    spans : sequence of Span, optional
        What the units did, for a timeline.
    pictures : sequence of Classified, optional
        What was classified.
    files : sequence of str, optional
        Generated files that stand beside the page, to link to.
    """
    # Names of layers come from a file that anyone may have made: everything is escaped but the pictures.
    environment = Environment(loader=PackageLoader("hwgen", "report"), autoescape=True, undefined=StrictUndefined)
    layers = result["cycles"]["layers"]
    text = environment.get_template(TEMPLATE).render(
        r=result,
        c=compression,
        picture=layer_cycles(layers, result["multipliers"]),
        timeline=timeline(spans, [(n["name"], n["cycles"]) for n in layers]) if spans else "",
        grid=lanes(result["config"]),
        parameters=parameters(result["config"]),
        beyond=beyond([n["utilisation"] for n in layers], [], skips=result["zeros"] is not None),
        beyond_bound=beyond([], [n["zeros"]["bound"] / n["cycles"] for n in layers if n["zeros"] and n["cycles"]],
                            skips=True),
        pictures=pictures,
        files=files,
        version=__version__,
    )
    return text + "\n"
