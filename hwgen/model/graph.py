"""The quantised graph: what readers produce, what the golden model runs and what the compiler lowers.

All maps are NHWC with batch 1 (``shape == (1, H, W, C)``; vectors are ``(1, 1, 1, C)``), int8 containers.
Readers do the arithmetic of scales once: an operator carries integer multipliers, never scales.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hwgen.model.ports import FileView, Port, Step, plain_port

MAX_MAP = 1 << 28
"""Most values in one map, padding included: far above any real layer, and what keeps absurd sizes from using up the
memory of the host."""

Rounding = Literal["double", "single", "half_even", "half_away"]


@dataclass(frozen=True, eq=False)
class Requant:
    """``q = clamp(round(acc * multiplier * 2**(shift - 31)) + zero_point)``, see `hwgen.golden.fixedpoint`.

    Parameters
    ----------
    multiplier : int64 array, shape (channels,)
        In [0, 2**31), with the shift 7 in [0, 2**32) (`hwgen.golden.fixedpoint.folded`). Readers give 0 or at least
        2**30, except for TFLite's mean, whose division by the pixel count may leave one bit less.
    shift : int64 array, shape (channels,)
        Positive is a left shift (TFLite's convention), in [-31, 7].
    zero_point, qmin, qmax : int
        Of the output, in the quantised domain; the activation (ReLU, ReLU6, clamp) is in ``qmin`` and ``qmax``.
    rounding : str
        ``double`` (TFLite Micro), ``single`` (LiteRT fully connected), ``half_even`` (ONNX Runtime),
        ``half_away`` (one rounding, ties away from zero: average pooling).
    """

    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    zero_point: int
    qmin: int = -128
    qmax: int = 127
    rounding: Rounding = "double"


@dataclass(frozen=True)
class Tensor:
    """An int8 feature map. ``scale`` is for reports; integer operators ignore it. ``view`` is the file's tensor of the
    same values, for comparison with outside references; None when the file has none."""

    name: str
    shape: tuple[int, int, int, int]
    scale: float
    zero_point: int
    view: FileView | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Op:
    """An operator. ``inputs`` and ``output`` are tensor names. Operators compare and hash by identity."""

    name: str
    inputs: tuple[str, ...]
    output: str
    source: str = ""
    """The operator's name in the source file, e.g. ``CONV_2D`` or ``Conv``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv(Op):
    """Convolution, grouped or not; a fully connected layer is a `Conv` whose kernel covers its whole input map.

    ``weight`` is int8 ``(out_channels, kh, kw, in_channels // groups)`` (int16 allowed if it had a zero point),
    ``bias`` int32 ``(out_channels,)``. ``pad`` is (top, bottom, left, right); padding holds the input zero point.
    Output channel ``o`` reads input channels of group ``o // (out_channels // groups)``.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    requant: Requant
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    weight_scale: NDArray[np.float32] | None = None
    """Scale per output channel, shape (out_channels,), for writing the network to a file; arithmetic ignores it."""

    @property
    def depthwise(self) -> bool:
        """True when every output channel reads exactly one input channel and there is more than one group."""
        return self.groups > 1 and self.weight.shape[3] == 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool(Op):
    """Pooling. ``pad`` is (top, bottom, left, right); every window holds at least one pixel of the map.

    ``max`` is the maximum of the valid part of the window, clamped to ``qmin`` and ``qmax``. ``average`` is one of

    * sum of raw q over the valid part, divided by its count, ties away from zero, clamped to ``qmin`` and ``qmax``;
    * with ``requant``: ``acc = sum(q - zero_point of input)`` over the window (padding adds nothing), requantised by
      its one multiplier (a mean of windows that all have the same divisor);
    * with ``by_count``: the same ``acc``, requantised by ``by_count[n]``, one rounding for division and rescale. ``n``
      is the window's divisor: how many of its positions lie in the map or in that part of the padding that
      ``counted`` (top, bottom, left, right; at most ``pad``) says. ONNX: ``counted`` is (0, 0, 0, 0) where padding
      does not count and ``pads`` where it does; what ``ceil_mode`` adds at the end is in ``pad`` and never counted.
      ``by_count`` has every divisor that occurs (`hwgen.golden.pooling.pool_divisors`), each with one channel entry,
      whose multiplier is input scale / (n * output scale); zero point, clamp and rounding are the same in all.
    """

    kind: Literal["average", "max"]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    qmin: int = -128
    qmax: int = 127
    requant: Requant | None = None
    by_count: Mapping[int, Requant] | None = None
    counted: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def limits(self) -> tuple[int, int]:
        """Least and greatest result."""
        last = next(iter(self.by_count.values())) if self.by_count else self.requant or self
        return last.qmin, last.qmax


@dataclass(frozen=True, kw_only=True, eq=False)
class Add(Op):
    """Residual add by TFLite's rule.

    Each ``q - zp`` is shifted left by 20, rescaled by its own multiplier and shift (``double``), summed, and
    requantised by ``requant`` (one channel entry). The reader orders the inputs so that the first has the larger
    scale: its rescale is exactly 1/2 (multiplier 2**30, shift 0), which the hardware relies on.
    """

    multiplier: tuple[int, int]
    shift: tuple[int, int]
    requant: Requant


@dataclass(frozen=True, kw_only=True, eq=False)
class Requantize(Op):
    """Elementwise rescale and clamp: quantize int8 -> int8, a ReLU that stands alone."""

    requant: Requant


@dataclass(frozen=True, kw_only=True, eq=False)
class Concat(Op):
    """Concatenation along ``axis`` (1 height, 2 width, 3 channels).

    Inputs and output share one scale and zero point: a reader puts a `Requantize` before an input that differs.
    """

    axis: int = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Pad(Op):
    """Zero-point padding (top, bottom, left, right) that could not be folded into a consumer.

    Padding with another integer is padding of a map that has that zero point: a `Reshape` before and behind it.
    """

    pad: tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Reshape(Op):
    """Same integers in the same (NHWC, row-major) order, in a new shape, or of another scale or zero point."""


def requants(op: Op) -> tuple[Requant, ...]:
    """Every requantisation that an operator has."""
    found = [getattr(op, "requant", None), *((isinstance(op, Pool) and op.by_count) or {}).values()]
    return tuple(r for r in found if r is not None)


@dataclass(frozen=True)
class Graph:
    """A network: the operators that the device runs, in execution order, between ``inputs`` and ``outputs``.

    ``tensors`` holds every int8 map by name. ``source`` is ``"tflite"`` or ``"onnx"``, whose rounding rules the steps
    of the ports follow.
    """

    name: str
    source: str
    tensors: dict[str, Tensor]
    ops: tuple[Op, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @property
    def input_maps(self) -> tuple[str, ...]:
        """The maps that are given, each once, in the order of the inputs."""
        return tuple(dict.fromkeys(port.map for port in self.inputs))

    @property
    def output_maps(self) -> tuple[str, ...]:
        """The maps that are asked for, each once, in the order of the outputs."""
        return tuple(dict.fromkeys(port.map for port in self.outputs))

    @property
    def input(self) -> str:
        """The first input's map."""
        return self.inputs[0].map

    @property
    def output(self) -> str:
        """The first output's map."""
        return self.outputs[0].map

    @property
    def host_steps(self) -> tuple[Step, ...]:
        """What the host does at both ends, each step once."""
        return tuple(dict.fromkeys(step for port in (*self.inputs, *self.outputs) for step in port.steps))


def plain_graph(name: str, source: str, tensors: dict[str, Tensor], ops: Iterable[Op], inputs: str | Iterable[str],
                outputs: str | Iterable[str]) -> Graph:
    """A graph that comes from no file: its user sees the maps ``inputs`` and ``outputs`` (names) as they are."""
    ends = [tuple(plain_port(n, tensors[n].shape, tensors[n].scale, tensors[n].zero_point)
                  for n in ([names] if isinstance(names, str) else names)) for names in (inputs, outputs)]
    return Graph(name, source, tensors, tuple(ops), *ends)
