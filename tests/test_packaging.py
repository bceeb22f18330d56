"""An installed wheel holds everything that a checkout has."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LINKS = {"sim", "rtl", "recipes"}
"""Folders of the checkout that are packaged as part of hwgen."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT], check=True)
    return next(folder.glob("hwgen-*.whl"))


@pytest.mark.slow
def test_wheel_holds_every_source_and_data_file(wheel: Path) -> None:
    packed = {n for n in zipfile.ZipFile(wheel).namelist() if n.startswith("hwgen/")}
    expected = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "hwgen").rglob("*")
        if p.is_file() and p.suffix != ".pyc" and not LINKS & set(p.parts)
    }
    expected |= {f"hwgen/sim/{p.name}" for p in (ROOT / "sim").glob("*.py")}
    expected |= {f"hwgen/rtl/{p.name}" for p in (ROOT / "rtl").glob("*.v")}
    expected |= {f"hwgen/recipes/{p.name}" for p in (ROOT / "recipes").glob("*.toml")}
    assert {
        "hwgen/sim/network.py",
        "hwgen/rtl/sim_top.v",
        "hwgen/recipes/int8.toml",
        "hwgen/embedded/digits.onnx",
        "hwgen/embedded/digits_float.onnx",
        "hwgen/embedded/digits_test.npz",
        "hwgen/report/page.html.j2",
    } <= expected
    assert packed == expected


@pytest.mark.slow
def test_installed_wheel_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Its files alone, with this environment's dependencies: the checkout is not on the path."""
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        f"import sys; sys.path[:] = [{str(site)!r}] + [p for p in sys.path if p not in ('', {str(ROOT)!r})]; "
        "import hwgen; assert hwgen.__file__.startswith(sys.path[0]), hwgen.__file__; "
        "from hwgen.cli import main; main()"
    )

    def call(*arguments: str) -> None:
        subprocess.run([sys.executable, "-P", "-c", code, *arguments], cwd=tmp_path, check=True, timeout=120)

    data = site / "hwgen/embedded"
    call("presets")
    call("run", str(data / "digits.onnx"), "--inputs", str(data / "digits_test.npz"), "--json", "run.json")
    assert json.loads((tmp_path / "run.json").read_text())["top1"] >= 0.97
    call("compress", str(data / "digits_float.onnx"), "--recipe", "int8", "--data", str(data / "digits_test.npz"),
         "-o", "int8.onnx")
    assert (tmp_path / "int8.onnx").stat().st_size > 10_000
    call("generate", "--preset", "tiny", "-o", "tiny")
    assert (tmp_path / "tiny/hwgen_top.v").stat().st_size > 10_000


def test_links_lead_to_the_folders() -> None:
    for name in LINKS:
        assert (ROOT / "hwgen" / name).resolve() == ROOT / name
