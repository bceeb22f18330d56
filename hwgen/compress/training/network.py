"""A float graph as a PyTorch module, and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hwgen.compress.graph import Activation, BatchNorm, Clamped, FloatAdd, FloatConv, FloatGraph, FloatPool
from hwgen.compress.techniques.quantize import keeps_scale
from hwgen.compress.training.fake import Fake
from hwgen.compress.training.layers import Convolution, Normalisation, Pooling, padded
from hwgen.errors import HwgenError
from hwgen.model.graph import Concat, Op, Pad, Reshape


class Network(nn.Module):
    """A graph that can be trained; maps are (N, H, W, C) as everywhere, which PyTorch calls channels-last.

    Parameters
    ----------
    graph : FloatGraph
        With or without quantizers; with them, weights and maps are fake-quantised.
    keep_zeros : bool
        Hold weights that are zero.
    learned : bool
        Learn the scales of quantizers (LSQ), but the input's.
    """

    def __init__(self, graph: FloatGraph, *, keep_zeros: bool = True, learned: bool = False) -> None:
        super().__init__()
        self.graph = graph
        self.parts = nn.ModuleList()
        self.fakes = nn.ModuleDict()
        self._fake_of: dict[str, str] = {}
        self._walk: list[tuple[Op, nn.Module | None, str | None]] = []
        self._quantise(graph.input, learned=False)
        for op in graph.device_ops:
            part = _part(op, graph, keep_zeros=keep_zeros, learned=learned)
            if part is not None:
                self.parts.append(part)
            if keeps_scale(op) and op.output in graph.maps:
                self._fake_of[op.output] = self._fake_of[op.inputs[0]]
            else:
                self._quantise(op.output, learned=learned)
            # What only moves values of a quantised map leaves them quantised.
            settled = keeps_scale(op) and not (isinstance(op, Clamped) and _clamps(op))
            self._walk.append((op, part, None if settled else self._fake_of.get(op.output)))

    def _quantise(self, name: str, *, learned: bool) -> None:
        if name in self.graph.maps:
            key = str(len(self.fakes))  # a map's own name may hold dots, which modules may not
            self.fakes[key] = Fake(self.graph.maps[name], learned=learned,
                                   values=int(np.prod(self.graph.shapes[name])))
            self._fake_of[name] = key

    @property
    def convolutions(self) -> list[Convolution]:
        """The layers with weights."""
        return [part for part in self.parts if isinstance(part, Convolution)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Values of the graph's output (N, values) for inputs (N, H, W, C)."""
        start = self._fake_of.get(self.graph.input)
        maps = {self.graph.input: x if start is None else self.fakes[start](x)}
        for op, part, fake in self._walk:
            if isinstance(part, Convolution):
                y = part(maps[op.inputs[0]], self._scale(op.inputs[0]))
            else:
                y = _result(op, part, [maps[name] for name in op.inputs], self.graph)
            if isinstance(op, Clamped) and _clamps(op) and not self._clamped_by(fake, op):
                y = functional.relu(y) if (op.lo, op.hi) == (0.0, np.inf) else torch.clamp(y, op.lo, op.hi)
            maps[op.output] = y if fake is None else self.fakes[fake](y)
        return maps[self.graph.output].flatten(1)

    def _clamped_by(self, key: str | None, op: Clamped) -> bool:
        """Whether quantising the result clamps it as the operator does."""
        fake = self.fakes[key] if key is not None else None
        return isinstance(fake, Fake) and fake.rectifies and (op.lo, op.hi) == (0.0, np.inf)

    def _scale(self, name: str) -> torch.Tensor | None:
        """The scale of a quantised map."""
        fake = self.fakes[self._fake_of[name]] if name in self._fake_of else None
        return fake.scale() if isinstance(fake, Fake) else None

    def to_graph(self) -> FloatGraph:
        """The graph with what was trained."""
        new: dict[Op, tuple[Op]] = {}
        for op, part, _ in self._walk:
            if isinstance(part, Convolution) and isinstance(op, FloatConv):
                new[op] = (part.trained(op),)
            if isinstance(part, Normalisation) and isinstance(op, BatchNorm):
                new[op] = (part.trained(op),)
        trained = {key: fake.trained() for key, fake in self.fakes.items() if isinstance(fake, Fake)}
        return replace(self.graph.replace_ops(new),
                       maps={name: trained[self._fake_of[name]] for name in self.graph.maps})


def _clamps(op: Clamped) -> bool:
    return (op.lo, op.hi) != (-np.inf, np.inf)


def _part(op: Op, graph: FloatGraph, *, keep_zeros: bool, learned: bool) -> nn.Module | None:
    """The module of an operator that has parameters, or something to compute once."""
    if isinstance(op, FloatConv):
        whole = op.weight.shape[1:3] == graph.shapes[op.inputs[0]][1:3] and not any(op.pad)
        return Convolution(op, keep_zeros=keep_zeros, learned=learned, whole=whole and op.groups == 1)
    if isinstance(op, BatchNorm):
        return Normalisation(op)
    if isinstance(op, FloatPool):
        return Pooling(op, graph.shapes[op.inputs[0]])
    return None


def _result(op: Op, part: nn.Module | None, inputs: list[torch.Tensor], graph: FloatGraph) -> torch.Tensor:
    """What an operator makes of its inputs, before its clamp."""
    x = inputs[0]
    if part is not None:
        return torch.as_tensor(part(x))
    if isinstance(op, FloatAdd):
        return inputs[0] + inputs[1]
    if isinstance(op, Concat):
        return torch.cat(inputs, dim=op.axis)
    if isinstance(op, Pad):
        return padded(x, op.pad)
    if isinstance(op, Reshape):
        return x.reshape(len(x), *graph.shapes[op.output][1:])
    if isinstance(op, Activation):
        return x
    raise HwgenError(f"{type(op).__name__} cannot be trained", where=op.name)
