"""DEQUANTIZE, a ReLU in float32, QUANTIZE: how ai-edge-quantizer leaves an activation; one requantisation here.

Only 256 values can go in, so whether the integers come out the same is not a matter of belief: all are tried.
"""

from __future__ import annotations

from dataclasses import replace

from hwgen.model.tflite_file import FileModel, FileOperator

FLOAT_ACTIVATIONS = {"RELU": "RELU", "RELU6": "RELU6", "RELU_N1_TO_1": "RELU_N1_TO_1"}


def quantise_islands(model: FileModel) -> FileModel:
    """Replace each such three by ``FLOAT <activation>`` from the integers before to those behind."""
    readers: dict[int, list[FileOperator]] = {}
    for op in model.operators:
        for i in op.inputs:
            readers.setdefault(i, []).append(op)
    made: dict[int, FileOperator] = {}
    gone: set[int] = set()
    for first in model.operators:
        if first.kind != "DEQUANTIZE" or len(first.inputs) != 1:
            continue
        chain = [first]
        for kinds in (FLOAT_ACTIVATIONS, ("QUANTIZE",)):
            at = chain[-1].outputs
            after = readers.get(at[0], []) if len(at) == 1 and at[0] not in model.outputs else []
            if len(after) != 1 or after[0].kind not in kinds:
                break
            chain.append(after[0])
        if len(chain) == 3 and all(model.tensors[op.outputs[0]].type == "FLOAT32" for op in chain[:2]):
            made[chain[2].index] = replace(chain[2], kind=f"FLOAT {chain[1].kind}", inputs=first.inputs)
            gone |= {first.index, chain[1].index}
    left = [made.get(op.index, op) for op in model.operators if op.index not in gone]
    return replace(model, operators=tuple(left))
