"""Transpose, Reshape, Flatten and the like: records about order and shape, as long as no value has to move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hwgen.model.onnx_check import LAYOUT, QUANTIZE, SAME
from hwgen.model.onnx_file import OnnxFile
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Node
from hwgen.model.onnx_select import shuffled
from hwgen.model.onnx_values import Map, Pending, Perm, Shape, Source, Tail, View, Weights
from hwgen.model.ports import Step

Roles = tuple[int, ...]

CHANNELS_FIRST: dict[int, Roles] = {4: (0, 3, 1, 2), 3: (0, 3, 2), 2: (0, 3)}
"""The IR's axis behind each axis of what convolutions and poolings read, by its number of dimensions."""

CHANNELS_LAST: dict[int, Roles] = {4: (0, 1, 2, 3), 3: (0, 2, 3), 2: (0, 3)}
"""Of what MatMul reads."""

_ELEMENTWISE = {"Relu", "Clip", "Add", "Sub", "Mul", "Div", "BatchNormalization", "Cast"}


def source_map(file: OnnxFile, name: str, seen: tuple[int, ...]) -> Map:
    """How an input of the network lies in its map: such that the first operator that asks for an order finds it."""
    dims, roles = _until_computed(file, name, seen)
    wanted = roles.get(len(dims), ())
    axes = {dim: axis for dim, axis in zip(dims, wanted, strict=False) if dim >= 0}
    shape, order = [1, 1, 1, 1], []
    for dim, size in enumerate(seen):
        if size > 1 and axes.get(dim, 0) == 0:  # it is no axis of a map: values stay where they are
            return Map(shape=(1, 1, 1, math.prod(seen)), seen=seen)
        if dim in axes:
            shape[axes[dim]] = size
            order.append(axes[dim])
    rest = [axis for axis in range(4) if axis not in order]
    return Map(shape=_four(shape), order=_four([*rest, *order]), seen=seen)


def _until_computed(file: OnnxFile, name: str, seen: tuple[int, ...]) -> tuple[list[int], dict[int, Roles]]:
    """Which of the input's axes lies behind each axis of the value that the first operator reads which asks for an
    order (-1: none, its size is 1), and the orders that it asks for."""
    dims = list(range(len(seen)))
    while users := file.consumers.get(name):
        node = users[0]
        if node.op == "MatMul":
            return dims, CHANNELS_LAST
        if node.op in LAYOUT:
            shape = [seen[dim] if dim >= 0 else 1 for dim in dims]
            new = _target(node, shape, file) if node.op != "Transpose" else None
            if node.op == "Transpose":
                perm = node.attrs.get("perm", range(len(dims))[::-1])
                if sorted(perm) != list(range(len(dims))):
                    break
                dims = [dims[p] for p in perm]
            elif isinstance(new, tuple) and [n for n in new if n != 1] == [n for n in shape if n != 1]:
                long = iter([dim for dim, n in zip(dims, shape, strict=True) if n != 1])
                dims = [next(long) if n != 1 else -1 for n in new]
            else:
                break
        elif node.op not in QUANTIZE | SAME | _ELEMENTWISE:
            break
        name = node.outputs[0]
    return dims, CHANNELS_FIRST


def placed(value: Map, roles: Roles) -> Map | None:
    """The value with the map's axes ``roles`` behind the file's; None when values would have to move."""
    if len(roles) != len(value.seen) or value.seen[0] != 1:
        return None
    shape = [1, 1, 1, 1]
    for size, axis in zip(value.seen, roles, strict=True):
        shape[axis] = size
    found = Map(shape=_four(shape), order=_four([*roles, *(a for a in range(4) if a not in roles)]), seen=value.seen)
    return found if _same_places(value, found) else None


def _same_places(a: Map, b: Map) -> bool:
    """True when two maps whose file sees the same hold its values in the same places."""
    if aligned(a, b):
        return True
    first, second = (np.arange(math.prod(m.shape), dtype=np.int64).reshape(m.shape).transpose(m.order).reshape(-1)
                     for m in (a, b))
    return bool((first == second).all())


def aligned(a: Map, b: Map) -> bool:
    """True when two maps have one shape, and their file sees it in one order."""
    return a.shape == b.shape and _long(a) == _long(b)


def _long(value: Map) -> list[int]:
    return [axis for axis in value.order if value.shape[axis] != 1]


def as_placed(view: View, roles: Sequence[Roles], node: Node, emitter: Emitter) -> View:
    """The view with the first of some orders that needs no moves; its map gets another shape if it must.

    Raises
    ------
    HwgenError
        When values would have to move.
    """
    for one in roles:
        found = placed(view, one)
        if found is not None:
            return emitter.reshaped(view, found, node.name)
    raise emitter.fail(node.op, node.name, f"reads {view.seen} in another order than its values are computed in",
                       "reshape only vectors, maps of one channel or maps of one pixel, and keep the order of the axes "
                       "(NCHW) between layers")


