"""Files are complete or absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwgen.commands.output import write_file, write_folder, write_with
from hwgen.errors import HwgenError


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")

    def half(path: Path) -> None:
        path.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_with(target, half)
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert target.read_text() == "old"


def test_a_full_disk_is_a_message(tmp_path: Path) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(HwgenError, match="No space left on device"):
        write_with(tmp_path / "a", full)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_staged_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match="cannot be written"):
        write_folder(tmp_path / "out", {"good": "x", "no/such/folder": "y"})
    assert not list(tmp_path.iterdir())


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_file(tmp_path / "ours", "text")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode
