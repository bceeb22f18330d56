"""``hwgen demo``: the network that comes with the package, from float weights to a report of its run on Verilog."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from hwgen.commands import compress as compressing
from hwgen.commands.files import check_target, write_file, write_folder, write_json
from hwgen.commands.options import OptionalPreset
from hwgen.commands.output import busy, console
from hwgen.commands.verify import DIFFERENT, Simulator, show, verified
from hwgen.presets import preset as find_preset
from hwgen.stages import Stages

RECIPE = "digits_joint"
"""The shipped recipe that it shows: of several families, without training."""


def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for network, Verilog and report.")
    ] = Path("hwgen-demo"),
    preset: OptionalPreset = "base",
    images: Annotated[int, typer.Option("--images", min=1, max=100, metavar="N", help="Digits to simulate.")] = 3,
    sim: Annotated[Simulator, typer.Option("--sim", help="Simulator.")] = Simulator.verilator,
) -> None:
    """Recognise handwritten digits on generated Verilog: compress, generate, simulate, compare, report."""
    check_target(output, folder=True)
    machine = find_preset(preset or "base")
    say = Stages()
    from hwgen.compress.data import load_data
    from hwgen.compress.load import load_float_model
    from hwgen.compress.pipeline import compress
    from hwgen.compress.recipe import load_recipe
    from hwgen.compress.shipped import find_recipe
    from hwgen.embedded import DATA, FLOAT_MODEL, TRAIN
    from hwgen.golden.graph import run
    from hwgen.golden.inputs import quantize_input
    from hwgen.model.onnx_reader import read_onnx
    from hwgen.report.classified import classified
    from hwgen.report.page import page
    from hwgen.sim.tools import require
    from hwgen.verilog_cache import machine_files

    require(sim.value)
    target, began = console(), time.perf_counter()
    recipe = find_recipe(RECIPE)
    steps = load_recipe(recipe)
    say("compressing")
    with busy("part 1 of 3: compressing the network", began) as follow:
        network = load_float_model(FLOAT_MODEL)
        fit, test = load_data(network, TRAIN), load_data(network, DATA)
        made = compress(network, steps, fit, test, follow=follow)
    compressing.show(f"{network.name}, {RECIPE} ({steps.family})", made)
    say("generating Verilog")
    with busy(f"part 2 of 3: generating the Verilog of {machine.name}", began):
        verilog = machine_files(machine)
    say.end()
    model, plan = output / "digits.onnx", output / "digits.plan.json"
    compression = compressing.report_json(made, steps, FLOAT_MODEL, recipe, fit, test) | {
        "output": str(model), "plan": str(plan), "fitted_on": TRAIN.name}  # fmt: skip
    plans = compressing.plan_json(made, FLOAT_MODEL, recipe, fit.seed)
    files: dict[str, str | bytes] = {model.name: made.onnx, plan.name: json.dumps(plans, indent=1) + "\n",
                                     "compress.json": json.dumps(compression, indent=1) + "\n"}  # fmt: skip
    files |= {path.name: path.read_bytes() for path in (FLOAT_MODEL, TRAIN, DATA)}  # for the examples of --help
    write_folder(output, verilog | files)
    graph = read_onnx(model)
    assert test.y is not None  # the package's images have labels
    chosen, labels = quantize_input(graph, test.x[:images]), test.y[:images]
    text = f"part 3 of 3: simulating {images} digits on {machine.name}"
    with busy(text, began) as progress, tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "digits.npz"
        np.savez(inputs, x=chosen, y=labels)
        result = verified(model, machine, sim, inputs=inputs, progress=progress)
    result.stages = say.seconds | {name: s + say.seconds.get(name, 0.0) for name, s in result.stages.items()}
    value = result.to_json()
    show(result, layers=True)
    write_json(output / "result.json", value)
    pictures = []
    if result.bit_exact:  # then the hardware's classes are the golden model's
        classes = run(graph, chosen).output.reshape(images, -1).argmax(axis=1)
        pictures = classified(test.x[:images], classes, labels)
        read, true = (", ".join(map(str, values)) for values in (classes, labels))
        target.print(f"digits read by the hardware: {read}; labels: {true}")
    shown = page(value, compression, spans=result.spans, pictures=pictures, files=list(verilog))
    write_file(output / "report.html", shown)
    target.print(f"{output / 'report.html'} ({time.perf_counter() - began:.1f} s)", soft_wrap=True)
    if not result.bit_exact:
        raise typer.Exit(DIFFERENT)
