"""The files of a machine are generated once, and again when anything they follow from, or the entry itself, changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hwgen import emit, verilog_cache
from hwgen.config import Config
from hwgen.presets import preset

FILES = {"a.v": "module a; endmodule\n" * 100, "manifest.json": "{}\n"}


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the configurations that were generated, in a cache and with sources of the test's own."""
    calls: list[str] = []

    def generate(config: Config) -> dict[str, str]:
        calls.append(config.name)
        return FILES

    monkeypatch.setattr(emit, "generate", generate)
    monkeypatch.setenv("HWGEN_CACHE", str(tmp_path / "cache"))
    sources = tmp_path / "package" / "hardware"
    sources.mkdir(parents=True)
    (sources / "lane.py").write_text("width = 1\n")
    monkeypatch.setattr(verilog_cache, "PACKAGE", sources.parent)
    forget()
    yield calls
    forget()


def forget() -> None:
    """As in a process of its own."""
    verilog_cache.machine_files.cache_clear()
    verilog_cache.sources_hash.cache_clear()


def files(name: str = "tiny") -> dict[str, str]:
    forget()
    return verilog_cache.machine_files(preset(name))


def entry(folder: Path) -> Path:
    (found,) = (folder / "cache/verilog").glob(f"*/{verilog_cache.ENTRY}")
    return found


def test_a_machine_is_generated_once(made: list[str]) -> None:
    assert files() == files() == FILES
    assert made == ["tiny"]
    assert files("small") == FILES
    assert made == ["tiny", "small"]


def test_another_source_or_another_amaranth_makes_it_anew(
    made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files()
    (tmp_path / "package/hardware/lane.py").write_text("width = 2\n")
    files()
    (tmp_path / "package/hardware/new.py").touch()
    files()
    monkeypatch.setattr(verilog_cache.metadata, "version", lambda name: "99")
    files()
    assert len(made) == 4


def flipped(content: bytes) -> bytes:
    return content[:50] + bytes([content[50] ^ 1]) + content[51:]


@pytest.mark.parametrize("damage", [flipped, lambda c: c[:-1], lambda c: b"", lambda c: c + b"x"])
def test_a_damaged_entry_is_not_trusted(made: list[str], tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    files()
    path = entry(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    assert files() == files() == FILES
    assert made == ["tiny", "tiny"]
    path.unlink()
    assert files() == FILES
    assert len(made) == 3


@pytest.mark.slow
def test_what_is_kept_is_what_is_generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWGEN_CACHE", str(tmp_path))
    generated = emit.generate(preset("tiny"))
    assert files() == generated
    monkeypatch.setattr(emit, "generate", None)
    assert files() == generated
    forget()
