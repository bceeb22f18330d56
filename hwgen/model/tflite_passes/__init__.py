"""What a TFLite file says in a roundabout way, said plainly: passes over the file before it is read, in this order."""

from __future__ import annotations

from hwgen.model.tflite_file import FileModel
from hwgen.model.tflite_passes.constants import fold_constants
from hwgen.model.tflite_passes.dilation import read_dilation
from hwgen.model.tflite_passes.islands import quantise_islands
from hwgen.model.tflite_passes.unsigned import read_unsigned

PASSES = (fold_constants, read_dilation, quantise_islands, read_unsigned)


def rewritten(model: FileModel) -> FileModel:
    """The file after all passes; tensors keep their numbers, names and shapes, operators theirs."""
    for one in PASSES:
        model = one(model)
    return model
