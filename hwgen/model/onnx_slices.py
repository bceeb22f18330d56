"""Slice and Gather with constant places, and the parts of a Split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hwgen.model.onnx_file import OnnxFile
from hwgen.model.onnx_layout import CHANNELS_FIRST, CHANNELS_LAST, as_placed
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Node
from hwgen.model.onnx_passes.split import PART
from hwgen.model.onnx_select import selected
from hwgen.model.onnx_values import View

SLICES = {"Slice", "Gather", "Split"}


def part(node: Node, view: View, file: OnnxFile, emitter: Emitter) -> View:
    """The part of a map that a node picks; integers stay integers.

    Raises
    ------
    HwgenError
        When its places are not constants, or are not in the map.
    """
    name = file.map_name(node.outputs[0])
    for axis, places in _places(node, view, file, emitter):
        if not places:
            raise emitter.fail(node.op, node.name, "picks nothing", "export the network again")
        if places == list(range(view.seen[axis])):
            continue
        rank = len(view.seen)
        roles = [order[rank] for order in (CHANNELS_FIRST, CHANNELS_LAST) if rank in order]
        view = as_placed(view, roles, node, emitter)
        role = view.order[axis]
        found = selected(node, view, role, places, name, emitter) if role else None
        if found is None:
            raise emitter.fail(node.op, node.name, f"picks {places[:4]} ... of axis {axis} of {view.seen}",
                               "only channels, and rows or columns in equal steps, can be picked")
        view = replace(found, seen=tuple(len(places) if a == axis else n for a, n in enumerate(view.seen)))
    if node.op == "Gather" and file.consts[node.input(1)].ndim == 0:
        axis = int(node.attrs.get("axis", 0)) % len(view.seen)
        view = replace(view, seen=tuple(n for a, n in enumerate(view.seen) if a != axis))
    return view


def _places(node: Node, view: View, file: OnnxFile, emitter: Emitter) -> list[tuple[int, list[int]]]:
    """Axes of the file's value, and which places of each are picked."""
    rank = len(view.seen)
    if PART in node.attrs:
        axis, (which, count) = node.attrs["axis"] % rank, node.attrs[PART]
        size = -(-view.seen[axis] // count)
        return [(axis, list(range(view.seen[axis]))[which * size : (which + 1) * size])]
    if node.op == "Gather":
        indices, axis = file.integers(node, 1), int(node.attrs.get("axis", 0))
        if indices is None or file.consts[node.input(1)].ndim > 1 or not -rank <= axis < rank:
            raise _wrong(node, emitter)
        size = view.seen[axis]
        if any(not -size <= index < size for index in indices):
            raise _wrong(node, emitter)
        return [(axis % rank, [index % size for index in indices])]
    starts, ends = (_numbers(node, position, key, file) for position, key in ((1, "starts"), (2, "ends")))
    if starts is None or ends is None:
        raise _wrong(node, emitter)
    axes = _numbers(node, 3, "axes", file) or list(range(len(starts)))
    steps = _numbers(node, 4, "steps", file) or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps or any(
            not -rank <= axis < rank for axis in axes):
        raise _wrong(node, emitter)
    return [(axis % rank, list(range(view.seen[axis]))[start:end:step])
            for start, end, axis, step in zip(starts, ends, axes, steps, strict=True)]


def _numbers(node: Node, position: int, key: str, file: OnnxFile) -> Sequence[int] | None:
    """An input, or the attribute that it was before operator set 10."""
    return file.integers(node, position) if node.input(position) else node.attrs.get(key)


def _wrong(node: Node, emitter: Emitter) -> Exception:
    return emitter.fail(node.op, node.name, "its places must be constants within the map", "export with fixed sizes")
