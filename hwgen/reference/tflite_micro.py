"""TFLite Micro's own kernels on the user's own file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tflite
from tflite_micro import runtime

from hwgen.reference.runtime import Answers, Array, Key, RefusalError

_ARENA_BYTES = 64 << 20
"""Working memory at first; preserving all tensors needs their sum."""

_MOST_ARENA_BYTES = 1 << 30


def run(path: Path, inputs: Sequence[Array], keys: Sequence[Key]) -> Answers:
    """See `hwgen.reference.runtime.Run`."""
    data, arena = path.read_bytes(), _ARENA_BYTES
    if _behind(data):
        raise RefusalError("it takes constants behind the flatbuffer (Buffer.offset) for absent")
    while True:
        try:
            micro = runtime.Interpreter.from_bytes(
                data, arena_size=arena, intrepreter_config=runtime.InterpreterConfig.kPreserveAllTensors)
            break
        except Exception as error:  # RuntimeError, but also what its reading of the flatbuffer raises
            if "arena" not in str(error).lower() or arena >= _MOST_ARENA_BYTES:
                raise RefusalError(str(error) or type(error).__name__) from error
            arena *= 4
    tensors: dict[Key, list[Array]] = {key: [] for key in keys}
    outputs: list[list[Array]] = []
    count = _outputs(data)
    try:
        for images in zip(*inputs, strict=True):
            for i, image in enumerate(images):
                micro.set_input(np.ascontiguousarray(image), i)
            micro.invoke()
            outputs.append([np.array(micro.get_output(i)) for i in range(count)])
            for key, values in tensors.items():
                values.append(np.array(micro.GetTensor(int(key), 0)["tensor_data"]))
    except Exception as error:
        raise RefusalError(str(error) or type(error).__name__) from error
    return Answers({key: np.stack(values) for key, values in tensors.items()},
                   tuple(np.stack(values) for values in zip(*outputs, strict=True)))


def _behind(data: bytes) -> bool:
    """Whether constants lie behind the flatbuffer."""
    model = tflite.Model.GetRootAs(data, 0)
    return any(model.Buffers(i).Offset() > 1 for i in range(model.BuffersLength()))


def _outputs(data: bytes) -> int:
    """How many outputs the network has, which the interpreter does not say."""
    return int(tflite.Model.GetRootAs(data, 0).Subgraphs(0).OutputsLength())
