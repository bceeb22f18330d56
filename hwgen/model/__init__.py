"""Quantised networks: the graph, and readers that make it from files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from hwgen.errors import HwgenError
from hwgen.model.graph import Graph


def load_model(path: str | Path) -> Graph:
    """Read a quantised network.

    Parameters
    ----------
    path : str or Path
        An int8 TFLite file (by its content), or an ONNX file (by its extension: ONNX has no signature).

    Raises
    ------
    HwgenError
        When the file does not exist, is of no known kind, is damaged, or holds something the tool cannot run.
    """
    path = Path(path)
    if model_kind(path, remedy="convert the network to TFLite (int8) or ONNX (QDQ, int8)") == "tflite":
        from hwgen.model.tflite_reader import read_tflite  # the readers' packages load only when needed

        return read_tflite(path)
    from hwgen.golden.bounds import check_accumulators
    from hwgen.model.onnx_reader import read_onnx

    graph = read_onnx(path)
    check_accumulators(graph, str(path))
    return graph


def model_kind(path: Path, remedy: str) -> Literal["tflite", "onnx"]:
    """What kind of file a model is.

    Raises
    ------
    HwgenError
        When it does not exist, cannot be read, or is of no known kind, which ``remedy`` is for.
    """
    if not path.is_file():
        raise HwgenError("the model file does not exist" if not path.exists() else "the model must be a file",
                         where=str(path))
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise HwgenError(f"the model file cannot be read: {error.strerror}", where=str(path)) from error
    if head[4:8] == b"TFL3" or path.suffix.lower() == ".tflite":
        return "tflite"
    if path.suffix.lower() == ".onnx":
        return "onnx"
    raise HwgenError("the model must be a .tflite or .onnx file", where=str(path), remedy=remedy)
