"""Windows over a map: padding, pooling, and the geometry that convolutions share with them.

A map of three dimensions, (1, C, L), is one of height 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.model.graph import Pad, Pool
from hwgen.model.onnx_file import OnnxFile
from hwgen.model.onnx_layout import CHANNELS_FIRST, CHANNELS_LAST, Roles, as_placed, placed
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Node
from hwgen.model.onnx_values import Pending, Shape, Value, View, Weights

_AGAIN = "export the network again"


def pair(node: Node, key: str) -> tuple[int, int]:
    """A size, stride or dilation in height and width; 1 where it is not given."""
    numbers = node.attrs.get(key, [1, 1])
    first, second = numbers if len(numbers) == 2 else (1, *numbers)
    return int(first), int(second)


def window_pads(node: Node, view: View, kernel: tuple[int, int], dilation: tuple[int, int], stride: tuple[int, int],
                emitter: Emitter) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of a convolution or pooling, auto_pad and ceil_mode resolved.

    Raises
    ------
    HwgenError
        When the kernel is larger than the padded map.
    """
    auto = node.attrs.get("auto_pad", "NOTSET")
    pads = node.attrs.get("pads", [0, 0, 0, 0])
    pads = pads if len(pads) == 4 else [0, pads[0], 0, pads[1]]
    result: list[int] = []
    for axis in (0, 1):
        size, span = view.shape[1 + axis], dilation[axis] * (kernel[axis] - 1) + 1
        before, after = (pads[axis], pads[axis + 2]) if auto == "NOTSET" else (0, 0)
        if auto.startswith("SAME"):
            total = (-(-size // stride[axis]) - 1) * stride[axis] + span - size
            before = int((total + (auto == "SAME_LOWER")) / 2)  # a kernel smaller than its stride may leave pixels out
            after = max(total - before, 0)
        if before < 0 or after < 0:
            what = f"pads by {list(pads)}" if auto == "NOTSET" else f"auto_pad {auto} leaves {-before} pixels out"
            raise emitter.fail(node.op, node.name, what, "crop with Slice on the host")
        room = size + before + after - span
        if room < 0:
            raise emitter.fail(node.op, node.name, f"its kernel spans {span} pixels but its padded input has only "
                               f"{size + before + after}", _AGAIN)
        if node.attrs.get("ceil_mode", 0) and room % stride[axis]:
            last = (room // stride[axis] + 1) * stride[axis]
            if last < size + before:  # the extra window must start inside the map, not in the padding after it
                after += last - room
        result += [before, after]
    return (result[0], result[1], result[2], result[3])


def windowed(view: View, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int, int, int],
             channels: int, dilation: tuple[int, int] = (1, 1)) -> Shape:
    """The IR's shape of what windows over a map give."""
    rows, columns = ((view.shape[1 + a] + pad[2 * a] + pad[2 * a + 1] - dilation[a] * (kernel[a] - 1) - 1)
                     // stride[a] + 1 for a in (0, 1))
    return (1, rows, columns, channels)


def seen_as(shape: Shape, roles: Roles) -> tuple[int, ...]:
    """The file's shape of a map whose axes ``roles`` lie behind its own."""
    return tuple(shape[axis] for axis in roles)


class Windows:
    """Builds Pad and the poolings."""

    def __init__(self, file: OnnxFile, emitter: Emitter) -> None:
        self.file, self.emitter = file, emitter

    def pad(self, node: Node, view: View, inputs: Sequence[Value]) -> View:
        """Padding of height and width with a constant: of integers, with an integer of the file's type."""
        given = inputs[2] if node.input(2) else None
        if not (given is None or isinstance(given, Weights | np.ndarray)):
            raise self._fail(node, "the value it pads with is computed at run time", "pad with a constant")
        amounts = self.file.integers(node, 1) if node.input(1) else node.attrs.get("pads")
        rank = len(view.seen)
        axes = self.file.integers(node, 3) if node.input(3) else list(range(rank))
        if amounts is None or axes is None:
            raise self._fail(node, "the padding is computed at run time", "export with fixed sizes")
        if len(amounts) != 2 * len(axes) or any(not -rank <= axis < rank for axis in axes):
            raise self._fail(node, f"{len(amounts)} amounts for axes {axes} of {view.seen}", _AGAIN)
        roles, view = self._spatial(node, view, [a % rank for i, a in enumerate(axes)
                                                 if amounts[i] or amounts[i + len(axes)]])
        pads = {roles[axis % rank]: (amounts[i], amounts[i + len(axes)]) for i, axis in enumerate(axes)}
        if min(amounts, default=0) < 0:
            raise self._fail(node, f"pads by {amounts}", "crop with Slice on the host")
        pad = (*pads.get(1, (0, 0)), *pads.get(2, (0, 0)))
        if not any(pad):
            return view
        return self._padded(node, view, roles, pad, self._value(node, view, given))

    def _padded(self, node: Node, view: View, roles: Roles, pad: tuple[int, int, int, int], value: int) -> View:
        """The padding, in a map whose zero point is the value that is padded with."""
        scale, zero = view.tensor.scale, view.tensor.zero_point
        given = self.emitter.reinterpreted(view, scale, value, f"{node.name}/value")
        shape = windowed(view, (1, 1), (1, 1), pad, view.shape[3])
        name = self.file.map_name(node.outputs[0])
        output = self.emitter.tensor(name if value == zero else f"{name}/padded", shape, scale, value)
        self.emitter.emit(Pad(name=node.name, inputs=(given.tensor.name,), output=output.name, source=node.op, pad=pad))
        padded = View(shape=shape, order=view.order, seen=seen_as(shape, roles), tensor=output, real=view.real,
                      type=view.type)
        return self.emitter.reinterpreted(padded, scale, zero, f"{node.name}/zero_point")

    def _value(self, node: Node, view: View, given: Weights | NDArray[Any] | None) -> int:
        """The integer that is padded with, as int8."""
        real = np.asarray(node.attrs.get("value", 0.0) if given is None else
                          given.real() if isinstance(given, Weights) else given)
        if real.size != 1 or (not view.real and isinstance(given, Weights)):
            raise self._fail(node, "the value it pads with is not one number of its input's type", _AGAIN)
        number = float(real.reshape(-1)[0])
        tensor = view.tensor
        if not view.real:
            return int(number) - (128 if view.type == "uint8" else 0)
        q = number / tensor.scale + tensor.zero_point
        if q != round(q) or not -128 <= q <= 127:
            raise self._fail(node, f"pads with {number:g}, which is no value of its quantised input",
                             "quantise the result of Pad with its own scale")
        return round(q)

    def pool(self, node: Node, view: View) -> View | Pending:
        """A pooling; an average waits for its scale."""
        rank = len(view.seen)
        axes = list(range(2, rank))
        keep = True
        if node.op == "ReduceMean":
            axes, keep = self._mean_axes(node, rank), bool(node.attrs.get("keepdims", 1))
            roles, view = self._spatial(node, view, axes)
        else:
            roles = CHANNELS_FIRST.get(rank, ())
            view = as_placed(view, [roles], node, self.emitter)
        if node.op in ("AveragePool", "MaxPool"):
            self._dimensions(node, rank)
            kernel, stride = pair(node, "kernel_shape"), pair(node, "strides")
            pad = window_pads(node, view, kernel, (1, 1), stride, self.emitter)
            if any(n >= kernel[side // 2] for side, n in enumerate(pad)):
                raise self._fail(node, f"its padding {pad} (top, bottom, left, right) must be smaller than its kernel "
                                 f"{kernel}", _AGAIN)
        else:
            over = {roles[axis] for axis in axes}
            kernel, stride, pad = (view.shape[1] if 1 in over else 1, view.shape[2] if 2 in over else 1), (1, 1), (
                0, 0, 0, 0)
        shape = windowed(view, kernel, stride, pad, view.shape[3])
        seen = seen_as(shape, roles)
        seen = seen if keep else tuple(n for a, n in enumerate(seen) if a not in axes)
        if not node.op.endswith("MaxPool"):
            if not view.real:
                raise self._fail(node, "averages integers", "put it between DequantizeLinear and QuantizeLinear")
            counted = self._counted(node, view, kernel, stride) if node.op == "AveragePool" else (0, 0, 0, 0)
            return Pending(shape=shape, order=view.order, seen=seen, kind="average", node=node.name, op=node.op,
                           inputs=(view,),
                           args={"kernel": kernel, "stride": stride, "pad": pad, "counted": counted})
        output = self.emitter.tensor(self.file.map_name(node.outputs[0]), shape, view.tensor.scale,
                                     view.tensor.zero_point)
        self.emitter.limits[output.name] = self.emitter.limits.get(view.tensor.name, (-128, 127))
        self.emitter.emit(Pool(name=node.name, inputs=(view.tensor.name,), output=output.name, source=node.op,
                               kind="max", kernel=kernel, stride=stride, pad=pad))
        return View(shape=shape, order=view.order, seen=seen, tensor=output, real=view.real, type=view.type)

    def _counted(self, node: Node, view: View, kernel: tuple[int, int],
                 stride: tuple[int, int]) -> tuple[int, int, int, int]:
        """The padding that an average counts as pixels: all that the file states, or none."""
        if not node.attrs.get("count_include_pad", 0):
            return (0, 0, 0, 0)
        whole = replace(node, attrs={**node.attrs, "ceil_mode": 0})
        return window_pads(whole, view, kernel, (1, 1), stride, self.emitter)

    def _dimensions(self, node: Node, rank: int) -> None:
        if len(node.attrs.get("kernel_shape", ())) != rank - 2:
            raise self._fail(node, f"its kernel has {len(node.attrs.get('kernel_shape', ()))} dimensions, its input "
                             f"{rank}", _AGAIN)

    def _mean_axes(self, node: Node, rank: int) -> list[int]:
        axes = self.file.integers(node, 1) if node.input(1) else node.attrs.get("axes")
        if not axes or any(not -rank <= axis < rank for axis in axes):
            raise self._fail(node, "must be the mean over height and width", "use GlobalAveragePool")
        return [axis % rank for axis in axes]

    def _spatial(self, node: Node, view: View, axes: Sequence[int]) -> tuple[Roles, View]:
        """The order of axes in which ``axes`` are height and width, and the view in it."""
        rank = len(view.seen)
        for roles in (CHANNELS_FIRST.get(rank, ()), CHANNELS_LAST.get(rank, ())):
            if roles and {roles[axis] for axis in axes} <= {1, 2} and placed(view, roles) is not None:
                return roles, as_placed(view, [roles], node, self.emitter)
        raise self._fail(node, f"works on axes {list(axes)} of {view.seen}, which are not height and width",
                         "only height and width of a map can be padded or averaged")

    def _fail(self, node: Node, what: str, remedy: str) -> Exception:
        return self.emitter.fail(node.op, node.name, what, remedy)
