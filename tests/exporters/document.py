"""The generated parts of docs/operators.md, between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``."""

from __future__ import annotations

import difflib
import fcntl
import re
from collections.abc import Callable
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/operators.md"


def part(name: str) -> str:
    """The committed text of a part."""
    (found,) = re.findall(_pattern(name), DOCUMENT.read_text(encoding="utf-8"), re.S)
    return str(found)


def update(name: str, change: Callable[[str], str]) -> None:
    """Bring a part up to date: ``change`` makes the new text of the old.

    Raises
    ------
    AssertionError
        When that is not what was there; the file has the new text then, to be looked at and committed.
    """
    with DOCUMENT.open("r+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # tests run side by side
        text = file.read()
        (old,) = re.findall(_pattern(name), text, re.S)
        new = change(old)
        if new != old:
            file.seek(0)
            file.truncate()
            file.write(re.sub(_pattern(name), lambda _: new, text, flags=re.S))
    differ = difflib.unified_diff(old.splitlines(), new.splitlines(), "committed", "found", n=0, lineterm="")
    assert new == old, "docs/operators.md was out of date, look at it and commit it:\n" + "\n".join(differ)


def _pattern(name: str) -> str:
    return rf"(?<=<!-- {name}:begin -->\n)(.*?)(?=<!-- {name}:end -->)"