def relayout(node: Node, value: Source | View | Pending | Weights | Tail, file: OnnxFile,
             emitter: Emitter) -> Source | View | Pending | Weights | Tail:
    """The value after a node of `hwgen.model.onnx_check.LAYOUT`.

    Raises
    ------
    HwgenError
        When the new shape is not known, or an axis would have to be split.
    """
    old = value.values.shape if isinstance(value, Weights) else value.seen
    if node.op == "Transpose":
        perm = tuple(int(p) for p in node.attrs.get("perm", range(len(old))[::-1]))
        if sorted(perm) != list(range(len(old))):
            raise emitter.fail(node.op, node.name, f"perm must order {len(old)} dimensions, not {perm}",
                               "export the network again")
        return _transposed(node, value, perm, file, emitter)
    target = _target(node, old, file)
    if isinstance(target, str):
        raise emitter.fail(node.op, node.name, target, "export with fixed sizes and a batch of 1")
    if math.prod(target) != math.prod(old):
        raise emitter.fail(node.op, node.name, f"cannot turn {tuple(old)} into {target}", "export with batch 1")
    if isinstance(value, Weights):
        return _reshaped_weights(node, value, target, emitter)
    if isinstance(value, Tail):
        step = Step(kind="reshape", name=node.name, source=node.op, output=node.outputs[0],
                    attrs={"shape": target, "from": value.seen})
        return replace(value, seen=target, steps=(*value.steps, step))
    return replace(value, seen=target)


def _transposed(node: Node, value: Source | View | Pending | Weights | Tail, perm: tuple[int, ...],
                file: OnnxFile, emitter: Emitter) -> Source | View | Pending | Weights | Tail:
    if isinstance(value, Weights):
        return value.transpose(perm)
    seen = tuple(value.seen[p] for p in perm)
    if value.seen[:1] == (1,) and seen[:1] != (1,):
        raise emitter.fail(node.op, node.name, "moves the batch dimension", "keep the batch first")
    if isinstance(value, Tail):
        step = Step(kind="transpose", name=node.name, source=node.op, output=node.outputs[0], attrs={"perm": perm})
        return replace(value, seen=seen, steps=(*value.steps, step))
    value = _split(node, value, perm, emitter) if value.axes is None else value
    axes = value.axes
    moved = shuffled(node, value, perm, file.map_name(node.outputs[0]), emitter) if axes is None and isinstance(
        value, View) else None
    if moved is not None:
        return moved
    if axes is None:
        raise emitter.fail(node.op, node.name, f"moves parts of an axis: {value.seen} to {seen}",
                           "a pixel shuffle has no form here")
    order = [axis for p in perm for axis in axes[p]]
    return replace(value, seen=seen, order=_four([*(a for a in range(4) if a not in order), *order]))


def _split(node: Node, value: Source | View | Pending, perm: tuple[int, ...],
           emitter: Emitter) -> Source | View | Pending:
    """A value of which an axis of its map is seen as several, in a map that has these, as a layer behind ``perm`` reads
    them; itself when there is none."""
    for order in (CHANNELS_FIRST, CHANNELS_LAST):
        roles = order.get(len(perm), ())
        found = placed(value, tuple(roles[perm.index(a)] for a in range(len(roles))))
        if found is not None and isinstance(value, View):
            return emitter.reshaped(value, found, node.name)
        if found is not None and isinstance(value, Source) and value.order == value.given:
            return replace(value, shape=found.shape, order=found.order, given=found.order)
    return value


def _reshaped_weights(node: Node, value: Weights, target: tuple[int, ...], emitter: Emitter) -> Weights:
    axis = value.axis
    if value.scale.size > 1:
        before = math.prod(value.values.shape[:axis])
        fitting = [a for a, n in enumerate(target)
                   if n == value.scale.size and math.prod(target[:a]) == before]
        if not fitting:
            raise emitter.fail(node.op, node.name, "reshapes the axis of the weights' scales",
                               "store the weights reshaped")
        axis = fitting[0]
    return replace(value, values=value.values.reshape(target), axis=axis)


def _target(node: Node, old: Sequence[int], file: OnnxFile) -> tuple[int, ...] | str:
    """The shape ONNX sees after the node, or what is wrong."""
    if node.op == "Flatten":
        axis = node.attrs.get("axis", 1)
        axis += len(old) if axis < 0 else 0
        return math.prod(old[:axis]), math.prod(old[axis:])
    numbers = node.attrs.get("axes")
    if node.input(1):
        numbers = file.integers(node, 1)
        if numbers is None:
            return "the shape is computed at run time"
    if node.op == "Squeeze":
        drop = {n % len(old) for n in numbers} if numbers else {a for a, n in enumerate(old) if n == 1}
        if any(old[a] != 1 for a in drop):
            return f"squeezes axes of {tuple(old)} that are longer than 1"
        return tuple(n for a, n in enumerate(old) if a not in drop)
    if numbers is None:
        return "the new shape is not stated"
    if node.op == "Unsqueeze":
        places = {n % (len(old) + len(numbers)) for n in numbers}
        if len(places) != len(numbers):
            return f"axes must differ, not {tuple(numbers)}"
        rest = iter(old)
        return tuple(1 if a in places else next(rest) for a in range(len(old) + len(numbers)))
    keep_zero = node.attrs.get("allowzero", 0)
    new = [old[a] if n == 0 and not keep_zero and a < len(old) else n for a, n in enumerate(numbers)]
    if new.count(-1) > 1 or any(n < -1 for n in new):
        return f"the shape {tuple(numbers)} is not one"
    if -1 in new:
        known = math.prod([n for n in new if n != -1])
        new[new.index(-1)] = math.prod(old) // known if known else 0
    return tuple(new)


def _four(numbers: Sequence[int]) -> Shape | Perm:
    first, second, third, fourth = numbers
    return (int(first), int(second), int(third), int(fourth))


