"""Files are complete or absent."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hwgen.commands.files import check_target, write_file, write_folder
from hwgen.errors import HwgenError


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.json"
    target.write_text("old")

    def half(self: Path, content: bytes) -> int:
        self.write_text("ne")
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(KeyboardInterrupt):
        write_file(target, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert target.read_text() == "old"


def test_a_full_disk_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(HwgenError, match="No space left on device"):
        write_file(tmp_path / "a", "text")
    with pytest.raises(HwgenError, match="No space left on device"):
        write_folder(tmp_path / "b", {"c": "text"})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_staged_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match="cannot be written"):
        write_folder(tmp_path / "out", {"good": "x", "no/such/folder": "y"})
    assert not list(tmp_path.iterdir())


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_file(tmp_path / "ours", "text")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_folder_that_is_a_mount_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beside it is another file system: nothing can be renamed from there."""
    mount = tmp_path / "out"
    mount.mkdir()
    (mount / "old").write_text("old")
    replace = Path.replace

    def within(self: Path, target: Path) -> Path:
        if self.is_relative_to(mount) != target.is_relative_to(mount):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", within)
    write_folder(mount, {"old": "new", "more": b"x"})
    assert {p.name: p.read_text() for p in mount.iterdir()} == {"old": "new", "more": "x"}


def test_a_new_folder_appears_with_all_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever interrupts the last step: no folder, or a complete one."""

    def interrupted(self: Path, target: Path) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "out", {"a": "1", "b": "2"})
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way_of_one_file_keeps_the_others(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").mkdir()
    with pytest.raises(HwgenError, match="must be a file, not a folder"):
        write_folder(tmp_path, {"a": "new", "b": "new"})
    assert (tmp_path / "a").read_text() == "old" and sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("exists", [True, False])
def test_links_stay_and_what_they_lead_to_is_written(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "elsewhere").mkdir()
    file, folder = tmp_path / "elsewhere/file", tmp_path / "elsewhere/folder"
    if exists:
        file.write_text("old")
        folder.mkdir()
    for name, target in (("f", file), ("d", folder)):
        (tmp_path / name).symlink_to(target)
    write_file(tmp_path / "f", "new")
    write_folder(tmp_path / "d", {"x": "new"})
    assert (tmp_path / "f").is_symlink() and (tmp_path / "d").is_symlink()
    assert file.read_text() == (folder / "x").read_text() == "new"
    assert sorted(p.name for p in (tmp_path / "elsewhere").iterdir()) == ["file", "folder"]


def test_links_that_lead_nowhere_are_messages(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "lost").symlink_to(tmp_path / "no/such")
    for name in ("circle", "lost", "lost/below", "n" * 300):
        with pytest.raises(HwgenError, match=r"symbolic links|does not exist|too long"):
            check_target(tmp_path / name)


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    """It stands for devices, which a test cannot make: a file must not take their place."""
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()), daemon=True)
    reader.start()
    write_file(tmp_path / "pipe", "text")
    reader.join(10)
    assert read == ["text"] and (tmp_path / "pipe").is_fifo() and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("redirected", [True, False])
def test_stdout_as_a_file(tmp_path: Path, redirected: bool) -> None:
    """Between what is printed before and after, also when a shell sent stdout to a file."""
    # What /dev/stdout is, under a name that a regression may spoil.
    (tmp_path / "stdout").symlink_to("/dev/fd/1")
    code = (
        "import sys; from pathlib import Path; from hwgen.commands.files import write_file; "
        "print('before'); write_file(Path(sys.argv[1]), 'json\\n'); print('after')"
    )
    with (tmp_path / "out").open("w") as out:
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "stdout"],
            check=True,
            text=True,
            stdout=out if redirected else subprocess.PIPE,
        )
    text = (tmp_path / "out").read_text() if redirected else done.stdout
    assert text == "before\njson\nafter\n" and sorted(p.name for p in tmp_path.iterdir()) == ["out", "stdout"]


@pytest.mark.parametrize("refuses", ["", "a"])
def test_a_file_takes_the_right_to_write_to_it_and_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: str
) -> None:
    (tmp_path / "a").write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path / refuses)
    with pytest.raises(HwgenError, match="permission denied"):
        check_target(tmp_path / "a")
