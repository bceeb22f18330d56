"""Measure what skipping zeros gives, in RTL."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from hwgen.compiler.program import macs
from hwgen.config import Config
from hwgen.errors import HwgenError
from hwgen.golden.inputs import quantize_input
from hwgen.model import load_model
from hwgen.model.graph import Conv, Graph
from hwgen.model.onnx_reader import read_onnx
from hwgen.model.onnx_writer import write_onnx
from hwgen.presets import preset
from hwgen.random_zeros import with_random_zeros
from hwgen.sparse_layer import Zeros, sparse_layer
from hwgen.speedups import CURVES, IMAGES, TYPICAL, Inputs, Network, Speedup
from hwgen.verify.flow import verify
from hwgen.verify.result import LayerResult

BASE = "base"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Folders:
    """Where files of networks and inputs are: a name is looked for in one after the other."""

    models: Path
    data: Path
    compressed: Path | None = None

    def find(self, name: str) -> Path | None:
        folders = [self.models, self.data, *([self.compressed] if self.compressed else [])]
        return next((f / name for f in folders if (f / name).is_file()), None)

    def get(self, name: str) -> Path:
        """Return the path of a file; raises HwgenError where it is absent."""
        path = self.find(name)
        if path is None:
            raise HwgenError(f"{name} is absent", remedy="give its folder with --models, --data or --compressed")
        return path

    def absent(self, row: Speedup) -> list[str]:
        """Return which files of a row are absent."""
        files = row.work.files if isinstance(row.work, Network) else []
        return [name for name in files if self.find(name) is None]


@dataclass(frozen=True)
class LayerCycles:
    """Cycles of a layer, of one input."""

    name: str
    dense: int
    skipping: int


@dataclass(frozen=True)
class Measured:
    """What a row took on the dense and on the skipping machine.

    Attributes
    ----------
    dense, skipping : float
        Cycles, mean of the inputs.
    bit_exact : bool
        Every byte was right.
    density : float
        Share of the multiply-accumulates by a weight that is not zero.
    layers : tuple of LayerCycles
        Of the first input; empty where the machines ran networks of other layers.
    """

    dense: float
    skipping: float
    bit_exact: bool
    density: float = 1.0
    layers: tuple[LayerCycles, ...] = ()

    @property
    def speedup(self) -> float:
        return self.dense / self.skipping


@dataclass(frozen=True, eq=False)
class Work:
    """A network, images to measure, and others by whose zeros it is compiled; int8, batch first."""

    path: Path
    graph: Graph
    x: NDArray[np.int8]
    typical: NDArray[np.int8]


def mac_density(graph: Graph) -> float:
    """Return the share of multiply-accumulates by a weight that is not zero."""
    convs = [op for op in graph.ops if isinstance(op, Conv)]
    total = sum(macs(op, graph) for op in convs)
    return sum(macs(op, graph) * np.count_nonzero(op.weight) / op.weight.size for op in convs) / total


def load_some(inputs: Inputs, path: Path, count: int, others: int) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    """Return ``count`` and ``others`` different inputs, evenly spread over the file: some are sorted by class."""
    with np.load(path, allow_pickle=False) as file:
        x = file[inputs.key]
    if inputs.frames > 1:
        x = np.moveaxis(sliding_window_view(x, inputs.frames, axis=0), -1, 1).reshape(-1, inputs.frames * x.shape[1])
    if len(x) < count + others:
        raise HwgenError(f"{inputs.key} must hold {count + others} inputs or more, not {len(x)}", where=str(path))
    picked = np.linspace(0, len(x) - 1, count + others).round().astype(int)
    measured = np.zeros(len(picked), np.bool_)
    measured[np.linspace(0, len(picked) - 1, count).round().astype(int)] = True
    return x[picked[measured]], x[picked[~measured]]


def _layer(zeros: Zeros) -> Work:
    graph, x = sparse_layer(zeros)
    return Work(Path("layer"), graph, x, x)


def _network(network: Network, file: str, folders: Folders) -> Work:
    path = folders.get(file)
    graph = load_model(path)
    some = load_some(network.inputs, folders.get(network.inputs.file), IMAGES, TYPICAL)
    x, typical = (quantize_input(graph, values) for values in some)
    if network.zeros:
        graph = with_random_zeros(graph, network.zeros)
    return Work(path, graph, x, typical)


def _run(work: Work, config: Config, say: Say) -> tuple[float, bool, list[LayerResult]]:
    graph = work.graph
    with tempfile.TemporaryDirectory() as folder:
        path = work.path
        if graph.source == "synthetic":  # no file holds it, but a reference runs files
            path = Path(folder) / "network.onnx"
            write_onnx(graph, path)
            graph = read_onnx(path)
        result = verify(path, config, x=work.x, graph=graph, typical=work.typical, progress=say)
    return result.sim["simulated_cycles"] / result.images, result.bit_exact, result.layers


@functools.cache
def _dense_layer() -> tuple[float, bool, list[LayerResult]]:
    """Run the layer without zeros on the dense machine, which every layer is compared with."""
    return _run(_layer(Zeros()), preset(BASE), lambda text: None)


def _machine(row: Speedup) -> Config:
    config = preset(row.preset)
    return config.replace(name=f"{row.preset}-{row.skip}", skip=row.skip) if row.skip else config


def measure(row: Speedup, folders: Folders, say: Say = lambda text: None) -> Measured:
    """Measure a row on its machine and on the dense one.

    Raises
    ------
    HwgenError
        When a file is absent or cannot be read, or a network does not compile.
    """
    if isinstance(row.work, Zeros):
        skipping = _layer(row.work)
        slow, exact, before = _dense_layer()
    else:
        skipping = _network(row.work, row.work.file, folders)
        dense = _network(row.work, row.work.dense, folders) if row.work.dense else skipping
        slow, exact, before = _run(dense, preset(BASE), say)
    fast, also, after = _run(skipping, _machine(row), say)
    layers: tuple[LayerCycles, ...] = ()
    if [n.macs for n in before] == [n.macs for n in after]:
        layers = tuple(LayerCycles(a.name, b.cycles, a.cycles) for b, a in zip(before, after, strict=True))
    return Measured(slow, fast, exact and also, mac_density(skipping.graph), layers)


def curves(say: Say = lambda text: None) -> dict[str, list[tuple[float, float]]]:
    """Return (share of effectual positions, speed-up) of the layers of each curve."""
    slow = _dense_layer()[0]

    def points(layers: Sequence[Zeros]) -> list[tuple[float, float]]:
        return [(z.weights * z.activations, slow / _run(_layer(z), preset("base-sparse"), say)[0]) for z in layers]

    return {name: points(layers) for name, layers in CURVES.items()}
