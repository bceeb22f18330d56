"""Read a float network from a file of either kind."""

from __future__ import annotations

from pathlib import Path

from hwgen.compress.graph import FloatGraph
from hwgen.model import model_kind


def load_float_model(path: str | Path) -> FloatGraph:
    """Read a trained float network.

    Parameters
    ----------
    path : str or Path
        A float .tflite file, or an .onnx file.

    Raises
    ------
    HwgenError
        When the file does not exist, is of no known kind, is damaged, or holds something that cannot be compressed.
    """
    path = Path(path)
    kind = model_kind(path, remedy="give the float network as .tflite or .onnx")
    if kind == "tflite":
        from hwgen.compress.tflite_float import read_tflite_float  # the readers' packages load only when needed

        return read_tflite_float(path)
    from hwgen.compress.onnx_float import read_onnx_float

    return read_onnx_float(path)
