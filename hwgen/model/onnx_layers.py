"""The operators that compute: from an ONNX node and its input values to a waiting operator or a new map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hwgen.model import onnx_affine as affine
from hwgen.model import onnx_slices as slices
from hwgen.model.obstacles import ObstacleError
from hwgen.model.onnx_affine import AFFINE
from hwgen.model.onnx_check import POOLS
from hwgen.model.onnx_file import OnnxFile
from hwgen.model.onnx_layout import CHANNELS_FIRST, CHANNELS_LAST, Roles, aligned, as_placed, placed
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Node
from hwgen.model.onnx_remedies import partly_float
from hwgen.model.onnx_slices import SLICES
from hwgen.model.onnx_values import Pending, Source, Tail, Value, View, Weights
from hwgen.model.onnx_windows import Windows, pair, seen_as, window_pads, windowed
from hwgen.model.ports import NHWC, Step

_AGAIN = "export the network again"
_VECTOR: Roles = (0, 3)


class Layers:
    """Builds one node at a time; see `build`."""

    def __init__(self, file: OnnxFile, emitter: Emitter) -> None:
        self.file, self.emitter = file, emitter
        self.windows = Windows(file, emitter)

    def build(self, node: Node, inputs: list[Value]) -> Value:
        """The value of a compute node.

        Raises
        ------
        HwgenError
            When an input is not quantised or a shape does not fit.
        """
        if node.op in ("Relu", "Clip"):
            return self._clip(node, inputs)
        if node.op in AFFINE:
            found = affine.build(node, inputs, self.file, self.emitter)
            return found if found is not None else self._add(node, inputs)
        if node.op == "Concat":
            return self._concat(node, inputs)
        view = self._view(node, inputs[0], integers=node.op in SLICES | {"Pad", "MaxPool"})
        if node.op == "Conv":
            return self._conv(node, view, inputs)
        if node.op in ("Gemm", "MatMul"):
            return self._dense(node, view, inputs)
        if node.op == "Pad":
            return self.windows.pad(node, view, inputs)
        if node.op in SLICES:
            return slices.part(node, view, self.file, self.emitter)
        if node.op in POOLS:
            return self.windows.pool(node, view)
        raise self._fail(node, "is not supported here")

    def _fail(self, node: Node, what: str, remedy: str | None = None) -> ObstacleError:
        return self.emitter.fail(node.op, node.name, what, remedy)

    def _view(self, node: Node, value: Value, *, integers: bool = False) -> View:
        if isinstance(value, View):
            if value.real or integers:
                return value
            raise self._fail(node, "reads integers, not the numbers that they stand for",
                             "put DequantizeLinear before it")
        raise self._unread(node, value)

    def _unread(self, node: Node, value: Value) -> ObstacleError:
        if isinstance(value, Pending):
            return self._unquantised(node, value)
        if isinstance(value, Tail):
            return self._fail(node, f"reads the {value.steps[-1].source} that the host computes",
                              "cut the network there")
        if isinstance(value, Source):
            return self._fail(node, "reads the network's float input", partly_float(self.file.name))
        return self._fail(node, "reads a constant where a map has to be",
                          "exchange its inputs, or fold what is constant")

    def _unquantised(self, node: Node, value: Pending) -> ObstacleError:
        return self._fail(node, f"reads the result of {value.op} {value.node!r}, which is not quantised",
                          partly_float(self.file.name))

    def _weights(self, node: Node, value: Value, ranks: Sequence[int]) -> Weights:
        if not isinstance(value, Weights):
            raise self._fail(node, "its weights are not quantised constants", partly_float(self.file.name))
        if value.values.ndim not in ranks or value.values.dtype not in (np.int8, np.uint8):
            raise self._fail(node, f"its weights must be of 8 bits or fewer with {' or '.join(map(str, ranks))} "
                             f"dimensions, not {value.values.dtype} {value.values.shape}", _AGAIN)
        return value

    def _bias(self, node: Node, inputs: list[Value], channels: int) -> Any:
        bias = inputs[2] if len(inputs) > 2 else None
        if bias is None:
            return None
        if not isinstance(bias, Weights | np.ndarray):
            raise self._fail(node, "its bias is not a constant", _AGAIN)
        shape = bias.values.shape if isinstance(bias, Weights) else bias.shape
        if math.prod(shape) != 1 and (math.prod(shape), *shape[-1:]) != (channels, channels):
            raise self._fail(node, f"a bias of shape {shape} does not fit {channels} channels", _AGAIN)
        return bias

    def _conv(self, node: Node, view: View, inputs: list[Value]) -> Pending:
        weights = self._weights(node, inputs[1], (3, 4))
        rank = weights.values.ndim
        if len(view.seen) != rank:
            raise self._fail(node, f"its weights have {rank} dimensions, its input {len(view.seen)}", _AGAIN)
        view = as_placed(view, [CHANNELS_FIRST[rank]], node, self.emitter)
        stated = node.attrs.get("kernel_shape", weights.values.shape[2:])
        if tuple(stated) != weights.values.shape[2:]:
            raise self._fail(node, f"kernel_shape {list(stated)} is not that of its weights {weights.values.shape}",
                             _AGAIN)
        if rank == 3:
            weights = replace(weights, values=weights.values[:, :, None],
                              axis=weights.axis if weights.axis < 2 else weights.axis + 1)
        out, per_group, height, width = weights.values.shape
        groups = node.attrs.get("group", 1)
        if per_group * groups != view.shape[3] or out % groups:
            raise self._fail(node, f"weights {weights.values.shape} with {groups} groups do not fit "
                             f"{view.shape[3]} input channels", _AGAIN)
        stride, dilation = pair(node, "strides"), pair(node, "dilations")
        pad = window_pads(node, view, (height, width), dilation, stride, self.emitter)
        shape = windowed(view, (height, width), stride, pad, out, dilation)
        return Pending(shape=shape, order=view.order, seen=seen_as(shape, CHANNELS_FIRST[rank]), kind="conv",
                       node=node.name, op=node.op, inputs=(view,),
                       args={"weights": weights.transpose((0, 2, 3, 1)), "bias": self._bias(node, inputs, out),
                             "stride": stride, "dilation": dilation, "pad": pad, "groups": groups})

    def _dense(self, node: Node, view: View, inputs: list[Value]) -> Pending:
        """Fully connected: a convolution whose kernel is the map, its columns in NHWC order; a MatMul over the last
        axis of a map of several pixels is a pointwise convolution."""
        weights = self._weights(node, inputs[1], (2,))
        if not node.attrs.get("transB", 0):
            weights = weights.transpose((1, 0))
        out, columns = weights.values.shape
        if columns != view.seen[-1]:
            raise self._fail(node, f"has {columns} weights an output, but its input has {view.seen[-1]} values", _AGAIN)
        if node.op == "Gemm" and len(view.seen) != 2:
            raise self._fail(node, f"reads a map of shape {view.seen}", "put Flatten before it")
        if math.prod(view.seen[:-1]) == 1:
            shape, order = (1, 1, 1, out), NHWC
            sizes = [view.shape[a] for a in view.order]
            values = weights.values.reshape(out, *sizes).transpose(0, *(view.order.index(a) + 1 for a in range(4)))
            values = values[:, 0]
        else:
            view = as_placed(view, [CHANNELS_LAST.get(len(view.seen), ())], node, self.emitter)
            shape, order = (*view.shape[:3], out), view.order
            values = weights.values.reshape(out, 1, 1, columns)
        weights = replace(weights, values=values, axis=weights.axis if weights.axis == 0 else 3)
        return Pending(shape=shape, order=order, seen=(*view.seen[:-1], out), kind="conv", node=node.name, op=node.op,
                       inputs=(view,), args={"weights": weights, "bias": self._bias(node, inputs, out)})

    def _add(self, node: Node, inputs: list[Value]) -> Pending:
        maps = [self._view(node, value) for value in inputs if not isinstance(value, Weights | np.ndarray)]
        if len(maps) != 2:
            raise self._fail(node, "reads constants alone", _AGAIN)
        first, second = maps
        if first.seen != second.seen:
            raise self._fail(node, f"adds maps of different shapes, {first.seen} and {second.seen}",
                             "only maps of equal shape can be added")
        if not aligned(first, second):
            first, second = (as_placed(view, self._common([first, second]), node, self.emitter)
                             for view in (first, second))
        return Pending(shape=first.shape, order=first.order, seen=first.seen, kind="add", node=node.name, op=node.op,
                       inputs=(first, second))

    def _common(self, views: Sequence[View]) -> list[Roles]:
        """The orders of axes that all of some views can have without a move."""
        rank = len(views[0].seen)
        orders = [order[rank] for order in (CHANNELS_FIRST, CHANNELS_LAST) if rank in order]
        return [roles for roles in orders if all(placed(view, roles) is not None for view in views)]

    def _concat(self, node: Node, inputs: list[Value]) -> Pending | View:
        views = [self._view(node, value, integers=True) for value in inputs]
        if len({view.real for view in views}) > 1:
            raise self._fail(node, "joins integers and real numbers", _AGAIN)
        rank = len(views[0].seen)
        axis = node.attrs["axis"] % rank
        rest = [[n for a, n in enumerate(view.seen) if a != axis] for view in views]
        if any(len(view.seen) != rank for view in views) or axis == 0 or any(r != rest[0] for r in rest):
            raise self._fail(node, f"joins {[view.seen for view in views]} along axis {axis}",
                             "maps must agree in all dimensions but height, width or channels")
        roles = next(iter(self._common(views)), None)
        if roles is None:
            raise self._fail(node, f"joins maps {[view.seen for view in views]} that lie in different orders",
                             "join the maps before Flatten, and in the order (NCHW) that layers read")
        views = [as_placed(view, [roles], node, self.emitter) for view in views]
        first = views[0]
        along = roles[axis]
        shape = list(first.shape)
        shape[along] = sum(view.shape[along] for view in views)
        seen = tuple(shape[a] for a in roles)
        result = Pending(shape=(1, shape[1], shape[2], shape[3]), order=first.order, seen=seen, kind="concat",
                         node=node.name, op=node.op, inputs=tuple(views), args={"axis": along})
        return result if first.real else self._joined(result)

    def _joined(self, result: Pending) -> View:
        """Integers are joined as they are, whatever they stand for."""
        first = result.inputs[0]
        scale, zero = first.tensor.scale, first.tensor.zero_point
        views = tuple(self.emitter.reinterpreted(view, scale, zero, f"{result.node}/scale") for view in result.inputs)
        joined = self.emitter.lower(replace(result, inputs=views), f"{result.node}/joined", scale, zero)
        return replace(joined, real=False, type=first.type)

    def _clip(self, node: Node, inputs: list[Value]) -> Pending | Source:
        lo, hi = (0.0, np.inf) if node.op == "Relu" else self._bounds(node)
        value = inputs[0]
        if isinstance(value, Source):
            bounds = {key: bound for key, bound in (("min", lo), ("max", hi)) if np.isfinite(bound)}
            step = Step(kind="clip", name=node.name, source=node.op, output=node.outputs[0], attrs=bounds)
            return replace(value, steps=(*value.steps, step))
        if isinstance(value, View):
            view = self._view(node, value)
            return Pending(shape=view.shape, order=view.order, seen=view.seen, kind="same", node=node.name, op=node.op,
                           inputs=(view,), lo=lo, hi=hi)
        if not isinstance(value, Pending):
            raise self._unread(node, value)
        if len(self.file.consumers[node.input(0)]) > 1:
            raise self._fail(node, f"reads the result of {value.op} {value.node!r}, which others read too and which is "
                             "not quantised", partly_float(self.file.name))
        low = min(max(value.lo, lo), hi)
        return replace(value, lo=low, hi=max(min(value.hi, hi), low))

    def _bounds(self, node: Node) -> tuple[float, float]:
        bounds = []
        for position, key, default in ((1, "min", -np.inf), (2, "max", np.inf)):
            value = node.attrs.get(key, default)
            if name := node.input(position):
                constant = self.file.consts.get(name)
                if constant is None or constant.size != 1 or constant.dtype.kind not in "fiu":
                    raise self._fail(node, "its bounds must be float constants", "use ReLU6 or Clip with numbers")
                value = constant.reshape(-1)[0]
            bounds.append(float(value))
        if not bounds[0] <= bounds[1]:
            raise self._fail(node, f"its bounds must be ordered, not {bounds[0]:g} and {bounds[1]:g}")
        return bounds[0], bounds[1]
