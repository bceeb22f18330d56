"""The same network and inputs on every scheme and on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.golden import graph as golden
from hwgen.model import load_model
from hwgen.model.graph import Conv, Graph
from hwgen.schemes import SCHEMES
from hwgen.schemes.layer import Layer, layer_of
from hwgen.schemes.machine import run_machine
from hwgen.schemes.result import Comparison, Figure, LayerFigures
from hwgen.verify.inputs import images


def compare(
    path: Path,
    config: Config,
    *,
    inputs: Path | None = None,
    random: int | None = None,
    seed: int = 1,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """Count the cycles of a network's layers on every scheme and on a machine of as many multipliers.

    Parameters
    ----------
    path : Path
        TFLite or ONNX file.
    config : Config
    inputs, random, seed
        Images from an .npz file, or that many random ones; the seed is also that of samples of large layers.
    progress : callable, optional
        Told what is being done.

    Raises
    ------
    HwgenError
        For anything a user can mend.
    """
    say = progress or (lambda text: None)
    graph = load_model(path)
    x = images(graph, inputs, random, seed)
    multipliers = Derived(config).multipliers
    machines = {"dense": config.replace(skip="none")} | ({} if config.skip == "none" else {"skipping": config})
    ours = {}
    for name, machine in machines.items():
        say(f"{graph.name} on {config.name}" + (", dense" if name == "dense" else ""))
        ours[name] = run_machine(graph, machine, x)
    convolutions = [op for op in graph.device_ops if isinstance(op, Conv)]
    if not convolutions:
        raise HwgenError("the network has no layer that multiplies", where=str(path))
    found: dict[str, list[Layer]] = {op.name: [] for op in convolutions}
    for i in range(len(x)):
        tensors = golden.run(graph, x[i : i + 1], keep=True).tensors
        for number, op in enumerate(convolutions):
            layer = _layer(graph, op, tensors[op.inputs[0]][0])
            found[op.name].append(layer.sample(seed + number))
    layers = []
    for op in convolutions:
        say(f"{len(SCHEMES)} schemes on {op.name}")
        layers.append(_figures(op, found.pop(op.name), multipliers))
    return Comparison(path.name, config.to_dict(), multipliers, len(x), seed, inputs is None, layers, ours)


def _layer(graph: Graph, op: Conv, x: NDArray[np.int8]) -> Layer:
    return layer_of(op, x, graph.tensors[op.inputs[0]].zero_point)


def _figures(op: Conv, layers: list[Layer], multipliers: int) -> LayerFigures:
    """Return the means over the layers of all images."""

    def mean(values: list[float]) -> float:
        return float(np.mean(values))

    first, full = layers[0], layers[0].full()
    return LayerFigures(
        op.name,
        op.source or type(op).__name__,
        first.macs,
        first.weight_density,
        mean([layer.activation_density for layer in layers]),
        mean([layer.effectual for layer in layers]),
        first.sampled,
        {
            scheme.key: Figure(
                mean([scheme.cycles(layer, multipliers) for layer in layers]),
                mean([scheme.bound(layer, multipliers) for layer in layers]),
                scheme.cycles(full, multipliers),
            )
            for scheme in SCHEMES
        },
    )
