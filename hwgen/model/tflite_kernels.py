"""Which runtime's arithmetic a file has: LiteRT's where TFLite Micro does not run all of it, or some of it wrongly.

The two round FULLY_CONNECTED differently, and each is right by its own kernels (docs/verification.md, "Where references
disagree"). A file has one runtime for all of its operators, whichever are installed.
"""

from __future__ import annotations

import numpy as np

from hwgen.model.tflite_file import DEALT, FileModel, FileOperator

_ABSENT = ("RELU_N1_TO_1", "REDUCE_PROD", DEALT)
"""Operators that TFLite Micro has no kernel for, and the one whose batches it does not see."""

_ENDS = ("QUANTIZE", "DEQUANTIZE", "CAST")


def litert_alone(model: FileModel) -> bool:
    """Whether LiteRT is the runtime of a file, as it is stored."""
    return model.behind or any(_litert_alone(model, op) for op in model.operators)


def _litert_alone(model: FileModel, op: FileOperator) -> bool:
    inputs = [model.tensors[i] for i in op.inputs if i >= 0]
    outputs = [model.tensors[i] for i in op.outputs]
    if op.kind in _ABSENT or (op.kind not in _ENDS and any(t.type == "UINT8" for t in outputs)):
        return True
    if op.kind == "FULLY_CONNECTED" and len(inputs) > 1:
        return inputs[1].type == "INT4" and len(inputs[1].scales) > 1
    if op.kind == "RELU6" and inputs and outputs:
        first, last = inputs[0], outputs[0]
        return not (np.array_equal(first.scales, last.scales) and np.array_equal(first.zero_points, last.zero_points))
    return False
