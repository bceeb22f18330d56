"""Build products: built once, shared between processes, and never more than the limit for long."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from hwgen.errors import HwgenError
from hwgen.presets import preset
from hwgen.sim import build, cache, process
from hwgen.sim.run_result import SimulationError

DAY = 24 * 3600


def made(folder: Path, name: str, size: int, age: float, built: bool = True) -> Path:
    build = folder / name
    (build / "obj").mkdir(parents=True)
    (build / "obj/sim").write_bytes(b"x" * size)
    (build / ".lock").touch()
    if built:
        (build / cache.BUILT).touch()
    for path in (build / cache.BUILT, build) if built else (build,):
        os.utime(path, (time.time() - age,) * 2)
    return build


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_folder_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HWGEN_CACHE", str(tmp_path / "c"))
    assert cache.cache_dir() == tmp_path / "c" and (tmp_path / "c").is_dir()


def test_a_build_that_fails_is_built_again(tmp_path: Path) -> None:
    with contextlib.suppress(RuntimeError), cache.build(tmp_path / "a"):
        raise RuntimeError
    for expected in (True, False, False):
        with cache.build(tmp_path / "a") as absent:
            assert absent is expected


def test_the_least_recently_used_builds_are_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prune(limit: int) -> None:
        monkeypatch.setattr(cache, "LIMIT_BYTES", limit)
        cache.prune(tmp_path)

    for name, age, built in (("a", 4, True), ("b", 1, True), ("failed", 3, False), ("c", 2, True)):
        made(tmp_path, name, 1000, age * DAY, built)
    (tmp_path / f"{cache.DROPPED}x").mkdir()
    prune(4000)
    assert names(tmp_path) == ["a", "b", "c", "failed"]
    prune(2500)
    assert names(tmp_path) == ["b", "c"]
    with cache.build(tmp_path / "c") as absent:  # a use, not a build
        assert not absent
    prune(1000)
    assert names(tmp_path) == ["c"]


def test_a_new_build_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT_BYTES", 1500)
    made(tmp_path, "old", 1000, DAY)
    with cache.build(tmp_path / "new"):
        (tmp_path / "new/sim").write_bytes(b"x" * 1000)
    assert names(tmp_path) == ["new"]


def test_what_may_be_in_use_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT_BYTES", 0)
    made(tmp_path, "running", 1000, 3000)
    held = made(tmp_path, "held", 1000, DAY)
    code = "import sys; from pathlib import Path; from hwgen.sim import cache\nwith cache.build(Path(sys.argv[1])):\n"
    code += " print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, held], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        cache.prune(tmp_path)
        assert names(tmp_path) == ["held", "running"]


def test_a_folder_that_is_dropped_while_one_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock that is given at last is on a file of a folder that is gone."""
    lock, folder = cache.fcntl.flock, made(tmp_path, "a", 10, DAY)

    def flock(handle: object, how: int) -> None:
        lock(handle, how)  # type: ignore[arg-type]
        if (tmp_path / "a/obj").exists():
            folder.rename(tmp_path / f"{cache.DROPPED}a")

    monkeypatch.setattr(cache.fcntl, "flock", flock)
    with cache.build(folder) as absent:
        assert absent and names(folder) == [".lock"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_without_room_is_one_message_and_nothing_stays(tmp_path: Path, code: int) -> None:
    folder = tmp_path / "a"

    def fail() -> None:
        with cache.build(folder):
            (folder / "part").write_bytes(b"x" * 100)
            (folder / "obj").mkdir()
            raise OSError(code, os.strerror(code))

    with pytest.raises(HwgenError, match=rf"{folder}: .*{os.strerror(code)}\n  -> make room .* HWGEN_CACHE"):
        fail()
    assert names(folder) == [".lock"]


def test_other_errors_of_the_system_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), cache.build(tmp_path / "a"):
        (tmp_path / "none").read_bytes()


def test_a_build_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    with contextlib.suppress(KeyboardInterrupt), cache.build(tmp_path / "a"):
        (tmp_path / "a/part").touch()
        raise KeyboardInterrupt
    assert names(tmp_path / "a") == [".lock"]


def compiled(
    folder: Path, monkeypatch: pytest.MonkeyPatch, log: str = "", code: int = 0
) -> tuple[Path, list[Path]]:
    """Build twice with a Verilator that does nothing else than to write its files; returns the program and where."""
    monkeypatch.setenv("HWGEN_CACHE", str(folder))
    monkeypatch.setattr(build, "version", lambda simulator: "1")
    monkeypatch.setattr(build.tools, "verilator", lambda: ("verilator", {}))
    places = []

    def call(command: list[str], folder: Path, env: object) -> process.Done:
        places.append(folder)
        (folder / "obj").mkdir()
        for name in ("sim", "Vsim_top__pch.h.fast.gch"):
            (folder / "obj" / name).touch()
        return process.Done(code, log)

    monkeypatch.setattr(build.process, "call", call)
    for _ in range(2):
        program = build.build({"a.v": "module a; endmodule"}, preset("tiny"))
    return program, places


def test_a_machine_is_compiled_once_and_without_precompiled_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, places = compiled(tmp_path, monkeypatch)
    assert places == [program.parent.parent] and names(program.parent) == ["sim"]


def test_where_make_cannot_work_it_is_compiled_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GNU Make takes no folder with a space in its path."""
    program, (place,) = compiled(tmp_path / "a b", monkeypatch)
    assert " " not in str(place) and not place.exists()
    assert program.is_relative_to(tmp_path / "a b") and names(program.parent) == ["sim"]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a b"))
    with pytest.raises(HwgenError, match="spaces in their path"):
        compiled(tmp_path / "c d", monkeypatch)


def test_a_compiler_that_finds_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HwgenError, match="build products cannot be written"):
        compiled(tmp_path, monkeypatch, f"/tmp/x.s: fatal error: {os.strerror(errno.ENOSPC)}", 1)
    with pytest.raises(SimulationError, match="Verilator failed"):
        compiled(tmp_path, monkeypatch, "%Error: syntax", 1)
