"""What a runtime is asked and answers, and which there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol, cast

from numpy.typing import NDArray

Key = str | int
"""A tensor of the file: its name (ONNX) or its number (TFLite)."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Answers:
    """``tensors``: what was asked for and exists, (N, *shape in the file); ``outputs``: the file's, in its order."""

    tensors: dict[Key, Array]
    outputs: tuple[Array, ...]


class RefusalError(Exception):
    """The runtime does not run the file, and says why."""


class Run(Protocol):
    """Run a file.

    Parameters
    ----------
    path : Path
        The user's file, which is not changed.
    inputs : sequence of array, shape (N, *shape of the input in the file)
        One for each input, in the file's order and types.
    keys : sequence of str or int
        Tensors that are wanted besides the outputs.

    Raises
    ------
    RefusalError
    """

    def __call__(self, path: Path, inputs: Sequence[Array], keys: Sequence[Key]) -> Answers: ...


@dataclass(frozen=True)
class Runtime:
    """``module`` within `hwgen.reference`, the ``package`` that it needs, and the name that reports give it."""

    name: str
    module: str
    package: str

    @property
    def installed(self) -> str | None:
        """The package's version, or None."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return None

    @property
    def run(self) -> Run:
        """Import the module and return its function."""
        return cast(Run, import_module(f"hwgen.reference.{self.module}").run)


ONNX_RUNTIME = Runtime("ONNX Runtime", "onnxruntime", "onnxruntime")
TFLITE_MICRO = Runtime("TFLite Micro", "tflite_micro", "tflite-micro")
LITERT = Runtime("LiteRT's reference kernels", "litert", "ai-edge-litert")

RUNTIMES: dict[str, tuple[Runtime, ...]] = {"onnx": (ONNX_RUNTIME,), "tflite": (TFLITE_MICRO, LITERT)}
"""Of each format, in the order in which they are asked."""
