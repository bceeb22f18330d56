"""How a network answers when single layers change: many variants in one pass over the inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.execute import Maps, execute, gather
from hwgen.compress.graph import FloatArray, FloatGraph
from hwgen.model.graph import Op

_Key = TypeVar("_Key")


def answers(graph: FloatGraph, variants: Mapping[_Key, FloatGraph], x: NDArray[np.float32],
            progress: Callable[[int, int], None] | None = None) -> tuple[FloatArray, dict[_Key, FloatArray]]:
    """Outputs of a network and of variants of it, shape (N, classes).

    Of a variant only what follows its change is run: operators that are the network's own keep their results while
    what they read is the same. Quantizers are not looked at.
    """
    own = set(graph.device_ops)

    def run(maps: Maps) -> tuple[FloatArray, list[FloatArray]]:
        return _flat(maps[graph.output]), [_flat(_changed(v, own, maps)) for v in variants.values()]

    parts = gather(graph, x, run, fake=False, progress=progress)
    return (np.concatenate([p[0] for p in parts]),
            {key: np.concatenate([p[1][i] for p in parts]) for i, key in enumerate(variants)})


def _changed(variant: FloatGraph, own: set[Op], known: Maps) -> FloatArray:
    """The output of a variant, with the maps of the network itself at hand."""
    values = dict(known)
    new: set[str] = set()
    for op in variant.device_ops:
        if op not in own or any(name in new for name in op.inputs):
            values[op.output] = execute(op, [values[name] for name in op.inputs], variant.shapes)
            new.add(op.output)
    return values[variant.output]


def _flat(y: FloatArray) -> FloatArray:
    return y.reshape(len(y), -1)


def distance(reference: FloatArray, outputs: FloatArray) -> float:
    """Mean square of what outputs are off, over the variance of the reference, both class by class."""
    spread = float(np.square(reference - reference.mean(axis=0), dtype=np.float64).mean())
    return float(np.square(outputs - reference, dtype=np.float64).mean()) / max(spread, 1e-300)


def top1(outputs: FloatArray, y: Sequence[int] | NDArray[np.int64]) -> float:
    """Share of the outputs whose largest value is at the label."""
    return float((outputs.argmax(axis=1) == np.asarray(y)).mean())
