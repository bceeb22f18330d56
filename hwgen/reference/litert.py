"""LiteRT's reference kernels (``BUILTIN_REF``) on the user's own file: XNNPACK, its default, requantises in float."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from hwgen.reference.runtime import Answers, Array, Key, RefusalError


def run(path: Path, inputs: Sequence[Array], keys: Sequence[Key]) -> Answers:
    """See `hwgen.reference.runtime.Run`."""
    try:
        interpreter = Interpreter(str(path), num_threads=1, experimental_preserve_all_tensors=True,
                                  experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        interpreter.allocate_tensors()
        places = [detail["index"] for detail in interpreter.get_input_details()]
        ends = [detail["index"] for detail in interpreter.get_output_details()]
        tensors: dict[Key, list[Array]] = {key: [] for key in dict.fromkeys([*keys, *ends])}
        for images in zip(*inputs, strict=True):
            for place, image in zip(places, images, strict=True):
                interpreter.set_tensor(place, image)
            interpreter.invoke()
            for key, values in tensors.items():
                values.append(np.array(interpreter.get_tensor(key)))
    except Exception as error:  # ValueError, RuntimeError, TypeError by stage
        raise RefusalError(str(error) or type(error).__name__) from error
    found = {key: np.stack(values) for key, values in tensors.items()}
    return Answers({key: found[key] for key in keys}, tuple(found[end] for end in ends))
