"""Random files of one exporter's dialect through everything: the file's own runtime, golden graph, golden machine, RTL.

A failure names dialect and seed, which make the file again: ``DIALECT.write(SEED, FOLDER)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwgen.compiler import compile_graph
from hwgen.errors import HwgenError
from hwgen.golden import graph as golden
from hwgen.golden.inputs import random_inputs, to_maps
from hwgen.model import load_model
from hwgen.reference.runtime import RefusalError
from hwgen.stages import Stages
from hwgen.verify.flow import simulate
from hwgen.verify.machine import compare_graph, machine_writes, memory_image
from hwgen.verify.reference import compare
from hwgen.verify.rtl import Bench
from tests.random_networks import CONFIGS, verilog
from tests.references import all_answers

IMAGES = 3
"""That the file's runtime is asked about; machine and RTL run the first."""

NIGHTLY = 300


@dataclass(frozen=True)
class Dialect:
    """``write`` makes the file of a seed in a folder; ``machines``, out of `CONFIGS`, are taken in turn.

    ``refused`` is in the message of networks that rightly cannot run, one in fifty at most.
    """

    name: str
    write: Callable[[int, Path], Path]
    machines: tuple[str, ...] = ("small",)
    refused: str = ""


def sweep(dialect: Dialect, seeds: range, folder: Path, *, rtl: bool = False) -> None:
    """Check the file of every seed and report all that fail."""
    failures, refused = [], 0
    for seed in seeds:
        try:
            check(dialect, seed, folder, rtl=rtl)
        except (AssertionError, HwgenError, RefusalError) as error:
            if dialect.refused and isinstance(error, HwgenError) and dialect.refused in str(error):
                refused += 1
                continue
            failures.append(f"{dialect.name}, seed {seed}: {error}")
    assert refused <= max(1, len(seeds) // 50), f"{refused} of {len(seeds)} networks were refused: {dialect.refused}"
    assert not failures, f"{len(failures)} of {len(seeds)} networks\n" + "\n\n".join(failures[:5])


def check(dialect: Dialect, seed: int, folder: Path, *, rtl: bool) -> None:
    """Fail unless everything that runs the file of a seed agrees in every map."""
    path = dialect.write(seed, folder)
    graph = load_model(path)
    given = random_inputs(graph, IMAGES, seed)
    report = compare(graph, given, all_answers(path, graph, given))
    assert report.equal, report.summary
    assert not report.different or graph.source == "onnx", report.summary
    assert report.end_to_end is not None, report.summary
    config = CONFIGS[dialect.machines[seed % len(dialect.machines)]]
    program = compile_graph(graph, config)
    maps = {name: values[:1] for name, values in to_maps(graph, given).items()}
    tensors = golden.run(graph, maps, keep=True, workers=1).tensors
    if not rtl:
        different, examples = compare_graph(program, machine_writes(program, memory_image(program, maps, 0))[0],
                                            tensors, 0)
        assert not different, f"{config.name}: {examples}"
        return
    rng = np.random.default_rng([seed, 99])
    bench = Bench(program, verilog(config), "verilator", latency=int(rng.choice([1, 8, 32])),
                  stalls=int(rng.choice([0, 10, 50])), seed=seed + 1)
    found = simulate(bench, maps, tensors, None, Stages())
    assert not found.different and not found.failures, f"{config.name}: {found.examples} {found.failures}"
