"""Operators of the IR from ONNX operators whose output scale is known: all arithmetic of scales happens here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.golden.fixedpoint import ADD_LEFT_SHIFT, machine_multiplier, quantize_multiplier
from hwgen.golden.pooling import pool_divisors
from hwgen.model.graph import MAX_MAP, Add, Concat, Conv, Op, Pool, Requant, Requantize, Reshape, Rounding, Tensor
from hwgen.model.obstacles import ObstacleError
from hwgen.model.onnx_finer import MOST, finer, lost
from hwgen.model.onnx_values import Map, Pending, Shape, View, Weights
from hwgen.model.ports import FileView

_INT32 = 2**31 - 1
_LARGEST_RATIO = 2.0**31


@dataclass
class Emitter:
    """Collects tensors and operators; names stay unique."""

    file: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    limits: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The least and greatest value of maps, where they are known."""
    finer: bool = True
    """Whether weights may be multiplied so that real biases are met better."""
    _same: dict[tuple[str, Shape, float, int], Tensor] = field(default_factory=dict)

    def tensor(self, name: str, shape: Shape, scale: float, zero_point: int, view: FileView | None = None) -> Tensor:
        """A new int8 map; one that is too large is an obstacle."""
        if math.prod(shape) > MAX_MAP:
            raise self.fail("map", name, f"its shape {shape} has more than 2^28 values", "export the network smaller")
        while name in self.tensors:
            name += "_"
        self.tensors[name] = Tensor(name, shape, scale, zero_point, view)
        return self.tensors[name]

    def emit(self, op: Op) -> None:
        """Append an operator; a taken name gets the output's name as a suffix."""
        if any(other.name == op.name for other in self.ops):
            object.__setattr__(op, "name", f"{op.name}/{op.output}")  # the operator is not shared yet
        self.ops.append(op)

    def fail(self, operator: str, layer: str, what: str, remedy: str | None = None) -> ObstacleError:
        """The error for a node, to raise."""
        return ObstacleError(self.file, operator, layer, what, remedy)

    def reshaped(self, view: View, found: Map, node: str) -> View:
        """The view in the form ``found``, which holds the values in the same places."""
        if found.shape == view.shape:
            return replace(view, order=found.order)
        old = view.tensor
        tensor = self._renamed(old, f"{old.name}/{'x'.join(map(str, found.shape[1:]))}", found.shape, old.scale,
                               old.zero_point, node)
        return replace(view, tensor=tensor, shape=found.shape, order=found.order)

    def reinterpreted(self, view: View, scale: float, zero_point: int, node: str) -> View:
        """The same integers with another scale or zero point."""
        old = view.tensor
        if (old.scale, old.zero_point) == (scale, zero_point):
            return view
        tensor = self._renamed(old, f"{old.name}/{node}", old.shape, scale, zero_point, node)
        return replace(view, tensor=tensor)

    def _renamed(self, old: Tensor, name: str, shape: Shape, scale: float, zero_point: int, node: str) -> Tensor:
        """A map of the same integers, made once."""
        key = (old.name, shape, scale, zero_point)
        if key not in self._same:
            tensor = self._same[key] = self.tensor(name, shape, scale, zero_point)
            self.limits[tensor.name] = self.limits.get(old.name, (-128, 127))
            self.emit(Reshape(name=f"{node}/{name}", inputs=(old.name,), output=tensor.name, source="Reshape"))
        return self._same[key]

    def lower(self, pending: Pending, name: str, scale: float, zero_point: int,
              view: FileView | None = None) -> View:
        """Emit a waiting operator into a new map ``name`` of the given scale and zero point."""
        if pending.kind == "same" and not pending.clamped:
            source = pending.inputs[0].tensor
            low, high = self.limits.get(source.name, (-128, 127))
            if (source.scale, source.zero_point) == (scale, zero_point) and (
                    pending.limits[0] <= low and high <= pending.limits[1]):
                if source.view is None and view is not None:
                    source = self.tensors[source.name] = replace(source, view=view)
                return View(shape=pending.shape, order=pending.order, seen=pending.seen, tensor=source)
        output = self.tensor(name, pending.shape, scale, zero_point, view)
        self.limits[output.name] = pending.limits
        self.write(pending, output)
        return View(shape=pending.shape, order=pending.order, seen=pending.seen, tensor=output)

    def write(self, pending: Pending, output: Tensor) -> None:
        """Emit a waiting operator that writes ``output``."""
        lowering: Callable[[Emitter, Pending, Tensor], None] = _LOWERING[pending.kind]
        lowering(self, pending, output)

    def requantized(self, view: View, scale: float, zero_point: int, node: str) -> Tensor:
        """The map at another scale: itself when it has it already, else a `Requantize` in front."""
        if (view.tensor.scale, view.tensor.zero_point) == (scale, zero_point):
            return view.tensor
        output = self.tensor(f"{view.tensor.name}/{node}", view.tensor.shape, scale, zero_point)
        multiplier, shift = self.multiplier(np.array([view.tensor.scale / scale]), node)
        self.emit(Requantize(name=f"{node}/requantize", inputs=(view.tensor.name,), output=output.name,
                             source="QuantizeLinear", requant=Requant(multiplier, shift, zero_point,
                                                                      rounding="half_even")))
        return output

    def multiplier(self, real: NDArray[np.float64], node: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Multipliers and shifts of scale ratios, one a channel."""
        if not real.max(initial=0) < _LARGEST_RATIO:
            raise self.fail("", node, f"input scale times weight scale must be below 2**31 output scales, not "
                            f"{float(real.max()):g}", "calibrate again with representative data")
        pairs = [machine_multiplier(float(r)) for r in real]
        return np.array([m for m, _ in pairs], np.int64), np.array([s for _, s in pairs], np.int64)


def clamp(pending: Pending, output: Tensor) -> tuple[int, int]:
    """The activation in the quantised domain."""
    bounds = []
    for real, default in ((pending.lo, -128), (pending.hi, 127)):
        q = default if np.isinf(real) else round(float(np.rint(real / output.scale))) + output.zero_point
        bounds.append(min(max(q, pending.limits[0]), pending.limits[1]))
    return bounds[0], max(bounds)


def _requant(emitter: Emitter, pending: Pending, output: Tensor, real: NDArray[np.float64],
             rounding: Rounding = "half_even") -> Requant:
    multiplier, shift = emitter.multiplier(real, pending.node)
    qmin, qmax = clamp(pending, output)
    return Requant(multiplier, shift, output.zero_point, qmin, qmax, rounding)


def _conv(emitter: Emitter, pending: Pending, output: Tensor) -> None:
    source, args = pending.inputs[0].tensor, pending.args
    weight, scale = _weight(emitter, pending, args["weights"])
    real = _real_bias(args.get("bias"), np.float64(source.scale) * scale.astype(np.float64))
    if emitter.finer and real is not None and np.isfinite(real).all():
        weight, scale = finer(weight, scale, real, source.scale, output.scale)
        if lost(scale, real, source.scale, output.scale).max(initial=0) > MOST:
            raise emitter.fail(pending.op, pending.node, "its bias is lost: it is a real number, and input scale times "
                               f"weight scale is {float(source.scale * scale.max() / output.scale):g} output steps",
                               "quantise the bias to 32 bits, or calibrate again with representative data")
    bias_scale = np.float64(source.scale) * scale.astype(np.float64)
    emitter.emit(Conv(
        name=pending.node, inputs=(source.name,), output=output.name, source=pending.op, weight=weight,
        bias=_bias(emitter, pending, args.get("bias"), bias_scale),
        requant=_requant(emitter, pending, output, bias_scale / output.scale), stride=args.get("stride", (1, 1)),
        dilation=args.get("dilation", (1, 1)), pad=args.get("pad", (0, 0, 0, 0)), groups=args.get("groups", 1),
        weight_scale=scale))


def _weight(emitter: Emitter, pending: Pending, weights: Weights) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Weights (O, kh, kw, I) less their zero points, and one scale per output channel."""
    if weights.scale.size > 1 and weights.axis != 0:
        raise emitter.fail(pending.op, pending.node, "weight scales must belong to output channels",
                           "quantise per tensor, or per channel along the output channels")
    values = weights.values.astype(np.int16) - weights.zero_point.reshape(-1, 1, 1, 1).astype(np.int16)
    small = values.min(initial=0) >= -128 and values.max(initial=0) <= 127
    scale = np.broadcast_to(weights.scale, (values.shape[0],)).astype(np.float32)
    return np.ascontiguousarray(values, np.int8 if small else np.int16), scale


def _real_bias(bias: Weights | NDArray[Any] | None, scale: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """A bias of each channel; None of one that is integers of the accumulators' scale, or 0."""
    if bias is None:
        return None
    if isinstance(bias, Weights):
        own = np.broadcast_to(bias.scale.astype(np.float64), scale.shape)
        if not bias.zero_point.any() and bias.values.dtype == np.int32 and np.allclose(own, scale, rtol=1e-5, atol=0):
            return None
    real = bias.real() if isinstance(bias, Weights) else np.asarray(bias, np.float64)
    return np.broadcast_to(real.reshape(-1), scale.shape)


def _bias(emitter: Emitter, pending: Pending, bias: Weights | NDArray[Any] | None,
          scale: NDArray[np.float64]) -> NDArray[np.int32]:
    real = _real_bias(bias, scale)
    if real is None:
        values = np.zeros(1) if bias is None else bias.values if isinstance(bias, Weights) else bias
        return np.array(np.broadcast_to(values.reshape(-1), scale.shape), np.int32)
    if not np.isfinite(real).all():
        raise emitter.fail(pending.op, pending.node, "the bias must be finite, it holds NaN or infinity",
                           "retrain or re-export")
    exact = np.rint(real / scale)
    if np.abs(exact).max(initial=0) > _INT32:
        raise emitter.fail(pending.op, pending.node,
                           f"the bias of channel {int(np.abs(exact).argmax())} does not fit 32 bits",
                           "its weight scale is too small: quantise per tensor, or prune the dead channel")
    return exact.astype(np.int32)


def _add(emitter: Emitter, pending: Pending, output: Tensor) -> None:
    first, second = (view.tensor for view in pending.inputs)
    if first.scale < second.scale:
        first, second = second, first
    twice = 2.0 * first.scale
    pairs = [quantize_multiplier(t.scale / twice) for t in (first, second)]
    emitter.emit(Add(
        name=pending.node, inputs=(first.name, second.name), output=output.name, source=pending.op,
        multiplier=(pairs[0][0], pairs[1][0]), shift=(pairs[0][1], pairs[1][1]),
        requant=_requant(emitter, pending, output, np.array([twice / (2**ADD_LEFT_SHIFT * output.scale)]), "double")))


def _average(emitter: Emitter, pending: Pending, output: Tensor) -> None:
    view, args = pending.inputs[0], pending.args
    source, kernel, pad, counted = view.tensor, args["kernel"], args["pad"], args["counted"]
    common = {"name": pending.node, "inputs": (source.name,), "source": pending.op, "kind": "average",
              "kernel": kernel, "stride": args["stride"], "pad": pad, "output": output.name}

    def requant(pixels: int) -> Requant:
        return _requant(emitter, pending, output, np.array([source.scale / (pixels * output.scale)]))

    pixels = kernel[0] * kernel[1]
    if pad == counted:
        emitter.emit(Pool(**common, requant=requant(pixels)))
    else:  # the number of pixels that count varies
        pool = Pool(**common, by_count=dict.fromkeys(range(1, pixels + 1), requant(pixels)), counted=counted)
        _, height, width, _ = source.shape
        divisors = {int(n): requant(int(n)) for n in np.unique(pool_divisors(pool, height, width))}
        emitter.emit(replace(pool, by_count=divisors))


def _concat(emitter: Emitter, pending: Pending, output: Tensor) -> None:
    target = output
    clamped = pending.clamped or pending.limits != (-128, 127)
    if clamped:
        target = emitter.tensor(f"{output.name}/concat", output.shape, output.scale, output.zero_point)
    inputs = tuple(emitter.requantized(view, output.scale, output.zero_point, pending.node).name
                   for view in pending.inputs)
    emitter.emit(Concat(name=pending.node, inputs=inputs, output=target.name, source=pending.op,
                        axis=pending.args["axis"]))
    if clamped:
        emitter.emit(Requantize(name=f"{pending.node}/clamp", inputs=(target.name,), output=output.name, source="Clip",
                                requant=_requant(emitter, pending, output, np.array([1.0]))))


def _same(emitter: Emitter, pending: Pending, output: Tensor) -> None:
    source = pending.inputs[0].tensor
    emitter.emit(Requantize(name=pending.node, inputs=(source.name,), output=output.name, source=pending.op,
                            requant=_requant(emitter, pending, output, np.array([source.scale / output.scale]))))


_LOWERING: dict[str, Callable[[Emitter, Pending, Tensor], None]] = {
    "conv": _conv, "add": _add, "average": _average, "concat": _concat, "same": _same}
