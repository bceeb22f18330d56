"""TFLite Micro's own kernels as an independent reference, every intermediate tensor included."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.golden.graph import run
from hwgen.model.graph import Graph, Tensor

_ARENA_BYTES = 64 << 20
"""Working memory; preserving all tensors needs their sum."""


class TfliteMicro:
    """A network loaded into TFLite Micro once, for many images.

    Parameters
    ----------
    path : str or Path
        A TFLite file.
    arena_bytes : int
        Working memory of the interpreter.

    Raises
    ------
    HwgenError
        When the package is missing, or TFLite Micro refuses the network.
    """

    def __init__(self, path: str | Path, arena_bytes: int = _ARENA_BYTES) -> None:
        try:
            from tflite_micro import runtime
        except ImportError as error:
            raise HwgenError("the package tflite-micro is not installed", remedy="pip install tflite-micro") from error
        self.path = Path(path)
        try:
            self._interpreter = runtime.Interpreter.from_bytes(
                self.path.read_bytes(), arena_size=arena_bytes,
                intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors)
        except (RuntimeError, ValueError, TypeError, AttributeError, struct.error) as error:
            raise HwgenError(f"TFLite Micro refuses the network: {error}", where=str(path)) from error

    def run(self, x: NDArray[Any], indices: list[int]) -> dict[int, NDArray[Any]]:
        """Run one image.

        Parameters
        ----------
        x : array of the input tensor's type and shape (axes of length 1 may differ)
        indices : list of int
            Tensors to return.

        Returns
        -------
        dict of int to array
            Copies, in the file's shapes.
        """
        shape = self._interpreter.get_input_details(0)["shape"]
        self._interpreter.set_input(np.ascontiguousarray(x).reshape(shape), 0)
        self._interpreter.invoke()
        return {index: np.array(self._interpreter.GetTensor(index, 0)["tensor_data"]) for index in indices}


def run_tflite_micro(path: str | Path, x: NDArray[np.int8], indices: list[int]) -> dict[int, NDArray[Any]]:
    """Load a network and run one image, see `TfliteMicro`."""
    return TfliteMicro(path).run(x, indices)


def number(tensor: Tensor) -> int:
    """The file's number of a map."""
    assert tensor.view is not None
    return int(tensor.view.key)


@dataclass(frozen=True)
class TensorDifference:
    """One map compared over all images: how many values, how many differ, by how much at most."""

    name: str
    values: int
    different: int
    largest: int


def compare_tflite_micro(path: str | Path, graph: Graph, x: NDArray[np.int8]) -> list[TensorDifference]:
    """Run the golden model and TFLite Micro on the same images and compare every map both have.

    Parameters
    ----------
    path : str or Path
        The file ``graph`` was read from.
    graph : Graph
    x : int8 array, shape (N, H, W, C)

    Returns
    -------
    list of TensorDifference
        In execution order. The graph's input must be the file's.
    """
    ours = run(graph, x, keep=True).tensors
    micro = TfliteMicro(path)
    shared = [tensor for tensor in graph.tensors.values() if tensor.view is not None and tensor.name != graph.input]
    theirs = [micro.run(image, [number(tensor) for tensor in shared]) for image in x]
    result = []
    for tensor in shared:
        expected = np.stack([one[number(tensor)].reshape(tensor.shape[1:]) for one in theirs]).astype(np.int64)
        difference = np.abs(ours[tensor.name].astype(np.int64) - expected)
        result.append(TensorDifference(tensor.name, difference.size, int(np.count_nonzero(difference)),
                                       int(difference.max())))
    return result
