"""Transpose, Reshape, Flatten and the like: only records about axes, as long as no value has to move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.model.graph import Reshape
from hwgen.model.onnx_check import QUANTIZE, SAME
from hwgen.model.onnx_file import OnnxFile
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Node
from hwgen.model.onnx_values import NCHW, NHWC, Map, Perm, Shape, Source, View, Weights


def source_shape(file: OnnxFile) -> tuple[Shape, Perm, bool]:
    """IR shape, axes and flatness of the graph input: (1, F) is a vector, four dimensions are NCHW or, when the
    network starts with a Transpose, NHWC."""
    shape = file.input_shape
    if len(shape) == 2:
        return (1, 1, 1, shape[1]), NCHW, True
    if len(shape) != 4:
        raise HwgenError(f"input {file.input!r} must have 2 or 4 dimensions, not {len(shape)} {shape}",
                         where=file.name, remedy="insert dimensions of 1 (for audio: height 1)")
    perm = wanted_perm(file, file.input)
    return ir_shape(shape, perm), perm, False


def ir_shape(shape: Sequence[int], perm: Perm) -> Shape:
    """The IR shape of a map that ONNX sees as ``shape``."""
    result = [1, 1, 1, 1]
    for size, axis in zip(shape, perm, strict=True):
        result[axis] = int(size)
    return (result[0], result[1], result[2], result[3])


def wanted_perm(file: OnnxFile, name: str) -> Perm:
    """Axes of a four-dimensional value such that the first operator that cares, after Transposes, sees NCHW."""
    through = list(range(4))
    wanted = NCHW
    while consumers := file.consumers.get(name):
        node = consumers[0]
        if node.op == "Transpose":
            perm = node.attrs.get("perm", [3, 2, 1, 0])
            if sorted(perm) != [0, 1, 2, 3]:
                break
            through = [through[p] for p in perm]
        elif node.op == "MatMul":
            wanted = NHWC
            break
        elif node.op not in QUANTIZE | SAME | {"Relu", "Clip"}:
            break
        name = node.outputs[0]
    result = [0, 0, 0, 0]
    for position, axis in zip(through, wanted, strict=True):
        result[position] = axis
    return (result[0], result[1], result[2], result[3])


def relayout(node: Node, value: Any, file: OnnxFile, emitter: Emitter) -> Any:
    """The value after a node of `hwgen.model.onnx_check.LAYOUT`.

    Raises
    ------
    HwgenError
        When values would have to change places, or the new shape has no map in the IR.
    """
    if node.op == "Transpose":
        return _transpose(node, value, emitter)
    if isinstance(value, Weights):
        raise emitter.fail(f"{node.op} {node.name!r}", "reshapes quantised weights", "store the weights reshaped")
    target = _target(node, value, file, emitter)
    if int(np.prod(target)) != int(np.prod(value.onnx_shape)):
        raise emitter.fail(f"{node.op} {node.name!r}", f"cannot turn {value.onnx_shape} into {target}",
                           "export with batch 1")
    if target == value.onnx_shape:
        return value
    if len(target) == 2 and target[0] == 1 and not value.flat:
        return replace(value, flat=True)
    unflat = replace(value, flat=False)
    if value.flat and target == unflat.onnx_shape:
        return unflat
    return _reshape(node, value, target, file, emitter)


def _transpose(node: Node, value: Any, emitter: Emitter) -> Any:
    where = f"{node.op} {node.name!r}"
    rank = value.values.ndim if isinstance(value, Weights) else len(value.onnx_shape)
    perm = tuple(node.attrs.get("perm", range(rank)[::-1]))
    if sorted(perm) != list(range(rank)):
        raise emitter.fail(where, f"perm must order {rank} dimensions, not {perm}", "export the network again")
    if isinstance(value, Weights):
        return value.transpose(perm)
    if value.flat:
        if perm == (0, 1):
            return value
        raise emitter.fail(where, "moves the batch dimension", "keep the batch first")
    axes = tuple(value.perm[p] for p in perm)
    if len(axes) != 4 or value.shape[axes[0]] != 1:
        raise emitter.fail(where, "moves the batch dimension", "keep the batch first")
    return replace(value, perm=axes)


def _target(node: Node, value: Map, file: OnnxFile, emitter: Emitter) -> tuple[int, ...]:
    """The shape ONNX sees after the node."""
    where, old = f"{node.op} {node.name!r}", list(value.onnx_shape)
    if node.op == "Flatten":
        axis = node.attrs.get("axis", 1) % (len(old) + 1)
        return int(np.prod(old[:axis])), int(np.prod(old[axis:]))
    numbers = node.attrs.get("axes")
    if node.input(1):
        numbers = file.integers(node, 1)
        if numbers is None:
            raise emitter.fail(where, "the shape is computed at run time", "export with fixed sizes")
    if node.op == "Squeeze":
        drop = {n % len(old) for n in numbers} if numbers is not None else {a for a, n in enumerate(old) if n == 1}
        return tuple(n for a, n in enumerate(old) if a not in drop)
    if numbers is None:
        raise emitter.fail(where, "the new shape is not stated", "export with fixed sizes")
    if node.op == "Unsqueeze":
        places = {n % (len(old) + len(numbers)) for n in numbers}
        if len(places) != len(numbers):
            raise emitter.fail(where, f"axes must differ, not {tuple(numbers)}", "export the network again")
        rest = iter(old)
        return tuple(1 if a in places else next(rest) for a in range(len(old) + len(numbers)))
    keep_zero = node.attrs.get("allowzero", 0)
    new = [old[a] if n == 0 and not keep_zero and a < len(old) else n for a, n in enumerate(numbers)]
    if -1 in new:
        known = int(np.prod([n for n in new if n != -1]))
        new[new.index(-1)] = int(np.prod(old)) // known if known else 0
    return tuple(new)


def _reshape(node: Node, value: Map, target: tuple[int, ...], file: OnnxFile, emitter: Emitter) -> Map:
    """A new map, its values in the same order in memory."""
    where = f"{node.op} {node.name!r}"
    if len(target) not in (2, 4) or target[0] != 1:
        raise emitter.fail(where, f"the result must be (1, F) or (1, C, H, W), not {target}",
                           "keep the batch first, and maps four-dimensional")
    flat = len(target) == 2
    perm = NCHW if flat else wanted_perm(file, node.outputs[0])
    shape: Shape = (1, 1, 1, target[1]) if flat else ir_shape(target, perm)
    result = Map(shape=shape, perm=perm, flat=flat)
    if not (value.row_major and result.row_major):
        raise emitter.fail(where, f"turning {value.onnx_shape} into {target} would move values between channels and "
                           "pixels", "reshape only vectors, maps of one channel or maps of one pixel")
    if isinstance(value, Source):
        return Source(shape=shape, perm=perm, flat=flat, name=value.name, given=perm)
    if not isinstance(value, View):
        raise emitter.fail(where, "reshapes a result that is not quantised yet",
                           "put QuantizeLinear / DequantizeLinear before it")
    output = emitter.tensor(file.map_name(node.outputs[0]), shape, value.tensor.scale, value.tensor.zero_point)
    emitter.emit(Reshape(name=node.name, inputs=(value.tensor.name,), output=output.name, source=node.op))
    return View(shape=shape, perm=perm, flat=flat, tensor=output)
