"""The operators that compute: from an ONNX node and its input values to a waiting operator or a new map."""

from __future__ import annotations

from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.model.graph import Pad, Pool, Tensor
from hwgen.model.onnx_check import POOLS
from hwgen.model.onnx_file import OnnxFile
from hwgen.model.onnx_lower import Emitter
from hwgen.model.onnx_node import Array, Node
from hwgen.model.onnx_values import NCHW, NHWC, Pending, Shape, Source, Tail, View, Weights, flat_columns

Value = Source | View | Pending | Weights | Tail | Array

_QDQ = "put QuantizeLinear / DequantizeLinear on it (quantize_static does for every operator it knows)"


class Layers:
    """Builds one node at a time; see `build`."""

    def __init__(self, file: OnnxFile, emitter: Emitter) -> None:
        self.file, self.emitter = file, emitter

    def build(self, node: Node, inputs: list[Value]) -> Value:
        """The value of a compute node.

        Raises
        ------
        HwgenError
            When an input is not quantised or a shape does not fit.
        """
        if node.op in ("Relu", "Clip"):
            return self._clip(node, inputs)
        if node.op == "Add":
            return self._add(node, inputs)
        if node.op == "Concat":
            return self._concat(node, inputs)
        view = self._view(node, inputs[0])
        if node.op == "Conv":
            return self._conv(node, view, inputs)
        if node.op in ("Gemm", "MatMul"):
            return self._dense(node, view, inputs)
        if node.op == "Pad":
            return self._pad(node, view, inputs)
        if node.op in POOLS:
            return self._pool(node, view)
        raise self._fail(node, "is not supported here")

    def _fail(self, node: Node, what: str, remedy: str | None = None) -> HwgenError:
        return self.emitter.fail(f"{node.op} {node.name!r}", what, remedy)

    def _view(self, node: Node, value: Value) -> View:
        if isinstance(value, View):
            return value
        if isinstance(value, Pending):
            kind = f"the result of {value.op} {value.node!r}, which is not quantised"
        else:
            kind = "the network's float input" if isinstance(value, Source) else "a constant"
        raise self._fail(node, f"reads {kind}", _QDQ)

    def _like(self, node: Node, view: View, shape: Shape) -> Tensor:
        """A new map with the scale and zero point of the one it is made from."""
        name = self.file.map_name(node.outputs[0])
        return self.emitter.tensor(name, shape, view.tensor.scale, view.tensor.zero_point)

    def _image(self, node: Node, view: View) -> None:
        if view.flat or view.perm != NCHW:
            raise self._fail(node, f"reads a map that is not (1, C, H, W) but {view.onnx_shape}",
                             "keep maps in NCHW order between layers")

    def _weights(self, node: Node, value: Value, rank: int) -> Weights:
        if not isinstance(value, Weights):
            raise self._fail(node, "its weights are not quantised constants", _QDQ)
        if value.values.ndim != rank or value.values.dtype not in (np.int8, np.uint8):
            raise self._fail(node, f"its weights must be 8-bit with {rank} dimensions, not {value.values.dtype} "
                             f"{value.values.shape}", "export the network again")
        return value

    def _bias(self, node: Node, inputs: list[Value], channels: int) -> Any:
        bias = inputs[2] if len(inputs) > 2 else None
        if bias is None:
            return None
        if not isinstance(bias, Weights | np.ndarray):
            raise self._fail(node, "its bias is not a constant", "export the network again")
        shape = bias.values.shape if isinstance(bias, Weights) else bias.shape
        if int(np.prod(shape)) != 1 and (int(np.prod(shape)), *shape[-1:]) != (channels, channels):
            raise self._fail(node, f"a bias of shape {shape} does not fit {channels} channels",
                             "export the network again")
        return bias

    def _pads(self, node: Node, view: View, kernel: tuple[int, int], dilation: tuple[int, int],
              stride: tuple[int, int]) -> tuple[int, int, int, int]:
        """(top, bottom, left, right) of a convolution or pooling, auto_pad and ceil_mode resolved."""
        auto = node.attrs.get("auto_pad", "NOTSET")
        pads = node.attrs.get("pads", [0, 0, 0, 0])
        result = []
        for axis in (0, 1):
            size, span = view.shape[1 + axis], dilation[axis] * (kernel[axis] - 1) + 1
            before, after = (pads[axis], pads[axis + 2]) if auto == "NOTSET" else (0, 0)
            if auto.startswith("SAME"):
                total = max((-(-size // stride[axis]) - 1) * stride[axis] + span - size, 0)
                before, after = total // 2, total - total // 2
                if auto == "SAME_LOWER":
                    before, after = after, before
            room = size + before + after - span
            if room < 0:
                raise self._fail(node, f"its kernel spans {span} pixels but its padded input has only "
                                 f"{size + before + after}", "export the network again")
            if node.attrs.get("ceil_mode", 0) and room % stride[axis]:
                last = (room // stride[axis] + 1) * stride[axis]
                if last < size + before:  # the extra window must start inside the map, not in the padding after it
                    after += last - room
            result += [before, after]
        return (result[0], result[1], result[2], result[3])

    def _out(self, view: View, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int, int, int],
             channels: int, dilation: tuple[int, int] = (1, 1)) -> Shape:
        rows, columns = ((view.shape[1 + a] + pad[2 * a] + pad[2 * a + 1] - dilation[a] * (kernel[a] - 1) - 1)
                         // stride[a] + 1 for a in (0, 1))
        return (1, rows, columns, channels)

    def _conv(self, node: Node, view: View, inputs: list[Value]) -> Pending:
        weights = self._weights(node, inputs[1], 4)
        self._image(node, view)
        out, per_group, height, width = weights.values.shape
        groups = node.attrs.get("group", 1)
        if per_group * groups != view.shape[3] or out % groups:
            raise self._fail(node, f"weights {weights.values.shape} with {groups} groups do not fit "
                             f"{view.shape[3]} input channels", "export the network again")
        stride, dilation = _pair(node, "strides"), _pair(node, "dilations")
        pad = self._pads(node, view, (height, width), dilation, stride)
        return Pending(shape=self._out(view, (height, width), stride, pad, out, dilation), kind="conv", node=node.name,
                       op=node.op, inputs=(view,),
                       args={"weights": weights.transpose((0, 2, 3, 1)), "bias": self._bias(node, inputs, out),
                             "stride": stride, "dilation": dilation, "pad": pad, "groups": groups})

    def _dense(self, node: Node, view: View, inputs: list[Value]) -> Pending:
        """Fully connected: a convolution whose kernel is the map, its columns in NHWC order; a MatMul over the last
        axis of an NHWC map is a pointwise convolution."""
        weights = self._weights(node, inputs[1], 2)
        if not node.attrs.get("transB", 0):
            weights = weights.transpose((1, 0))
        out, columns = weights.values.shape
        pointwise = not view.flat and view.perm == NHWC
        if not (view.flat or pointwise):
            raise self._fail(node, f"reads a map of shape {view.onnx_shape}", "put Flatten before it")
        if columns != view.onnx_shape[-1]:
            raise self._fail(node, f"has {columns} weights an output, but its input has {view.onnx_shape[-1]} values",
                             "export the network again")
        sizes, axes = ((1, 1, columns), (0, 1, 2)) if pointwise else flat_columns(view)
        values = weights.values.reshape(out, *sizes).transpose(0, *(a + 1 for a in axes))
        weights = Weights(values=values, scale=weights.scale, zero_point=weights.zero_point,
                          axis=weights.axis if weights.axis == 0 else 3)
        shape = (*view.shape[:3], out) if pointwise else (1, 1, 1, out)
        return Pending(shape=shape, perm=NHWC if pointwise else NCHW, flat=not pointwise, kind="conv", node=node.name,
                       op=node.op, inputs=(view,), args={"weights": weights, "bias": self._bias(node, inputs, out)})

    def _add(self, node: Node, inputs: list[Value]) -> Pending:
        for value, other in ((inputs[0], inputs[1]), (inputs[1], inputs[0])):
            if isinstance(other, Weights | np.ndarray) and isinstance(value, View | Pending):
                return self._add_constant(node, value, other.real() if isinstance(other, Weights) else other)
        first, second = (self._view(node, value) for value in inputs)
        if first.onnx_shape != second.onnx_shape or first.shape != second.shape or first.order != second.order:
            raise self._fail(node, f"adds maps of different shapes, {first.onnx_shape} and {second.onnx_shape}",
                             "only maps of equal shape can be added")
        return Pending(shape=first.shape, perm=first.perm, flat=first.flat, kind="add", node=node.name, op=node.op,
                       inputs=(first, second))

    def _add_constant(self, node: Node, value: View | Pending, constant: Array) -> Pending:
        """A bias: into the layer before it, else a depthwise convolution with one weight of 1."""
        remedy = "only one constant for all or one per channel can be added"
        size = value.onnx_shape
        try:
            full = np.broadcast_to(constant, size)
        except ValueError as error:
            raise self._fail(node, f"adds a constant of shape {constant.shape} to {size}", remedy) from error
        if value.flat and value.shape[:3] != (1, 1, 1):
            raise self._fail(node, "adds a constant to a flattened map", "add it before Flatten")
        last = full.reshape(-1, value.shape[3]) if value.flat else np.moveaxis(full, value.perm.index(3), -1).reshape(
            -1, value.shape[3])
        if (last != last[0]).any():
            raise self._fail(node, "adds a constant that differs between pixels", remedy)
        bias = last[0].astype(np.float64)
        if isinstance(value, Pending):
            if value.kind != "conv" or value.clamped or value.args.get("bias") is not None:
                raise self._fail(node, "reads a result that is not quantised", _QDQ)
            return Pending(**{**vars(value), "args": {**value.args, "bias": bias}})
        channels = value.shape[3]
        one = Weights(values=np.full((channels, 1, 1, 1), 64, np.int8), scale=np.array([1 / 64], np.float32),
                      zero_point=np.zeros(1, np.int64))
        return Pending(shape=value.shape, perm=value.perm, flat=value.flat, kind="conv", node=node.name, op=node.op,
                       inputs=(value,), args={"weights": one, "bias": bias, "groups": channels})

    def _concat(self, node: Node, inputs: list[Value]) -> Pending:
        views = [self._view(node, value) for value in inputs]
        first = views[0]
        axis = node.attrs["axis"] % len(first.onnx_shape)
        if first.flat and all(view.flat and view.shape[:3] == (1, 1, 1) for view in views):
            along = 3
        elif any(view.flat for view in views):
            raise self._fail(node, "joins flattened maps", "join the maps before Flatten")
        else:
            along = first.perm[axis]
        rest = [[n for a, n in enumerate(view.shape) if a != along] for view in views]
        if axis == 0 or any(view.perm != first.perm for view in views) or any(r != rest[0] for r in rest):
            raise self._fail(node, f"joins {[view.onnx_shape for view in views]} along axis {axis}",
                             "maps must agree in all dimensions but height, width or channels")
        shape = list(first.shape)
        shape[along] = sum(view.shape[along] for view in views)
        return Pending(shape=(1, shape[1], shape[2], shape[3]), perm=first.perm, flat=first.flat, kind="concat",
                       node=node.name, op=node.op, inputs=tuple(views), args={"axis": along})

    def _clip(self, node: Node, inputs: list[Value]) -> Pending:
        lo, hi = (0.0, np.inf) if node.op == "Relu" else self._bounds(node)
        value = inputs[0]
        if isinstance(value, View):
            return Pending(shape=value.shape, perm=value.perm, flat=value.flat, kind="same", node=node.name,
                           op=node.op, inputs=(value,), lo=lo, hi=hi)
        if not isinstance(value, Pending) or len(self.file.consumers[node.input(0)]) > 1:
            raise self._fail(node, "reads a result that is not quantised", _QDQ)
        low = min(max(value.lo, lo), hi)
        return Pending(**{**vars(value), "lo": low, "hi": max(min(value.hi, hi), low)})

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

    def _pad(self, node: Node, view: View, inputs: list[Value]) -> View:
        if len(inputs) > 2 and isinstance(inputs[2], Weights) and inputs[2].real().any():
            raise self._fail(node, "pads with a value other than zero", "use constant padding with zero")
        amounts = self.file.integers(node, 1) if node.input(1) else node.attrs["pads"]
        rank = len(view.onnx_shape)
        axes = self.file.integers(node, 3) if node.input(3) else list(range(rank))
        if amounts is None or axes is None:
            raise self._fail(node, "the padding is computed at run time", "export with fixed sizes")
        if len(amounts) != 2 * len(axes):
            raise self._fail(node, f"{len(amounts)} amounts for {len(axes)} axes", "export the network again")
        axes = [axis % rank for axis in axes]
        pads = {view.perm[axis]: (amounts[i], amounts[i + len(axes)]) for i, axis in enumerate(axes)}
        if view.flat or any(any(pads.get(axis, ())) for axis in (0, 3)) or min(amounts, default=0) < 0:
            raise self._fail(node, f"pads by {amounts}: only height and width of a map can be padded",
                             "pad channels by adding zero weights to the layer before")
        pad = (*pads.get(1, (0, 0)), *pads.get(2, (0, 0)))
        _, height, width, channels = view.shape
        shape = (1, height + pad[0] + pad[1], width + pad[2] + pad[3], channels)
        output = self._like(node, view, shape)
        self.emitter.emit(Pad(name=node.name, inputs=(view.tensor.name,), output=output.name, source=node.op, pad=pad))
        return View(shape=shape, perm=view.perm, tensor=output)

    def _pool(self, node: Node, view: View) -> View | Pending:
        flat = False
        if node.op == "ReduceMean":
            flat = self._check_mean(node, view)
        else:
            self._image(node, view)
        if node.op in ("AveragePool", "MaxPool"):
            kernel, stride = _pair(node, "kernel_shape"), _pair(node, "strides")
            pad = self._pads(node, view, kernel, (1, 1), stride)
        else:
            kernel, stride, pad = (view.shape[1], view.shape[2]), (1, 1), (0, 0, 0, 0)
        shape = self._out(view, kernel, stride, pad, view.shape[3])
        if not node.op.endswith("MaxPool"):
            include = bool(node.attrs.get("count_include_pad", 0))
            return Pending(shape=shape, perm=NCHW if flat else view.perm, flat=flat, kind="average", node=node.name,
                           op=node.op, inputs=(view,),
                           args={"kernel": kernel, "stride": stride, "pad": pad, "include_pad": include})
        output = self._like(node, view, shape)
        self.emitter.emit(Pool(name=node.name, inputs=(view.tensor.name,), output=output.name, source=node.op,
                               kind="max", kernel=kernel, stride=stride, pad=pad))
        return View(shape=shape, perm=view.perm, tensor=output)

    def _check_mean(self, node: Node, view: View) -> bool:
        """Refuse a mean over other axes than height and width; returns whether it drops them."""
        axes = node.attrs.get("axes")
        if node.input(1):
            axes = self.file.integers(node, 1)
        if view.flat or axes is None or {view.perm[int(a) % 4] for a in axes} != {1, 2}:
            raise self._fail(node, "must be the mean over height and width", "use GlobalAveragePool")
        return not node.attrs.get("keepdims", 1)


def _pair(node: Node, key: str) -> tuple[int, int]:
    first, second = node.attrs.get(key, [1, 1])
    return int(first), int(second)
