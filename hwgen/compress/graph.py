"""The float network that compressors work on: NHWC maps, float32 weights, and how each is to be quantised.

The operators that hold no numbers (`Concat`, `Pad`, `Reshape`) are those of `hwgen.model.graph`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hwgen.compress.quantizer import Quantizer
from hwgen.errors import HwgenError
from hwgen.model.graph import Op
from hwgen.model.ports import FileView, Port, Step

FloatArray = NDArray[np.float32]
Shape = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Clamped(Op):
    """An operator whose result is clamped to [``lo``, ``hi``]: ReLU is (0, inf), ReLU6 (0, 6)."""

    lo: float = -np.inf
    hi: float = np.inf


@dataclass(frozen=True, kw_only=True, eq=False)
class Softmax(Op):
    """The softmax over the channels behind the last map, which the host does."""

    beta: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatConv(Clamped):
    """Convolution, grouped or not; a fully connected layer is one whose kernel covers its whole map.

    ``weight`` is (out_channels, kh, kw, in_channels // groups), ``bias`` (out_channels,), ``pad`` (top, bottom, left,
    right) of zeros. ``quantizer`` says how the weights are to be quantised; they themselves stay float. ``storage``
    says how they are to be stored, which counts bytes and changes no value: as they are, as indices into a codebook of
    their different values, or Huffman-coded.
    """

    weight: FloatArray
    bias: FloatArray
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    groups: int = 1
    quantizer: Quantizer | None = None
    storage: Literal["plain", "codebook", "huffman"] = "plain"

    @property
    def depthwise(self) -> bool:
        """True when every output channel reads exactly one input channel and there is more than one group."""
        return self.groups > 1 and self.weight.shape[3] == 1


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatPool(Clamped):
    """Pooling. An average divides by the valid pixels of its window, or by all when ``include_pad``."""

    kind: Literal["average", "max"]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    pad: tuple[int, int, int, int] = (0, 0, 0, 0)
    include_pad: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class FloatAdd(Clamped):
    """Sum of two maps of one shape."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Activation(Clamped):
    """A clamp that stands alone."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BatchNorm(Clamped):
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, one value of each a channel."""

    gamma: FloatArray
    beta: FloatArray
    mean: FloatArray
    variance: FloatArray
    epsilon: float

    def factor(self) -> NDArray[np.float64]:
        """What a channel is multiplied by."""
        return np.asarray(self.gamma / np.sqrt(self.variance.astype(np.float64) + self.epsilon))

    def offset(self) -> NDArray[np.float64]:
        """What is added to it then."""
        return np.asarray(self.beta - self.mean * self.factor())


def softmaxes(steps: Iterable[Step], last: str) -> tuple[Softmax, ...]:
    """The softmax of a quantised network's ``steps`` at its end, as an operator behind the map ``last``.

    Raises
    ------
    HwgenError
        When the host does something else there that has no float form.
    """
    found = []
    for step in steps:
        if step.kind == "softmax":
            found.append(Softmax(name=step.name, inputs=(last,), output=step.output, source=step.source,
                                 beta=float(step.attrs.get("beta", 1.0))))
            last = step.output
        elif step.kind == "log_softmax":
            raise HwgenError(f"{step.source} at the end is not supported here", where=step.name,
                             remedy="end the network before it and apply it on the host")
    return tuple(found)


@dataclass(frozen=True)
class FloatGraph:
    """A float network in execution order.

    ``shapes`` holds every map's (1, H, W, C) by name; ``maps`` the quantisation of maps that are to be quantised.
    ``output`` is the last map before the `Softmax`, if there is one. ``ends`` are the ports by which the file that it
    was read from has its input and output, of real numbers, without quantisers; None for (N, H, W, C) ``x`` and ``y``.
    """

    name: str
    shapes: dict[str, Shape]
    ops: tuple[Op, ...]
    input: str
    output: str
    maps: dict[str, Quantizer] = field(default_factory=dict)
    ends: tuple[Port, Port] | None = None

    @property
    def ports(self) -> tuple[Port, Port]:
        """The ports of input and output."""
        if self.ends is not None:
            return self.ends
        after = tuple(Step(kind="softmax", name=op.name, source="Softmax", attrs={"axis": -1, "beta": op.beta})
                      for op in self.ops if isinstance(op, Softmax))
        return self._port("x", self.input, ()), self._port("y", self.output, after)

    def _port(self, name: str, of: str, steps: tuple[Step, ...]) -> Port:
        shape = self.shapes[of]
        return Port(name=name, map=of, view=FileView(key=of, shape=shape), type="float32", shape=shape, steps=steps)

    @property
    def device_ops(self) -> tuple[Op, ...]:
        """The operators before the softmax."""
        return tuple(op for op in self.ops if not isinstance(op, Softmax))

    @property
    def convs(self) -> tuple[FloatConv, ...]:
        """The layers with weights."""
        return tuple(op for op in self.ops if isinstance(op, FloatConv))

    def conv(self, name: str) -> FloatConv:
        """The layer of a name.

        Raises
        ------
        HwgenError
            When there is none; it lists the names.
        """
        for op in self.convs:
            if op.name == name:
                return op
        raise HwgenError(f"there is no layer {name!r} with weights", where=self.name,
                         remedy=f"the layers are: {', '.join(op.name for op in self.convs)}")

    def readers(self, name: str) -> tuple[Op, ...]:
        """The operators that read a map."""
        return tuple(op for op in self.ops if name in op.inputs)

    def writer(self, name: str) -> Op | None:
        """The operator that writes a map; None for the input."""
        return next((op for op in self.ops if op.output == name), None)

    def before(self, name: str) -> FloatGraph:
        """The graph with only the operators before one of a name."""
        ops: list[Op] = []
        for op in self.ops:
            if op.name == name:
                break
            ops.append(op)
        return replace(self, ops=tuple(ops))

    def replace_ops(self, new: Mapping[Op, Iterable[Op]]) -> FloatGraph:
        """The graph with operators replaced by others, in their places; `shapes` is not changed."""
        return replace(self, ops=tuple(op for old in self.ops for op in new.get(old, (old,))))
