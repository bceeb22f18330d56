"""Measure what skipping zeros gives, in RTL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from hwgen.golden.inputs import quantize_input
from hwgen.model import load_model
from hwgen.model.graph import Graph
from hwgen.presets import preset
from hwgen.sparse_layer import Zeros, sparse_layer
from hwgen.speedups import CURVES, IMAGES, Speedup
from hwgen.verify.flow import verify

BASE = "base"


@dataclass(frozen=True)
class Measured:
    """Cycles on the dense and on the skipping machine (mean of the inputs), and whether every byte was right."""

    dense: float
    skipping: float
    bit_exact: bool

    @property
    def speedup(self) -> float:
        return self.dense / self.skipping


Work = list[tuple[Path, Graph, NDArray[np.int8]]]
"""Runs: network, graph, one image."""


def _layer(zeros: Zeros) -> Work:
    graph, x = sparse_layer(zeros)
    return [(Path("layer"), graph, x)]


def _network(model: Path, data: Path, key: str) -> Work:
    graph = load_model(model)
    with np.load(data, allow_pickle=False) as file:
        values = file[key][:IMAGES]
    x = quantize_input(graph, values)
    return [(model, graph, x[i : i + 1]) for i in range(len(x))]


def _run(work: Work, machine: str, say: Callable[[str], None]) -> tuple[float, bool]:
    results = [verify(path, preset(machine), x=x, graph=graph, progress=say) for path, graph, x in work]
    return fmean(r.total for r in results), all(r.bit_exact for r in results)


def measure(row: Speedup, models: Path, data: Path, say: Callable[[str], None] = lambda text: None) -> Measured:
    """Measure a row on its machine and on the dense one (a layer there without zeros)."""
    if isinstance(row.work, Zeros):
        dense, skipping = _layer(Zeros()), _layer(row.work)
    else:
        file, key = row.data
        dense = skipping = _network(models / row.work, data / file, key)
    slow, exact = _run(dense, BASE, say)
    fast, also = _run(skipping, row.preset, say)
    return Measured(slow, fast, exact and also)


def curves(say: Callable[[str], None] = lambda text: None) -> dict[str, list[tuple[float, float]]]:
    """Return (share of effectual positions, speed-up) of the layers of each curve."""
    slow, _ = _run(_layer(Zeros()), BASE, say)

    def points(layers: Sequence[Zeros]) -> list[tuple[float, float]]:
        return [(z.weights * z.activations, slow / _run(_layer(z), "base-sparse", say)[0]) for z in layers]

    return {name: points(layers) for name, layers in CURVES.items()}
