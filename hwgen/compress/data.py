"""Inputs and labels for fitting and for measuring, and samples of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.graph import FloatArray, FloatGraph
from hwgen.errors import HwgenError
from hwgen.golden.inputs import shaped
from hwgen.inputs import load_inputs


@dataclass(frozen=True, eq=False)
class Data:
    """Inputs ``x`` in the network's own range, and labels ``y`` (N,) where there are any.

    ``x`` is (N, H, W, C), whatever the order of the network's file. ``seed`` makes samples repeatable.
    """

    x: FloatArray
    y: NDArray[np.int64] | None = None
    seed: int = 0

    def __len__(self) -> int:
        return len(self.x)

    def sample(self, count: int, least: int = 1) -> Data:
        """A random sample without repetition, stratified: each class has its share (files are often sorted by class).

        Parameters
        ----------
        count : int
            Inputs wanted; all of them when there are fewer.
        least : int
            With fewer inputs than this there is no sample.

        Raises
        ------
        HwgenError
            When there are too few.
        """
        return self._taken(self._order(count, least)[:count])

    def split(self, count: int) -> tuple[Data, Data]:
        """The sample of ``count`` inputs, and all the others.

        Raises
        ------
        HwgenError
            When none are left.
        """
        if not 0 < count < len(self):
            raise HwgenError(f"inputs to fit on must be in 1..{len(self) - 1}, as there are {len(self)} in all, "
                             f"not {count}")
        order = self._order(count, 1)
        return self._taken(order[:count]), self._taken(order[count:])

    def _taken(self, indices: NDArray[np.int64]) -> Data:
        chosen = np.sort(indices)
        return Data(self.x[chosen], None if self.y is None else self.y[chosen], self.seed)

    def _order(self, count: int, least: int) -> NDArray[np.int64]:
        """All inputs, those of the sample first."""
        if len(self) < least:
            raise HwgenError(f"at least {least} samples are needed, not {len(self)}", remedy="give more data")
        rng = np.random.default_rng(self.seed)
        order = rng.permutation(len(self))
        if self.y is not None and count < len(self):
            # Place every input by its rank within its class, as a share of the class; the first `count` are the sample.
            labels = self.y[order]
            place = np.empty(len(order))
            for label in np.unique(labels):
                members = np.flatnonzero(labels == label)
                place[members] = (np.arange(len(members)) + rng.uniform(size=len(members))) / len(members)
            order = order[np.argsort(place, kind="stable")]
        return order


def make_data(graph: FloatGraph, x: NDArray[np.generic], y: NDArray[np.int64] | None, *, seed: int = 0,
              where: str = "data") -> Data:
    """Check inputs and labels against a network.

    Parameters
    ----------
    graph : FloatGraph
    x : array
        Laid out as the file's input, or (N, H, W, C) where only that fits. Float, or uint8 for networks that take
        pixels 0..255 as they are.
    y : int64 array or None
    seed : int
    where : str
        Named in messages.

    Raises
    ------
    HwgenError
        Another shape or type, NaN or infinity, labels that are no class of the network.
    """
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise HwgenError(f"x must be float32 in the network's own input range (or uint8, taken as 0..255), "
                         f"not {x.dtype}", where=where, remedy="dequantise it: (x - zero_point) * scale")
    port, shape = graph.ports[0], graph.shapes[graph.input]
    real = port.view.of_real(shaped(port, shape, x, where), shape).astype(np.float32)
    if not np.isfinite(real).all():
        raise HwgenError("x must be finite, but holds NaN or infinity", where=where)
    if y is not None:
        classes = int(np.prod(graph.shapes[graph.output]))
        if len(y) != len(real):
            raise HwgenError(f"the labels y must be one for each of the {len(real)} inputs, not {len(y)}", where=where)
        if y.min() < 0 or y.max() >= classes:
            raise HwgenError(f"the labels y must be in 0..{classes - 1}, the network's classes, not "
                             f"{y.min()}..{y.max()}", where=where)
    return Data(real, y, seed)


def load_data(graph: FloatGraph, path: Path, seed: int = 0) -> Data:
    """Read and check an ``.npz`` file, see `hwgen.inputs.load_inputs` and `make_data`."""
    x, y = load_inputs(path)
    return make_data(graph, x, y, seed=seed, where=str(path))
