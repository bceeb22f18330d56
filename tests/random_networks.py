"""One random graph through every model: golden graph, golden machine, RTL."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from hwgen.compiler import Program, compile_graph
from hwgen.config import WEIGHT_FORMATS, Config
from hwgen.emit import generate
from hwgen.golden import graph as golden
from hwgen.golden.machine import Machine, MachineResult
from hwgen.golden.machine_state import PostInfo
from hwgen.isa import Command
from hwgen.model.graph import Conv, Graph
from hwgen.presets import preset
from hwgen.sim.network import run_network
from hwgen.verify.machine import compare_graph, memory_image
from hwgen.verify.replay import EXAMPLES, compare_writes, of_machine, split_writes
from hwgen.verify.zeros import check_counters
from tests.random_graphs import random_graph, random_inputs
from tests.random_values import Limits

_SMALL = preset("small")
_STREAMS = _SMALL.replace(weight_formats=WEIGHT_FORMATS, codebook=16)
CONFIGS = {
    **{name: preset(name) for name in ("tiny", "small", "base", "large", "huge")},
    "vector1": _SMALL.replace(name="vector1", vector=1, mappings=("channel", "depthwise"), post_width=2),
    "vector4": _SMALL.replace(name="vector4", vector=4, mappings=("channel", "depthwise"), post_width=8),
    "vector16": _SMALL.replace(name="vector16", vector=16, post_width=32, axi_bits=128),
    "narrow": _SMALL.replace(name="narrow", weight_bits=4, acc_bits=28),
    # Weights with zero points; skipping lanes and streams see what is left of them.
    "u8": _SMALL.replace(name="u8", weight_bits=9),
    "u8_skip": _STREAMS.replace(name="u8_skip", weight_bits=9, skip="both"),
    "u8_fine": _STREAMS.replace(name="u8_fine", weight_bits=9, skip="both", vector=1, post_width=2, columns=4,
                                mappings=("channel", "depthwise"), codebook=256, axi_bits=128),
    "axi32": _SMALL.replace(name="axi32", axi_bits=32),
    "axi128": _SMALL.replace(name="axi128", axi_bits=128),
    "axi256": _SMALL.replace(name="axi256", rows=4, axi_bits=256, banks=8),
    # Every map beyond 4 KiB goes through DRAM in stripes; weights come in pieces.
    "striped": _SMALL.replace(name="striped", act_kib=4, weight_kib=8, param_kib=1, banks=2),
    # Zeros are skipped; in the last three weights are streams, too.
    **{f"skip_{skip}": _SMALL.replace(name=f"skip_{skip}", skip=skip) for skip in ("weight", "activation")},
    "skip_both": _STREAMS.replace(name="skip_both", skip="both"),
    "skip_fine": _STREAMS.replace(
        name="skip_fine", skip="both", vector=1, mappings=("channel", "depthwise"), post_width=2, columns=4),
    "skip_block": _STREAMS.replace(name="skip_block", skip="both", vector=16, post_width=32, axi_bits=128),
    "streams": _STREAMS.replace(name="streams", axi_bits=128),
    # Reductions in many chunks, tables and accumulators nearly always full.
    "cramped": _SMALL.replace(name="cramped", amem_words=64, wmem_words=64, acc_vectors=32, segments=16, queue=4),
}
"""Machines by name; everything random graphs are made of can be compiled for those without small buffers."""

SMALL_BUFFERS = ("tiny", "striped", "cramped")


def limits(config: Config) -> Limits:
    """Return limits that suit a machine: weights that fit its width."""
    return Limits(weight_bits=config.weight_bits, sparse=config.skip != "none", ends=True)


def _run(program: Program, image: np.ndarray, poison: int) -> tuple[dict[int, PostInfo], MachineResult]:
    seen: dict[int, PostInfo] = {}

    def observe(index: int, _: Command, info: PostInfo | None) -> None:
        if info is not None:
            seen[index] = info

    return seen, Machine(program.config, poison=poison).run(program.commands, image, observe=observe)


def compiled(seed: int, config: Config, mappings: tuple[str, ...] | None = None) -> tuple[Graph, Program]:
    """Return the graph of a seed and its program; raises HwgenError when the machine cannot hold it."""
    graph = random_graph(seed, limits(config))
    return graph, compile_graph(graph, config, mappings)


def check_machine(seed: int, graph: Graph, program: Program) -> dict[int, PostInfo]:
    """Fail unless golden machine and golden graph agree in every map; return what POST wrote, for `check_rtl`."""
    name = program.config.name
    x = random_inputs(graph, seed)
    tensors = golden.run(graph, x, keep=True, workers=1).tensors
    image = memory_image(program, x, 0)
    seen, result = _run(program, image, seed)
    total, wrong = compare_graph(program, seen, tensors, 0)
    assert not total, report(seed, name, graph, total, wrong)
    outputs = program.read_outputs(result.memory)
    wrong_ends = [end for end in graph.output_maps if not np.array_equal(outputs[end], tensors[end][0])]
    assert not wrong_ends, report(seed, name, graph, 0, [f"outputs {wrong_ends} in memory differ"])
    # What is uninitialised must not matter.
    others, other = _run(program, image, seed + 1)
    total, wrong = compare_writes(program, seen, {i: of_machine(info) for i, info in others.items()}, EXAMPLES,
                                  "other values where nothing was written")
    same = all(np.array_equal(outputs[end], again) for end, again in program.read_outputs(other.memory).items())
    assert not total and same, report(seed, name, graph, total, wrong)
    assert not result.tokens, report(seed, name, graph, 0, [f"tokens left over: {result.tokens}"])
    return seen


@cache
def verilog(config: Config) -> dict[str, str]:
    """Return the design (generated once)."""
    return generate(config)


def check_rtl(seed: int, graph: Graph, program: Program, simulator: str) -> int:
    """Fail unless RTL and golden machine agree in everything that POST writes and in the output; return the cycles.

    Memory latency and stalls follow from the seed.
    """
    seen = check_machine(seed, graph, program)
    config, rng = program.config, np.random.default_rng([seed, 99])
    x = random_inputs(graph, seed)
    expected = golden.run(graph, x, workers=1).tensors
    image = memory_image(program, x, 0)
    stalls, latency = int(rng.choice([0, 10, 50])), int(rng.choice([1, 8, 32, 100]))
    bound = 100_000 + 30 * sum(n.predicted for n in program.layers) * (1 + latency // 32)
    run = run_network(
        verilog(config),
        config,
        image.tobytes(),
        program.command_base,
        program.command_count,
        [program.map_region(name) for name in program.outputs.values()],
        simulator=simulator,
        stalls=stalls,
        latency=latency,
        seed=seed + 1,
        timeout=bound,
    )
    text = f"{config.name}, stalls {stalls}, latency {latency}"
    assert run.error is None and run.finished, report(
        seed, text, graph, 0, [f"error {run.error}, finished {run.finished}"]
    )
    if config.skip != "none":
        differ = check_counters(_run(program, image, seed)[1].work, run.counters)
        assert not differ, report(seed, text, graph, 0, differ)
    total, wrong = compare_writes(
        program, seen, split_writes(program, seen, run.writes), EXAMPLES, "RTL against golden machine"
    )
    assert not total, report(seed, text, graph, total, wrong)
    got = program.read_outputs(_put(program, image, run.outputs))
    assert all(np.array_equal(got[end], expected[end][0]) for end in graph.output_maps), report(
        seed, text, graph, 0, ["output in memory differs though POST was right"]
    )
    return run.cycles


def _put(program: Program, image: np.ndarray, outputs: Sequence[bytes]) -> np.ndarray:
    memory = image.copy()
    for name, output in zip(program.outputs.values(), outputs, strict=True):
        start, size = program.map_region(name)
        memory[start : start + size] = np.frombuffer(output, np.uint8)[:size]
    return memory


def report(seed: int, config: str, graph: Graph, total: int, wrong: Sequence[object]) -> str:
    """Return what one needs to repeat a failure."""
    return "\n".join(
        [f"seed {seed}, config {config}: {total} values differ", *(f"  {w}" for w in wrong), describe(graph)]
    )


def describe(graph: Graph) -> str:
    """Return the graph as one line an operator, for the report of a failure."""
    given = [graph.tensors[name] for name in graph.input_maps]
    lines = [f"{graph.name}: input {t.name} {t.shape[1:]} zero point {t.zero_point}" for t in given]
    lines.append(f"  outputs {', '.join(graph.output_maps)}")
    for op in graph.ops:
        t = graph.tensors[op.output]
        values = {
            k: getattr(op, k)
            for k in (
                "stride",
                "dilation",
                "pad",
                "groups",
                "kind",
                "kernel",
                "axis",
                "multiplier",
                "shift",
                "qmin",
                "qmax",
            )
            if hasattr(op, k)
        }
        if isinstance(op, Conv):
            values["weight"] = op.weight.shape
        if (requant := getattr(op, "requant", None)) is not None:
            values["requant"] = (
                f"{requant.rounding} zp {requant.zero_point} [{requant.qmin}, {requant.qmax}] "
                f"multiplier {requant.multiplier[:4].tolist()} shift {requant.shift[:4].tolist()}"
            )
        lines.append(
            f"  {op.output} {t.shape[1:]} = {op.name}({', '.join(op.inputs)}) "
            + ", ".join(f"{k} {v}" for k, v in values.items())
        )
    return "\n".join(lines)
