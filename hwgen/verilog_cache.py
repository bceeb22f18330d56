"""The files of a machine, generated once and kept in the cache.

They are made anew when anything changes that they follow from: the configuration, any source of this package, the
packages that write Verilog.
"""

from __future__ import annotations

import functools
import hashlib
import json
import zlib
from importlib import metadata
from pathlib import Path

from hwgen.config import Config
from hwgen.hardware import GENERATORS
from hwgen.sim import cache

PACKAGE = Path(__file__).resolve().parent
"""Whose sources are looked at: all, so that no list of them can lag behind."""

ENTRY = "files.json.z"


@functools.lru_cache(maxsize=4)
def machine_files(config: Config) -> dict[str, str]:
    """Return what `hwgen.emit.generate` returns.

    Raises
    ------
    HwgenError
        When the cache cannot be written to.
    """
    parts = [json.dumps(config.to_dict(), sort_keys=True), *(f"{n} {metadata.version(n)}" for n in GENERATORS)]
    folder = cache.cache_dir() / "verilog" / cache.content_hash([*parts, sources_hash()])
    with cache.build(folder) as absent:
        files = None if absent else _read(folder / ENTRY)
        if files is None:
            from hwgen.emit import generate

            files = generate(config)
            _write(folder / ENTRY, files)
    return files


@functools.cache
def sources_hash() -> str:
    """Return a hash of every Python source of the package, names included."""
    files = sorted(PACKAGE.rglob("*.py"))
    return cache.content_hash(part for path in files for part in (str(path.relative_to(PACKAGE)), path.read_bytes()))


def _write(path: Path, files: dict[str, str]) -> None:
    packed = zlib.compress(json.dumps(files).encode(), 1)
    path.write_bytes(hashlib.sha256(packed).digest() + packed)


def _read(path: Path) -> dict[str, str] | None:
    """Return the files of an entry; None when it is absent or not what was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, packed = content[:32], content[32:]
    if hashlib.sha256(packed).digest() != digest:
        return None
    files: dict[str, str] = json.loads(zlib.decompress(packed))
    return files
