"""The page of a verified network: verdict, figures, picture; one file that needs no other."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from hwgen import __version__
from hwgen.report.plot import layer_cycles

TEMPLATE = "page.html.j2"


def page(result: Mapping[str, Any], compression: Mapping[str, Any] | None = None) -> str:
    """Return the HTML of a result.

    Parameters
    ----------
    result : mapping
        As `hwgen verify --json` writes it.
    compression : mapping, optional
        How the network came about, as `hwgen compress --json` writes it.
    """
    # Names of layers come from a file that anyone may have made: everything is escaped but the picture.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    template = environment.from_string(resources.files(__package__).joinpath(TEMPLATE).read_text(encoding="utf-8"))
    picture = layer_cycles(result["cycles"]["layers"], result["multipliers"])
    return template.render(r=result, c=compression, picture=picture, version=__version__) + "\n"
