"""SPACE_TO_BATCH_ND, a convolution, BATCH_TO_SPACE_ND: how Keras writes dilation; read as that dilated convolution.

Space-to-batch pads by ``paddings`` (with the zero point) and deals pixels out to batches; the convolution without
padding then meets every dilation-th pixel; batch-to-space puts the results back and cuts ``crops``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hwgen.model.tflite_file import DEALT, FileModel, FileOperator

_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_VALID = 1


def read_dilation(model: FileModel) -> FileModel:
    """Replace each such three by a PAD, where it pads, and the dilated convolution; others stay as they are."""
    tensors = list(model.tensors)
    readers: dict[int, list[FileOperator]] = {}
    for op in model.operators:
        for i in op.inputs:
            readers.setdefault(i, []).append(op)
    made: dict[int, list[FileOperator]] = {}
    gone: set[int] = set()
    for first in model.operators:
        found = _three(first, model, readers)
        if found is None:
            continue
        conv, last, blocks, pads = found
        source = first.inputs[0]
        height, width = tensors[source].shape[1:3]
        padded = (height + sum(pads[0]), width + sum(pads[1]))
        operators = []
        if any(map(any, pads)):
            # The dealt-out map's number now stands for the padded one.
            full = np.array([(0, 0), *pads, (0, 0)], np.int32)
            amounts = replace(tensors[first.inputs[2]], index=len(tensors), data=full, shape=full.shape)
            tensors.append(amounts)
            target = first.outputs[0]
            tensors[target] = replace(tensors[source], index=target, name=tensors[target].name, data=None,
                                      shape=(1, *padded, tensors[source].shape[3]), signature=())
            operators.append(FileOperator(first.index, "PAD", (source, amounts.index), (target,), {}))
            source = target
        options = conv.options | {"DilationHFactor": blocks[0], "DilationWFactor": blocks[1]}
        inputs = (source, *conv.inputs[1:])
        operators.append(replace(conv, inputs=inputs, outputs=last.outputs, options=options, also=DEALT))
        made[conv.index] = operators
        gone |= {first.index, last.index}
    left = [new for op in model.operators if op.index not in gone for new in made.get(op.index, [op])]
    return replace(model, tensors=tuple(tensors), operators=tuple(left))


def _three(first: FileOperator, model: FileModel, readers: dict[int, list[FileOperator]]) -> tuple[
        FileOperator, FileOperator, tuple[int, int], tuple[tuple[int, int], tuple[int, int]]] | None:
    """Convolution, last operator, block sizes and paddings of a three that starts with ``first``."""
    if first.kind != DEALT or len(first.inputs) != 3 or min(first.inputs) < 0:
        return None
    chain = [first]
    for kinds in (_CONVOLUTIONS, ("BATCH_TO_SPACE_ND",)):
        at = chain[-1].outputs
        after = readers.get(at[0], []) if len(at) == 1 and at[0] not in model.outputs else []
        if len(after) != 1 or after[0].kind not in kinds or after[0].inputs[0] != at[0]:
            return None
        chain.append(after[0])
    _, conv, last = chain
    options = conv.options
    if len(last.inputs) != 3 or min(last.inputs) < 0 or len(last.outputs) != 1 or conv.foreign:
        return None
    blocks, paddings, again, crops = (model.tensors[i].data for i in (*first.inputs[1:], *last.inputs[1:]))
    if blocks is None or paddings is None or again is None or crops is None:
        return None
    plain = (options["Padding"], options["StrideH"], options["StrideW"], options["DilationHFactor"],
             options["DilationWFactor"]) == (_VALID, 1, 1, 1, 1)
    x, y = (model.tensors[i] for i in (first.inputs[0], conv.outputs[0]))
    end = model.tensors[last.outputs[0]]
    same = np.array_equal(y.scales, end.scales) and np.array_equal(y.zero_points, end.zero_points)
    dealt = model.tensors[first.outputs[0]]
    same &= np.array_equal(x.scales, dealt.scales) and np.array_equal(x.zero_points, dealt.zero_points)
    if not (plain and same and blocks.shape == (2,) and paddings.shape == (2, 2) and crops.shape == (2, 2)
            and np.array_equal(blocks, again) and len(x.shape) == 4 and (paddings >= 0).all() and (blocks > 0).all()):
        return None
    pads = []
    for axis in (0, 1):
        total = x.shape[1 + axis] + int(paddings[axis].sum())
        if total % int(blocks[axis]):
            return None
        pads.append((int(paddings[axis][0]) - int(crops[axis][0]), int(paddings[axis][1]) - int(crops[axis][1])))
    if min(map(min, pads)) < 0:
        return None  # results are cut off that are not of the padding
    return conv, last, (int(blocks[0]), int(blocks[1])), (pads[0], pads[1])
