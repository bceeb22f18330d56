"""ONNX Runtime as outside reference of ONNX networks, operator by operator on equal inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.model.graph import Graph
from hwgen.model.onnx_writer import single_operator


class OperatorDifference(NamedTuple):
    """How far ONNX Runtime and the golden model are apart on one operator; ``max_difference`` is in output steps."""

    name: str
    values: int
    off_by_one: int
    max_difference: int


def compare_with_onnxruntime(graph: Graph, tensors: Mapping[str, NDArray[np.int8]]) -> list[OperatorDifference]:
    """Run each device operator alone in ONNX Runtime and compare.

    Every operator gets the golden model's int8 inputs, so that differences do not add up: by the contract of the
    ONNX reader none is more than one step.

    Parameters
    ----------
    graph : Graph
    tensors : mapping of str to int8 array, shape (N, H, W, C)
        Every map, from `hwgen.golden.graph.run` with ``keep=True``.

    Returns
    -------
    list of OperatorDifference
        In execution order; judge ``max_difference <= 1``.

    Raises
    ------
    HwgenError
        When onnxruntime is not installed, or refuses an operator.
    """
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError as error:
        raise HwgenError("onnxruntime is not installed", remedy="pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    report = []
    for op in graph.ops:
        model = single_operator(graph, op).SerializeToString()
        feeds = {name: np.ascontiguousarray(tensors[name].transpose(0, 3, 1, 2)) for name in op.inputs}
        try:
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            (result,) = session.run(None, feeds)
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise HwgenError(f"ONNX Runtime refuses it: {error}", where=op.name) from error
        expected = tensors[op.output].transpose(0, 3, 1, 2)
        if result.shape != expected.shape:
            raise HwgenError(f"ONNX Runtime's output is {result.shape}, the golden model's {expected.shape}",
                             where=op.name)
        difference = np.abs(result.astype(np.int16) - expected)
        report.append(OperatorDifference(op.name, difference.size, int((difference == 1).sum()),
                                         int(difference.max(initial=0))))
    return report
