"""Read a TOML file, saying what is wrong with it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The table of a file; ``what`` is what messages call it.

    Raises
    ------
    HwgenError
        When it cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise HwgenError(f"cannot read the {what}: {error.strerror}", where=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise HwgenError(f"not a TOML file: {error}", where=str(path)) from None
