"""The outputs of a network in a file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.model.graph import Graph


def named(graph: Graph, outputs: Sequence[NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The outputs by name, (N, ...): the file's own batch of 1 is left out.

    Further outputs of a name are called ``NAME:1``, ``NAME:2``, ... ``y`` is the first output and ``real`` its real
    numbers in float32, unless an output has such a name.

    Parameters
    ----------
    graph : Graph
    outputs : sequence of array, shape (N, *shape of the output in the file)
        Of `hwgen.golden.host.file_outputs`.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for port, value in zip(graph.outputs, outputs, strict=True):
        same = sum(name == port.name or name.startswith(f"{port.name}:") for name in arrays)
        batch = value.reshape(len(value), *port.shape[1:]) if port.shape[:1] == (1,) else value
        arrays[f"{port.name}:{same}" if port.name in arrays else port.name] = batch
    port = graph.outputs[0]
    first = arrays[port.name]
    arrays.setdefault("y", first)
    if "real" not in arrays:
        centred = first.astype(np.float32)
        quantised = bool(port.scale) and not port.real
        arrays["real"] = (centred - np.float32(port.zero_point)) * np.float32(port.scale) if quantised else centred
    return arrays


def npz(graph: Graph, outputs: Sequence[NDArray[Any]]) -> bytes:
    """An ``.npz`` file of the outputs, the same bytes for the same values."""
    # Not by numpy.savez, which takes no array that is called ``file`` and writes the time of day.
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, value in named(graph, outputs).items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.ascontiguousarray(value), allow_pickle=False)
    return content.getvalue()
