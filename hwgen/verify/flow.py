"""The verification: compile, generate, simulate, compare everything with everything."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.compiler import Program, compile_graph
from hwgen.compiler.cost import CycleModel, layer_cycles
from hwgen.config import SMALLEST, Config
from hwgen.derive import Derived
from hwgen.emit import generate
from hwgen.golden import graph as golden
from hwgen.golden.machine import Machine, MachineResult
from hwgen.golden.machine_state import PostInfo
from hwgen.isa import Command
from hwgen.model import load_model
from hwgen.model.graph import Graph
from hwgen.samples import samples
from hwgen.sim.network import check_waves, run_network
from hwgen.sim.run_result import RunResult
from hwgen.sim.tools import require
from hwgen.verify import reference
from hwgen.verify.inputs import images
from hwgen.verify.replay import Mismatch, compare_writes, maps, of_machine, split_writes
from hwgen.verify.result import LayerResult, VerifyResult
from hwgen.verify.zeros import LayerZeros, check_counters, layer_zeros

EXAMPLES = 10
"""Mismatches that are reported in full."""

Progress = Callable[[str], None]

machine_verilog = functools.lru_cache(maxsize=4)(generate)
"""A bench runs many networks on one machine, whose Verilog takes seconds to make."""


def machine_writes(program: Program, image: NDArray[np.uint8]) -> tuple[dict[int, PostInfo], MachineResult]:
    """Run the golden machine; return what every DRAIN and ELTWISE wrote, and its result."""
    seen: dict[int, PostInfo] = {}

    def observe(index: int, command: Command, info: PostInfo | None) -> None:
        if info is not None:
            seen[index] = info

    return seen, Machine(program.config).run(program.commands, image, observe=observe)


def predict(program: Program, done: MachineResult) -> None:
    """Let the cycle model tell again, by what lanes really walk and packed blocks really take in this run."""
    for entry, work in zip(program.entries, done.work, strict=True):
        if work.walked is not None:
            entry.walk = work.walked.astype(float)
        entry.moved = work.moved
    times = CycleModel(program.config).finish_times(program.entries)
    for plan, cycles in zip(program.layers, layer_cycles(program.entries, times, len(program.layers)), strict=True):
        plan.predicted = cycles


def compare_graph(
    program: Program, seen: dict[int, PostInfo], tensors: dict[str, NDArray[np.int8]], image: int
) -> tuple[Counter[int], list[Mismatch]]:
    """Compare the golden machine's maps with the golden graph's (checks the compiler); count by layer."""
    found: list[Mismatch] = []
    total: Counter[int] = Counter()
    layers = {op.output: i for i, op in enumerate(program.operators)}
    for name, held in maps(program, {i: of_machine(info) for i, info in seen.items()}).items():
        expected = tensors[name][image]
        got, computed = program.arrangement.restore(name, held)
        wrong = np.argwhere((got != expected) & computed)
        if not len(wrong):
            continue
        total[layers.get(name, 0)] += len(wrong)
        op = next(op for op in program.graph.ops if op.output == name)
        for y, x, c in wrong[:EXAMPLES]:
            found.append(
                Mismatch(
                    op.name,
                    "-",
                    int(y),
                    int(x),
                    int(c),
                    int(expected[y, x, c]),
                    int(got[y, x, c]),
                    None,
                    -1,
                    "golden machine against golden graph",
                )
            )
    return total, found


def measured_layers(program: Program, run: RunResult) -> list[int]:
    """Return the RTL cycles of each layer (`hwgen.compiler.cost.layer_cycles`)."""
    done = [run.completed.get(i, 0) for i in range(len(program.entries))]
    done[-1] = run.cycles
    return layer_cycles(program.entries, done, len(program.layers))


def verify(
    path: Path,
    config: Config,
    *,
    simulator: str = "verilator",
    inputs: Path | None = None,
    random: int | None = None,
    seed: int = 0,
    latency: int = 32,
    stalls: int = 0,
    waves: Path | None = None,
    progress: Progress | None = None,
    x: NDArray[np.int8] | None = None,
    graph: Graph | None = None,
    typical: Path | NDArray[np.int8] | None = None,
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
    inputs, random, seed
        Images from an .npz file, or that many random ones.
    latency, stalls : int
        Memory read latency in cycles; percent of cycles in which each AXI channel pauses.
    waves : Path, optional
        FST file; holds the window around the first mismatch, or the whole run when there is none.
    progress : callable, optional
        Told what is being done.
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
    say = progress or (lambda text: None)
    require(simulator)
    check_waves(waves, simulator)
    say("reading the network")
    graph = graph or load_model(path)
    x = images(graph, inputs, random, seed) if x is None else x
    say("compiling")
    typical = images(graph, typical) if isinstance(typical, Path) else x if typical is None else typical
    program = compile_graph(graph, config, samples=samples(graph, config, typical), weight_format=weight_format)
    say("generating Verilog")
    verilog = machine_verilog(config)
    say("golden model")
    ours = golden.run(graph, x, keep=True)
    tensors = ours.tensors
    examples: list[Mismatch] = []
    failures: list[str] = []
    per_layer: Counter[int] = Counter()
    first: RunResult | None = None
    zeros: list[LayerZeros] = []
    build_s = run_s = 0.0
    cycles = 0
    # Far beyond any slow memory, near enough that a hang is found in seconds.
    limit = 200_000 + 20 * sum(n.predicted for n in program.layers) * (1 + latency // 32)
    inner = _device_input(program, x)
    for i in range(len(x)):
        image = program.image(inner[i])
        seen, done = machine_writes(program, image)
        if i == 0 and (config.skip != "none" or config.compress_maps):
            predict(program, done)
        by_graph, wrong = compare_graph(program, seen, tensors, i)
        say(f"simulating image {i + 1} of {len(x)} ({simulator})")
        run = run_network(
            verilog,
            config,
            image.tobytes(),
            program.command_base,
            program.command_count,
            [program.map_region(program.output)],
            simulator=simulator,
            latency=latency,
            stalls=stalls,
            seed=seed + 1,
            timeout=limit,
        )
        writes = split_writes(program, seen, run.writes)
        by_rtl, more = compare_writes(program, seen, writes, EXAMPLES, "RTL against golden machine")
        size = program.map_region(program.output)[1]
        expected = program.read_map(program.output, done.memory)
        raw = np.frombuffer(run.outputs[0], np.int8)[:size]
        got = program.layouts[program.output].unpack(raw, Derived(config).word)
        lost = int((expected != got).sum())
        if lost and not by_rtl:
            failures.append(
                f"image {i}: {lost} values of the output in DRAM differ though the results were right (STORE)"
            )
        if run.error is not None:
            failures.append(
                f"image {i}: hardware error {run.error[0]} of module {run.error[1]} at command {run.error[2]}"
            )
        elif not run.finished:
            failures.append(f"image {i}: no interrupt within the time limit")
        per_layer += by_graph + by_rtl
        if lost and not by_rtl:
            per_layer[len(program.layers) - 1] += lost
        examples += wrong + more
        if (by_rtl or failures) and waves is not None:
            bad = min((w.command for w in more), default=run.error[2] if run.error else -1)
            at = run.completed.get(bad, max(run.completed.values(), default=0))
            say("recording the waves around the first mismatch")
            window = (max(at - 2000, 0), at + 200)
            _record(verilog, program, image, simulator, latency, stalls, seed, waves, window, limit)
            waves = None
        if config.skip != "none" and run.finished and run.error is None:
            failures += [f"image {i}: {text}" for text in check_counters(done.work, run.counters)]
        if first is None:
            first = run
            if config.skip != "none":
                zeros = layer_zeros(program, done.work, run, {name: t[:1] for name, t in tensors.items()})
        build_s, run_s, cycles = max(build_s, run.build_s), run_s + run.run_s, cycles + run.cycles
    if waves is not None:
        say("recording the waves")
        _record(verilog, program, program.image(inner[0]), simulator, latency, stalls, seed, waves, None, limit)
    say("outside reference")
    outside = reference.compare(path, graph, x)
    assert first is not None
    return _result(
        path,
        config,
        program,
        first,
        zeros,
        x,
        seed if inputs is None else None,
        examples,
        failures,
        per_layer,
        outside,
        build_s,
        run_s,
        cycles,
    )


def _device_input(program: Program, x: NDArray[np.int8]) -> NDArray[np.int8]:
    return x.reshape(len(x), *program.layouts[program.input].shape)


def _record(
    verilog: dict[str, str],
    program: Program,
    image: NDArray[np.uint8],
    simulator: str,
    latency: int,
    stalls: int,
    seed: int,
    waves: Path,
    window: tuple[int, int] | None,
    limit: int,
) -> None:
    run_network(
        verilog,
        program.config,
        image.tobytes(),
        program.command_base,
        program.command_count,
        [program.map_region(program.output)],
        simulator=simulator,
        latency=latency,
        stalls=stalls,
        seed=seed + 1,
        waves=waves,
        window=window,
        timeout=window[1] if window else limit,
    )


def _result(
    path: Path,
    config: Config,
    program: Program,
    run: RunResult,
    zeros: list[LayerZeros],
    x: NDArray[np.int8],
    seed: int | None,
    examples: list[Mismatch],
    failures: list[str],
    per_layer: Counter[int],
    outside: dict[str, Any] | None,
    build_s: float,
    run_s: float,
    cycles: int,
) -> VerifyResult:
    multipliers = Derived(config).multipliers
    layers = [
        LayerResult(
            n.name, n.op, n.mapping, c, n.predicted, n.macs, n.macs / (c * multipliers) if c else 0.0, wrong, n.detail,
            zeros[i] if zeros else None,
        )
        for (i, n), c in zip(enumerate(program.layers), measured_layers(program, run), strict=True)
        for wrong in [per_layer[i]]
    ]
    counters = run.counters
    return VerifyResult(
        path.name,
        config.to_dict(),
        multipliers,
        len(x),
        seed,
        per_layer.total(),
        examples[:EXAMPLES],
        run.cycles,
        sum(n.predicted for n in program.layers),
        sum(n.macs for n in program.layers),
        layers,
        counters["read_bytes"],
        counters["write_bytes"],
        counters,
        {
            "name": run.simulator,
            "version": run.version,
            "build_s": build_s,
            "run_s": run_s,
            "cycles_per_s": cycles / run_s if run_s else 0.0,
            "simulated_cycles": cycles,
        },
        outside,
        [f"{step.name} ({step.kind})" for step in program.graph.host_steps],
        failures,
    )
