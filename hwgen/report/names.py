"""Names of layers in pictures: whole, and nothing but text."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from matplotlib.text import Text


def wrapped(name: str, width: int) -> str:
    """Return a name in lines of at most ``width`` characters, which together have all of it."""
    return "\n".join(textwrap.wrap(name, width, break_on_hyphens=False)) or name


def as_they_are(texts: Iterable[Text]) -> None:
    """Let dollars in ``texts`` be dollars, not the beginning of a formula."""
    for text in texts:
        text.set_parse_math(False)


@contextmanager
def any_letters() -> Iterator[None]:
    """While drawing: letters that the font lacks are boxes, and no warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield
