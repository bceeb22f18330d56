"""The same network and inputs on every scheme and on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from hwgen.config import Config
from hwgen.derive import Derived
from hwgen.errors import HwgenError
from hwgen.golden import graph as golden
from hwgen.model import load_model
from hwgen.model.graph import Conv
from hwgen.schemes import SCHEMES
from hwgen.schemes.layer import Layer, layer_of
from hwgen.schemes.machine import run_machine
from hwgen.schemes.result import Comparison, Figure, LayerFigures
from hwgen.verify.inputs import image_maps


def compare(
    path: Path,
    config: Config,
    *,
    inputs: Path | None = None,
    limit: int | None = None,
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
    inputs, limit, random, seed
        Images from an .npz file (the first ``limit``), or that many random ones; the seed is also that of samples of
        large layers.
    progress : callable, optional
        Told what is being done.

    Raises
    ------
    HwgenError
        For anything a user can mend.
    """
    say = progress or (lambda text: None)
    graph = load_model(path)
    maps = image_maps(graph, inputs, random, seed, limit)
    count = len(maps[graph.input])
    multipliers = Derived(config).multipliers
    machines = {"dense": config.replace(skip="none")} | ({} if config.skip == "none" else {"skipping": config})
    ours = {}
    for name, machine in machines.items():
        say(f"{graph.name} on {config.name}" + (", dense" if name == "dense" else ""))
        ours[name] = run_machine(graph, machine, maps)
    convolutions = [op for op in graph.ops if isinstance(op, Conv)]
    if not convolutions:
        raise HwgenError("the network has no layer that multiplies", where=str(path))
    found: dict[str, list[LayerFigures]] = {op.name: [] for op in convolutions}
    for i in range(count):
        say(f"{len(SCHEMES)} schemes on image {i + 1} of {count}")
        tensors = golden.run(graph, {name: x[i : i + 1] for name, x in maps.items()}, keep=True).tensors
        for number, op in enumerate(convolutions):
            layer = layer_of(op, tensors[op.inputs[0]][0], graph.tensors[op.inputs[0]].zero_point).sample(seed + number)
            before = found[op.name]
            found[op.name].append(_figures(op, layer, multipliers, before[0] if before else None))
    layers = [_mean(of_images) for of_images in found.values()]
    return Comparison(path.name, config.to_dict(), multipliers, count, seed, inputs is None, layers, ours)


def _figures(op: Conv, layer: Layer, multipliers: int, other: LayerFigures | None) -> LayerFigures:
    """Return the figures of a layer of one image; without zeros they are those of any ``other`` image."""
    full = layer.full()
    return LayerFigures(
        op.name,
        op.source or type(op).__name__,
        layer.macs,
        layer.weight_density,
        layer.activation_density,
        layer.effectual,
        layer.sampled,
        {
            s.key: Figure(
                s.cycles(layer, multipliers),
                s.bound(layer, multipliers),
                other.schemes[s.key].full if other else s.cycles(full, multipliers),
            )
            for s in SCHEMES
        },
    )


def _mean(images: list[LayerFigures]) -> LayerFigures:
    """Return the means of a layer's figures over the images."""
    first = images[0]
    return replace(
        first,
        activation_density=fmean(f.activation_density for f in images),
        effectual=fmean(f.effectual for f in images),
        schemes={
            key: Figure(
                fmean(f.schemes[key].cycles for f in images), fmean(f.schemes[key].bound for f in images), figure.full
            )
            for key, figure in first.schemes.items()
        },
    )
