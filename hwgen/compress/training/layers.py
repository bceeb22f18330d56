"""Operators of a float graph that hold something, as PyTorch modules on maps (N, H, W, C)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from hwgen.compress.graph import BatchNorm, FloatConv, FloatPool, Shape
from hwgen.compress.training.weights import Weight

_MOMENTUM = 0.1
"""Share of the newest batch in the running statistics of batch normalisation, PyTorch's own."""


class Convolution(nn.Module):
    """A convolution of any padding; one that covers its ``whole`` map is a matrix product."""

    def __init__(self, op: FloatConv, *, keep_zeros: bool, learned: bool, whole: bool) -> None:
        super().__init__()
        self.name = op.name
        self.op = op
        self.whole = whole
        self.weight = Weight(op, keep_zeros=keep_zeros, learned=learned)
        self.bias = nn.Parameter(torch.from_numpy(op.bias.copy()))

    def forward(self, x: torch.Tensor, scale: torch.Tensor | None = None) -> torch.Tensor:
        """The sums, before any clamp; ``scale`` is that of the input where it is quantised."""
        op, weight, bias = self.op, self.weight(), self._bias(scale)
        if self.whole:
            return functional.linear(x.flatten(1), weight.flatten(1), bias)[:, None, None, :]
        top, bottom, left, right = op.pad
        around = (top, left)
        if (top, left) != (bottom, right):  # SAME at stride 2: PyTorch's own padding is symmetric
            x, around = padded(x, op.pad), (0, 0)
        return to_last(functional.conv2d(to_first(x), to_first(weight), bias, op.stride, around, op.dilation,
                                         op.groups))

    def _bias(self, scale: torch.Tensor | None) -> torch.Tensor:
        """The bias, which a quantised layer rounds to the step that its accumulator counts in."""
        fake = self.weight.fake
        if scale is None or fake is None or fake.quantizer.group:
            return self.bias
        with torch.no_grad():
            step = fake.scale().flatten() * scale
            rounding = torch.round(self.bias / step) * step - self.bias
        return self.bias + rounding

    def trained(self, op: FloatConv) -> FloatConv:
        """The operator with what was trained."""
        fake = self.weight.fake
        return replace(op, weight=self.weight.trained(), bias=self.bias.detach().numpy().copy(),
                       quantizer=None if fake is None else fake.trained())


class Normalisation(nn.Module):
    """Batch normalisation: by the batch in training, by running statistics otherwise."""

    mean: torch.Tensor
    variance: torch.Tensor

    def __init__(self, op: BatchNorm) -> None:
        super().__init__()
        self.epsilon = op.epsilon
        self.gamma = nn.Parameter(torch.from_numpy(op.gamma.copy()))
        self.beta = nn.Parameter(torch.from_numpy(op.beta.copy()))
        self.register_buffer("mean", torch.from_numpy(op.mean.copy()))
        self.register_buffer("variance", torch.from_numpy(op.variance.copy()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The normalised map."""
        return to_last(functional.batch_norm(to_first(x), self.mean, self.variance, self.gamma, self.beta,
                                             self.training, _MOMENTUM, self.epsilon))

    def trained(self, op: BatchNorm) -> BatchNorm:
        """The operator with what was trained."""
        return replace(op, gamma=self.gamma.detach().numpy().copy(), beta=self.beta.detach().numpy().copy(),
                       mean=self.mean.numpy().copy(), variance=self.variance.numpy().copy())


class Pooling(nn.Module):
    """Maximum, or average over the pixels that count."""

    count: torch.Tensor

    def __init__(self, op: FloatPool, shape: Shape) -> None:
        super().__init__()
        self.op = op
        ones = torch.ones(1, shape[1], shape[2], 1)
        filled = padded(ones, op.pad, 1.0 if op.include_pad else 0.0)
        self.register_buffer("count", self._sums(filled), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The pooled map."""
        op = self.op
        if op.kind == "max":
            return to_last(functional.max_pool2d(to_first(padded(x, op.pad, -np.inf)), op.kernel, op.stride))
        return self._sums(padded(x, op.pad)) / self.count

    def _sums(self, x: torch.Tensor) -> torch.Tensor:
        return to_last(functional.avg_pool2d(to_first(x), self.op.kernel, self.op.stride, divisor_override=1))


def to_first(x: torch.Tensor) -> torch.Tensor:
    """(N, H, W, C) seen as (N, C, H, W), as PyTorch's functions take it; the memory stays as it is."""
    return x.permute(0, 3, 1, 2)


def to_last(x: torch.Tensor) -> torch.Tensor:
    """Undo `to_first`."""
    return x.permute(0, 2, 3, 1)


def padded(x: torch.Tensor, pad: tuple[int, int, int, int], value: float = 0.0) -> torch.Tensor:
    """A map with (top, bottom, left, right) pixels around it."""
    if not any(pad):
        return x
    top, bottom, left, right = pad
    return functional.pad(x, (0, 0, left, right, top, bottom), value=value)
