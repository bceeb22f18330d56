"""``hwgen demo``: the network that comes with the package, from file to report."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from hwgen.commands.files import check_target, write_file, write_folder, write_json
from hwgen.commands.options import Preset
from hwgen.commands.output import busy, console
from hwgen.commands.verify import DIFFERENT, Simulator, show, verified
from hwgen.presets import preset as find_preset


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for Verilog and report.")
    ] = Path("hwgen-demo"),
    preset: Preset = "base",
    images: Annotated[int, typer.Option("--images", min=1, max=100, metavar="N", help="Digits to simulate.")] = 3,
    sim: Annotated[Simulator, typer.Option("--sim", help="Simulator.")] = Simulator.verilator,
) -> None:
    """Recognise handwritten digits on generated Verilog: generate, simulate, compare, report."""
    check_target(output, folder=True)
    machine = find_preset(preset or "base")
    start = time.perf_counter()
    from hwgen.embedded import MODEL, digit_images, embedded_model
    from hwgen.emit import generate
    from hwgen.golden.graph import run
    from hwgen.golden.inputs import quantize_input
    from hwgen.report.page import page
    from hwgen.sim.tools import require

    require(sim.value)
    target = console()
    with busy(f"generating {machine.name}"):
        files = generate(machine)
    write_folder(output, files)
    graph = embedded_model()
    x, labels = digit_images()
    quantised = quantize_input(graph, x)
    classes = run(graph, quantised).output.reshape(len(x), -1).argmax(axis=1)
    target.print(
        f"golden model: {100 * float((classes == labels).mean()):.1f} % of {len(x)} test digits are recognised"
    )
    with busy(f"simulating {images} digits on {machine.name}") as progress, tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "digits.npz"
        np.savez(inputs, x=quantised[:images], y=labels[:images])
        result = verified(MODEL, machine, sim, inputs=inputs, progress=progress)
    value = result.to_json()
    show(result, layers=True)
    write_json(output / "result.json", value)
    write_file(output / "report.html", page(value))
    if result.bit_exact:  # then the hardware's classes are the golden model's
        read, true = (", ".join(map(str, values[:images])) for values in (classes, labels))
        target.print(f"digits read by the hardware: {read}; labels: {true}")
    target.print(f"{output / 'report.html'} ({time.perf_counter() - start:.1f} s)", soft_wrap=True)
    if not result.bit_exact:
        raise typer.Exit(DIFFERENT)
