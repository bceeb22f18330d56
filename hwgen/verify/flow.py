"""The verification: compile, generate, simulate, compare everything with everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler import compile_graph
from hwgen.config import SMALLEST, Config
from hwgen.golden import graph as golden
from hwgen.golden.graph import Batch, Maps, batch_of
from hwgen.golden.host import file_outputs
from hwgen.golden.inputs import from_maps, to_maps
from hwgen.golden.top1 import top1
from hwgen.inputs import Inputs
from hwgen.model import load_model
from hwgen.model.graph import Graph
from hwgen.samples import samples
from hwgen.sim.network import check_waves
from hwgen.sim.tools import require
from hwgen.stages import Stages, Tell
from hwgen.verify.found import Found
from hwgen.verify.inputs import chosen_inputs, image_maps
from hwgen.verify.machine import compare_graph, machine_writes, memory_image, predict
from hwgen.verify.reference import References
from hwgen.verify.result import VerifyResult
from hwgen.verify.rtl import Bench, compare
from hwgen.verify.zeros import layer_zeros
from hwgen.verilog_cache import machine_files


def verify(
    path: Path,
    config: Config,
    *,
    simulator: str = "verilator",
    inputs: Path | None = None,
    limit: int | None = None,
    random: int | None = None,
    seed: int = 0,
    latency: int = 32,
    stalls: int = 0,
    waves: Path | None = None,
    progress: Tell | None = None,
    x: Batch | None = None,
    graph: Graph | None = None,
    typical: Path | Batch | None = None,
    weight_format: str = SMALLEST,
) -> VerifyResult:
    """Verify a network on a configuration.

    Parameters
    ----------
    path : Path
        TFLite or ONNX file.
    config : Config
    simulator : str
        ``verilator`` or ``icarus``.
    inputs, limit, random, seed
        Images from an .npz file (the first ``limit``), or that many random ones.
    latency, stalls : int
        Memory read latency in cycles; percent of cycles in which each AXI channel pauses.
    waves : Path, optional
        FST file; holds the window around the first mismatch, or the whole run when there is none.
    progress : callable, optional
        Told what is being done (`hwgen.stages`).
    x, graph : optional
        Quantised images and graph that are already in memory.
    typical : optional
        Images, or their .npz file, by whose maps the compiler chooses mappings (`hwgen.samples`); else those verified.

    weight_format : str
        How weights are stored (`hwgen.compiler.weight_store.CHOICES`).

    Raises
    ------
    HwgenError
        For anything a user can mend.
    """
    say = Stages(progress)
    require(simulator)
    check_waves(waves, simulator)
    say("reading")
    graph = graph or load_model(path)
    if x is None:
        given = chosen_inputs(graph, inputs, random, seed, limit)
    else:
        given = Inputs(from_maps(graph, batch_of(graph, x)))
    maps = to_maps(graph, given.values)
    typical = image_maps(graph, typical) if isinstance(typical, Path) else maps if typical is None else typical
    with References(path, graph, given.values) as references:
        say("compiling")
        program = compile_graph(graph, config, samples=samples(graph, config, typical), weight_format=weight_format)
        references.check()  # a reference that refuses the file says so soon; a simulation may take long
        say("generating Verilog")
        bench = Bench(program, machine_files(config), simulator, latency, stalls, seed + 1)
        say("golden model")
        tensors = golden.run(graph, maps, keep=True).tensors
        found = simulate(bench, maps, tensors, waves, say)
        say("reference")
        outside = references.compare()
    accuracy = None if given.labels is None else top1(file_outputs(graph, tensors)[0], given.labels)
    say.end()
    report = None if outside is None else outside.to_json()
    return found.result(path.name, given, seed if inputs is None else None, report, accuracy, say.seconds)


def simulate(
    bench: Bench, maps: Maps, tensors: dict[str, NDArray[np.int8]], waves: Path | None, say: Stages
) -> Found:
    """Run golden machine and RTL on all images (``maps``) and compare both with the golden graph's ``tensors``."""
    program = bench.program
    config, found = program.config, Found(program)
    count = len(maps[program.graph.input])
    for i in range(count):
        say("golden model", f"image {i + 1} of {count}")
        image = memory_image(program, maps, i)
        seen, done = machine_writes(program, image)
        if i == 0 and (config.skip != "none" or config.compress_maps):
            predict(program, done)
        by_graph = compare_graph(program, seen, tensors, i)
        if i == 0:
            say("building", bench.simulator)
            bench.build(image)
        say("simulating", f"image {i + 1} of {count}")
        run = bench.run(image)
        say("comparing")
        rtl = compare(program, run, seen, done)
        if i == 0 and config.skip != "none":
            found.zeros = layer_zeros(program, done.work, rtl.run, {name: t[:1] for name, t in tensors.items()})
        found.add(i, by_graph, rtl)
        if waves is not None and (rtl.different or rtl.failures):
            say("recording waves", "around the first mismatch")
            bench.run(image, waves, (max(rtl.suspect - 2000, 0), rtl.suspect + 200))
            waves = None
    if waves is not None:
        say("recording waves")
        bench.run(memory_image(program, maps, 0), waves)
    return found
