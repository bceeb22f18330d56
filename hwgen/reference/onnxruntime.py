"""ONNX Runtime on the user's own file, without graph optimisation, which would fuse and round elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from hwgen.reference.qonnx import expand
from hwgen.reference.runtime import Answers, Array, Key, RefusalError


def run(path: Path, inputs: Sequence[Array], keys: Sequence[Key]) -> Answers:
    """See `hwgen.reference.runtime.Run`."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        model = onnx.load(path)
        expand(model)
        outputs = [value.name for value in model.graph.output]
        made = {name for node in model.graph.node for name in node.output}
        extra = [key for key in dict.fromkeys(keys) if key in made and key not in outputs]
        model.graph.output.extend(onnx.ValueInfoProto(name=str(key)) for key in extra)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]
        runs = [session.run(None, dict(zip(names, images, strict=True))) for images in zip(*inputs, strict=True)]
    except Exception as error:  # its exceptions share no public base class
        raise RefusalError(str(error).strip().splitlines()[0] if str(error) else type(error).__name__) from error
    found = [np.stack(values) for values in zip(*runs, strict=True)]
    tensors: dict[Key, Array] = dict(zip([*outputs, *extra], found, strict=True))
    tensors |= {name: values for name, values in zip(names, inputs, strict=True) if name in keys}
    return Answers(tensors, tuple(found[: len(outputs)]))
