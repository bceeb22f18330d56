"""The outside reference of a network: TFLite Micro, equal everywhere; ONNX Runtime, within one step per operator."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.golden.graph import run
from hwgen.model.graph import Graph


def compare(path: Path, graph: Graph, x: NDArray[np.int8]) -> dict[str, Any] | None:
    """Compare the golden model with the outside reference of its format; None when that is not installed.

    Returns
    -------
    dict
        ``name``, ``equal`` (the condition of the format holds), ``summary``, ``values``, ``different``, ``tensors``
        (the maps or
        operators compared).
    """
    if graph.source == "tflite":
        if find_spec("tflite_micro") is None:
            return None
        from hwgen.reference.tflite_micro import compare_tflite_micro

        found = compare_tflite_micro(path, graph, x)
        values, different = sum(f.values for f in found), sum(f.different for f in found)
        worst = next((f.name for f in found if f.different), None)
        return {
            "name": "TFLite Micro",
            "equal": different == 0,
            "values": values,
            "different": different,
            "tensors": len(found),
            "summary": f"{values:,} values of {len(found)} maps, "
            + ("all equal" if not different else f"{different} differ, first in {worst}"),
        }
    if find_spec("onnxruntime") is None:
        return None
    from hwgen.reference.onnxruntime import compare_with_onnxruntime

    report = compare_with_onnxruntime(graph, run(graph, x, keep=True).tensors)
    values, off = sum(r.values for r in report), sum(r.off_by_one for r in report)
    worst_difference = max((r.max_difference for r in report), default=0)
    return {
        "name": "ONNX Runtime",
        "equal": worst_difference <= 1,
        "values": values,
        "different": off,
        "tensors": len(report),
        "summary": f"{values:,} values of {len(report)} operators on equal inputs, {off} one step apart, at most "
        f"{worst_difference} step{'s' * (worst_difference != 1)} apart",
    }
