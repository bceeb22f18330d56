"""Build products: built once, shared between processes, and never more than the limit for long."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hwgen.presets import preset
from hwgen.sim import cache, network

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


def test_a_machine_is_compiled_once_and_without_precompiled_headers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HWGEN_CACHE", str(tmp_path))
    monkeypatch.setattr(network, "version", lambda simulator: "1")
    monkeypatch.setattr(network.tools, "verilator", lambda: ("verilator", {}))
    calls = []

    def call(command: list[str], folder: Path, env: object, what: str) -> str:
        calls.append(what)
        (folder / "obj").mkdir()
        for name in ("sim", "Vsim_top__pch.h.fast.gch"):
            (folder / "obj" / name).touch()
        return ""

    monkeypatch.setattr(network, "_call", call)
    for _ in range(2):
        program = network.build({"a.v": "module a; endmodule"}, preset("tiny"))
    assert calls == ["Verilator"] and names(program.parent) == ["sim"]
