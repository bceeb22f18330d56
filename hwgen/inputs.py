"""The input file of `run`, `verify` and `compress`: arrays of inputs, and labels ``y`` where there are any."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.input_range import InputRange, input_ranges
from hwgen.golden.inputs import placed, typed
from hwgen.golden.top1 import check_labels
from hwgen.model.graph import Graph

Array = NDArray[Any]


@dataclass(frozen=True)
class Inputs:
    """What a network is run on.

    Parameters
    ----------
    values : list of array, shape (N, *shape of the input in the file)
        One for each input of the network, in the file's types.
    labels : int64 array, shape (N,), or None
    ranges : list of InputRange
        Of the inputs that were given as real numbers.
    """

    values: list[Array]
    labels: NDArray[np.int64] | None = None
    ranges: list[InputRange] = field(default_factory=list)

    @property
    def saturated(self) -> dict[str, float]:
        """Of each input that has any, the share of values that its quantisation saturates."""
        return {each.name: each.saturated for each in self.ranges if each.saturated}

    @property
    def warnings(self) -> list[str]:
        """A line for each input whose values do not fit."""
        return [each.warning for each in self.ranges if each.warning is not None]


def read_inputs(graph: Graph, path: Path, limit: int | None = None) -> Inputs:
    """Read what a network is run on from an ``.npz`` file.

    Parameters
    ----------
    graph : Graph
    path : Path
        Holds each input under its name, or ``x0``, ``x1``, ..., or ``x`` for the only one (as
        `hwgen.golden.inputs.file_inputs` takes them); and optionally labels ``y``, classes of the first output, unless
        an input has this name.
    limit : int, optional
        Take that many of them, the first.

    Raises
    ------
    HwgenError
        When the file cannot be read or does not fit the network.
    """
    names = [port.name for port in graph.inputs]
    arrays, labels = load_arrays(path, [*names, *(f"x{i}" for i in range(len(names))), *["x"][: len(names) == 1]])
    given = placed(graph, arrays)
    if labels is not None:
        check_labels(graph, labels, len(given[0]), str(path))
    given = [value[:limit] for value in given]
    return Inputs(typed(graph, given), None if labels is None else labels[:limit], input_ranges(graph, given))


def load_inputs(path: Path) -> tuple[Array, NDArray[np.int64] | None]:
    """Read ``x`` and labels ``y`` from an ``.npz`` file, see `load_arrays`."""
    arrays, labels = load_arrays(path, ["x"])
    return arrays["x"], labels


def load_arrays(path: Path, wanted: Collection[str]) -> tuple[dict[str, Array], NDArray[np.int64] | None]:
    """Read an ``.npz`` file.

    Parameters
    ----------
    path : Path
    wanted : collection of str
        Arrays to read where the file has them; it must have one at least.

    Returns
    -------
    arrays : dict of str to array
    labels : int64 array, shape (N,), or None
        The array ``y``, unless that is wanted.

    Raises
    ------
    HwgenError
        When the file cannot be read, is not of this kind, has none of the arrays, or its ``y`` are not labels.
    """
    where = str(path)
    try:
        with path.open("rb") as raw:
            found, names = _read(raw, wanted)
    except OSError as error:
        raise HwgenError(
            f"the input file cannot be read: {error.strerror or 'not an .npz file'}", where=where
        ) from error
    except Exception as error:  # NumPy evaluates a header's text, and raises whatever that raises
        raise HwgenError(
            "the input file must be an .npz file of plain arrays", where=where, remedy="np.savez(FILE, x=images)"
        ) from error
    if found is None:
        raise HwgenError("the input file must be .npz, not .npy", where=where, remedy="np.savez(FILE, x=images)")
    labels = None if "y" in wanted else found.pop("y", None)
    if not found:
        shown = "x" if "x" in wanted else " or ".join(wanted)
        raise HwgenError(f"the input file has no array {shown}, but {', '.join(names) or 'nothing'}", where=where,
                         remedy=f"np.savez(FILE, {'x=images' if 'x' in wanted else 'x0=..., x1=...'}, y=labels)")
    return found, None if labels is None else _labels(labels, where)


def _read(raw: Any, wanted: Collection[str]) -> tuple[dict[str, Array] | None, list[str]]:
    """The arrays, ``y`` among them, and the names of all; None for a single array."""
    file = np.load(raw, allow_pickle=False)
    if not isinstance(file, np.lib.npyio.NpzFile):
        return None, []
    found = {name: file[name] for name in file.files if name == "y" or name in wanted}
    if not all(isinstance(value, np.ndarray) for value in found.values()):
        raise ValueError("a member of the archive is not an array")
    return found, list(file.files)


def _labels(y: Array, where: str) -> NDArray[np.int64]:
    if not np.issubdtype(y.dtype, np.integer):
        raise HwgenError(f"the labels y must be integers, not {y.dtype}", where=where)
    return y.reshape(-1).astype(np.int64)
