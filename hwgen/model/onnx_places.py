"""Writing the ends of an ONNX network: between the file's own layout and the maps (N, C, H, W) of its layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.model.ports import FileView, Step

_CHANNELS_FIRST = (3, 1, 2)
"""The map's axes in the order of the layers, batch apart."""

Shape = tuple[int, int, int, int]


class Nodes(Protocol):
    """Collects nodes and constants of a network; both return a name."""

    def node(self, kind: str, inputs: list[str], output: str, name: str, **attrs: Any) -> str: ...
    def constant(self, name: str, value: NDArray[Any]) -> str: ...


def write_input(to: Nodes, name: str, view: FileView, shape: Shape) -> str:
    """The nodes that bring the input ``name`` of the form ``view`` into the order of layers; returns its name there."""
    own = _order(view)
    seen, parts, wanted = (list(view.shape[1:]), [shape[axis] for axis in own],
                           [shape[axis] for axis in _CHANNELS_FIRST])
    if seen != parts and _same(own, shape):
        return name if seen == wanted else _reshape(to, name, wanted, f"{name}_nchw", name)
    value = name if seen == parts else _reshape(to, name, parts, f"{name}_parts", name)
    perm = [0, *(own.index(axis) + 1 for axis in _CHANNELS_FIRST)]
    if perm == [0, 1, 2, 3]:
        return value
    return to.node("Transpose", [value], f"{name}_nchw", f"{name}/transpose", perm=perm)


def write_output(to: Nodes, value: str, name: str, view: FileView, shape: Shape) -> str:
    """The nodes that bring a map into the form ``view`` of the output ``name``; returns its name there."""
    own = _order(view)
    seen, parts, given = (list(view.shape[1:]), [shape[axis] for axis in own],
                          [shape[axis] for axis in _CHANNELS_FIRST])
    if seen != parts and _same(own, shape):
        return value if seen == given else _reshape(to, value, seen, f"{name}_placed", name)
    perm = [0, *(_CHANNELS_FIRST.index(axis) + 1 for axis in own)]
    if perm != [0, 1, 2, 3]:
        value = to.node("Transpose", [value], f"{name}_nhwc", f"{name}/transpose", perm=perm)
    return value if seen == parts else _reshape(to, value, seen, f"{name}_placed", name)


def write_steps(to: Nodes, value: str, name: str, steps: Iterable[Step]) -> str:
    """What the host does to the real values of an output; returns its name.

    Raises
    ------
    HwgenError
        For a step that ONNX has no one operator for.
    """
    for number, step in enumerate(steps):
        output = f"{name}_softmax" if step.kind == "softmax" else f"{name}_{step.kind}{number}"
        plain = not step.attrs.get("flatten") and step.attrs.get("beta", 1.0) == 1.0
        if step.kind in ("softmax", "log_softmax") and plain:
            kind = "Softmax" if step.kind == "softmax" else "LogSoftmax"
            value = to.node(kind, [value], output, step.name, axis=int(step.attrs["axis"]))
        elif step.kind == "reshape":
            value = _reshape(to, value, step.attrs["shape"][1:], output, step.name)
        elif step.kind in ("quantize", "dequantize"):
            attrs = step.attrs
            numbers = [to.constant(f"{output}/scale", np.array(attrs["scale"], np.float32)),
                       to.constant(f"{output}/zero_point", np.array(attrs["zero_point"], attrs.get("type", "int8")))]
            kind = "QuantizeLinear" if step.kind == "quantize" else "DequantizeLinear"
            value = to.node(kind, [value, *numbers], output, step.name)
        elif step.kind == "transpose":
            value = to.node("Transpose", [value], output, step.name, perm=list(step.attrs["perm"]))
        else:
            raise HwgenError(f"{step.source} at the end of the network cannot be written as one operator of ONNX",
                             where=step.name, remedy="end the network before it")
    return value


def _order(view: FileView) -> list[int]:
    return [axis for axis in view.order if axis != 0]


def _same(own: Sequence[int], shape: Shape) -> bool:
    """True when both orders hold the values in the same places."""
    first, second = ([axis for axis in order if shape[axis] != 1] for order in (own, _CHANNELS_FIRST))
    return first == second


def _reshape(to: Nodes, value: str, shape: Iterable[int], output: str, name: str) -> str:
    sizes = to.constant(f"{output}/shape", np.array([-1, *shape], np.int64))
    return to.node("Reshape", [value, sizes], output, f"{name}/{output}/reshape")
